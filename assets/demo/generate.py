#!/usr/bin/env python3
"""Makes assets/demo/seed.json: the sample data of `ebbtide demo`.

Run it without arguments from anywhere; the same text comes out every time. Every person, company and ship is made up.
What an offline workbench must cope with is in here on purpose: nesting, arrays (also with holes), paragraphs, several
scripts, joined emoji, right-to-left text, fields that are there only sometimes, empty strings, big and negative numbers.
"""

import json
import pathlib
import random

rng = random.Random(20240607)
START = 1_714_521_600_000  # 2024-05-01T00:00:00Z
DAY = 86_400_000
PUSH = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


def push_id(millis):
    stamp = []
    for _ in range(8):
        stamp.append(PUSH[millis % 64])
        millis //= 64
    return "".join(reversed(stamp)) + "".join(rng.choice(PUSH) for _ in range(12))


def maybe(chance):
    return rng.random() < chance


GIVEN = ["Sample", "Test", "Demo", "Example", "Placeholder", "Generic", "Specimen", "Model"]
FAMILY = ["Customer", "Person", "Buyer", "Client", "Account", "Holder", "Reader", "Partner", "Member", "Contact"]
WORLD = [
    ("見本 太郎", "ja", "東京都港区見本町1-2-3", "東京"),
    ("样本 客户", "zh", "上海市浦东新区示例路88号", "上海"),
    ("견본 고객", "ko", "부산광역시 중구 예시로 12", "부산"),
    ("לקוח לדוגמה", "he", "רחוב הדוגמה 5", "חיפה"),
    ("عميل تجريبي", "ar", "شارع المثال ١٢", "الإسكندرية"),
    ("Пример Заказчик", "ru", "улица Образцовая, 7", "Мурманск"),
    ("नमूना ग्राहक", "hi", "उदाहरण मार्ग ४", "मुंबई"),
    ("ลูกค้า ตัวอย่าง", "th", "ถนนตัวอย่าง 9", "ภูเก็ต"),
    ("Örnek Müşteri", "tr", "Örnek Sokağı 21", "İzmir"),
    ("Muster Käufer", "de", "Musterstraße 3", "Bremerhaven"),
    ("Prøve Kunde", "da", "Eksempelvej 14", "Esbjerg"),
    ("Cliente de Ejemplo", "es", "Calle del Ejemplo 40", "Vigo"),
]
PORTS = [
    ("Northhaven", 54.3213, 10.1349), ("Saltmarsh Quay", 51.9225, 4.4792), ("Grey Harbour", 57.7089, 11.9746),
    ("Low Ferry", 53.5461, 8.5809), ("Port Sample", -33.9249, 18.4241), ("South Mole", -36.8485, 174.7633),
    ("Lantern Bay", 35.4437, 139.638), ("Cape Placeholder", -54.8019, -68.303), ("Tidewater", 36.8508, -76.2859),
]
COMPANIES = ["Tide & Sons", "Placeholder Shipping", "Example Freight", "Sample Fisheries", "Demo Marine Supplies",
             "Generic Ropeworks", "Specimen Cold Store", "Model Dredging", "Nowhere Chandlers", "Lorem Logistics"]
TAGS = ["priority", "export", "seasonal", "cold chain", "bulk", "net 30", "new", "paper invoice", "冷蔵", "حساس", "⚓"]
EMOJI = ["⚓", "🚢", "🐟", "👩‍🔧", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🧑🏽‍✈️", "🇳🇴", "☔️", "❄️", "👍🏿"]

SENTENCES = [
    "Deliveries are accepted at the north gate until the tide turns, and only with a signed manifest.",
    "The crane on quay four is out of service again, so heavy lifts have to be booked a day ahead.",
    "Please call the harbour office before arrival; the radio channel changed in spring.",
    "Fog closed the channel twice last week, which explains the late papers.",
    "The freezer was checked on arrival and held its temperature for the whole voyage.",
    "Two pallets were re-labelled by hand because the printer on board had no ribbon left.",
    "Payment terms were agreed by letter, and the letter is in the blue folder.",
    "Nobody answers on Sundays, but a message on the quay board is always read by Monday noon.",
    "Their own tally differs from ours by one crate; both counts were right at the time they were made.",
    "When the network on the pier is down, orders are written on paper and typed in later.",
    "The skipper asks for fenders on the port side because of last year's scrape.",
    "Ropes are changed every second spring, whatever they look like.",
]


def text(count):
    return " ".join(rng.choice(SENTENCES) for _ in range(count))


def story(paragraphs):
    return "\n\n".join(text(rng.randint(3, 7)) for _ in range(paragraphs))


def stamp(millis):
    seconds = millis // 1000
    days, rest = divmod(seconds, 86400)
    z = days + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    day = doy - (153 * mp + 2) // 5 + 1
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return f"{year:04}-{month:02}-{day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


def money(low, high):
    return round(rng.uniform(low, high), 2)


def customer(index):
    created = START - rng.randint(30, 2400) * DAY
    if maybe(0.22):
        name, language, street, city = rng.choice(WORLD)
        name = f"{name} {index}"
    else:
        name = f"{rng.choice(GIVEN)} {rng.choice(FAMILY)} {index}"
        language, street, city = "en", f"{rng.randint(1, 240)} Example Street", rng.choice(PORTS)[0]
    if maybe(0.06):
        name += " " + rng.choice(EMOJI)
    record = {
        "name": name,
        "email": f"customer{index}@example.com",
        "language": language,
        "active": maybe(0.86),
        "balance": money(-4000, 9000),
        "credit_limit": rng.choice([0, 500, 2500, 10_000, 250_000]),
        "address": {"street": street, "city": city, "postcode": f"{rng.randint(10000, 99999)}"},
        "created_at": stamp(created),
        "updated_at": created + rng.randint(0, 25) * DAY,
    }
    if maybe(0.4):
        record["company"] = {"name": rng.choice(COMPANIES), "size": rng.randint(1, 4000), "vat": f"XX{rng.randint(10**8, 10**9 - 1)}"}
    if maybe(0.55):
        record["tags"] = rng.sample(TAGS, rng.randint(1, 4))
    if maybe(0.5):
        record["phone"] = "" if maybe(0.15) else f"+00 555 {rng.randint(1000, 9999)}"
    if maybe(0.3):
        port, latitude, longitude = rng.choice(PORTS)
        record["address"]["geo"] = {"lat": round(latitude + rng.uniform(-1, 1), 5), "lng": round(longitude + rng.uniform(-1, 1), 5)}
    if maybe(0.25):
        record["preferences"] = {
            "notify": {"email": maybe(0.8), "sms": maybe(0.3)},
            "delivery": {"days": rng.sample(["mon", "tue", "wed", "thu", "fri"], 2), "gate": rng.choice(["north", "south"])},
        }
    if maybe(0.18):
        record["notes"] = text(rng.randint(1, 5))
    if maybe(0.02):
        record["ledger_id"] = 9_007_199_254_740_993 + index  # beyond what a double holds
    return record


def order(index, customers):
    created = START + rng.randint(0, 36 * 24 * 60) * 60_000
    lines = []
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        item, unit, price = rng.choice([
            ("Mooring rope 24 mm", "m", 4.35), ("Fender, inflatable", "pc", 89.0), ("Ice, flaked", "kg", 0.12),
            ("Diesel, marine", "l", 1.084), ("Life jacket", "pc", 64.9), ("Chart, paper 冊", "pc", 31.5),
            ("Shackle 12 mm", "pc", 2.2), ("Fresh water", "m³", 3.75), ("Survival suit 🧑🏽‍✈️", "pc", 412.0),
        ])
        quantity = rng.choice([1, 2, 4, 10, 12, 50, 120, 0.5])
        lines.append({"item": item, "quantity": quantity, "unit": unit, "price": price})
    record = {
        "number": f"SO-{24000 + index}",
        "customer": rng.choice(customers),
        "status": rng.choices(["open", "picking", "shipped", "invoiced", "paid", "on hold", "cancelled"], [18, 9, 20, 17, 28, 4, 4])[0],
        "currency": rng.choices(["EUR", "USD", "NOK", "JPY"], [70, 15, 10, 5])[0],
        "total": round(sum(line["quantity"] * line["price"] for line in lines), 2),
        "lines": lines,
        "created_at": stamp(created),
        "updated_at": created + rng.randint(0, 9) * DAY,
    }
    if maybe(0.6):
        record["delivery"] = {"port": rng.choice(PORTS)[0], "due": stamp(created + rng.randint(2, 30) * DAY)[:10], "partial": maybe(0.3)}
    if maybe(0.12):
        # A remark deleted from the middle of the list leaves a hole, as in a real database.
        record["remarks"] = [rng.choice(SENTENCES), None, rng.choice(SENTENCES)]
    elif maybe(0.25):
        record["remarks"] = [rng.choice(SENTENCES)]
    if maybe(0.08):
        record["discount"] = -round(rng.uniform(0.5, 120), 2)
    if maybe(0.05):
        record["reference"] = rng.choice(["Ref. \"Lighthouse\"", "=SUM(A1:A9)", "C:\\orders\\may", "a\tb", "línea uno\nlínea dos"])
    return record


SHIP = ["Patience", "Second Tide", "Grey Gull", "Sample of the Seas", "Placeholder", "Northern Example", "Demo Lady",
        "Still Water", "Long Shadow", "Salt Letter", "見本丸", "סירת דוגמה", "سفينة المثال", "Морской Пример"]
KIND = ["trawler", "ferry", "tug", "coaster", "pilot boat", "research", "yacht"]


def vessel(index):
    record = {
        "name": f"{SHIP[index % len(SHIP)]} {1 + index // len(SHIP)}",
        "call_sign": f"XX{rng.randint(100, 999)}{rng.choice('ABCDEFGH')}",
        "kind": rng.choice(KIND),
        "flag": rng.choice(["🇳🇴", "🇯🇵", "🇳🇱", "🇮🇱", "🇪🇬", "🇨🇱", "🇳🇿"]),
        "built": rng.randint(1961, 2024),
        "size": {"length": money(9, 140), "beam": money(3, 22), "draught": money(1, 8), "tonnage": rng.randint(8, 16000)},
        "engines": [{"maker": rng.choice(["Model", "Sample", "Example"]), "kw": rng.randint(60, 4200)} for _ in range(rng.choice([1, 1, 2]))],
        "crew": {"min": rng.randint(1, 6), "max": rng.randint(7, 30)},
        "in_service": maybe(0.9),
        "updated_at": START + rng.randint(0, 30) * DAY,
    }
    if maybe(0.35):
        record["log"] = story(rng.randint(1, 3))
    if maybe(0.3):
        record["position"] = {"lat": round(rng.uniform(-70, 70), 6), "lng": round(rng.uniform(-180, 180), 6), "course": rng.randint(0, 359), "knots": money(0, 24)}
    return record


def visit(index, vessels):
    arrived = START + rng.randint(0, 30 * 24) * 3_600_000
    port = rng.choice(PORTS)[0]
    record = {
        "vessel": rng.choice(vessels),
        "port": port,
        "berth": rng.choice(["N1", "N2", "N4", "S3", "S7", "Mole", "Anchorage"]),
        "state": rng.choice(["expected", "alongside", "departed", "departed", "cancelled"]),
        "arrival": stamp(arrived),
        "water_level": round(rng.uniform(-2.4, 4.8), 2),
        "updated_at": arrived,
    }
    if record["state"] == "departed":
        record["departure"] = stamp(arrived + rng.randint(2, 90) * 3_600_000)
    if maybe(0.5):
        record["cargo"] = {"kind": rng.choice(["fish", "containers", "gravel", "cars", "mail 📬"]), "tonnes": money(0.1, 5200), "dangerous": maybe(0.07)}
    if maybe(0.2):
        record["report"] = story(rng.randint(1, 2))
    return record


def edge_cases(customers):
    """One record for each thing that breaks careless programs, under ids that sort to the top."""
    base = {"email": "odd@example.com", "language": "en", "active": True, "balance": 0, "credit_limit": 0, "updated_at": START}
    customers["a-very-long-note"] = base | {"name": "A customer with a very long note", "notes": story(14)}
    customers["big-numbers"] = base | {
        "name": "Numbers that do not fit", "balance": -0.01, "exact": 9_007_199_254_740_993, "tiny": 1e-9,
        "series": [0, -1, 2**53 + 1, -(2**53) - 1, 3.141592653589793],
    }
    customers["empty-strings"] = base | {"name": "", "phone": "", "address": {"street": "", "city": "Nowhere"}}
    customers["mixed-direction"] = base | {"name": "Sample שלום عميل 123 مثال", "notes": "Left to right, ואז מימין לשמאל, ثم من اليمين, and back."}
    customers["emoji-family"] = base | {"name": "👨‍👩‍👧‍👦 Family Account 🏳️‍🌈", "tags": EMOJI}
    customers["wide-and-combining"] = base | {"name": "見本　太郎 é ñ ｗｉｄｅ ﷽", "notes": "Zalgo: t̷͉̓e̴̫͝s̶̱̈́t̴̥̏"}
    customers["deeply-nested"] = base | {"name": "Nested", "a": {"b": {"c": {"d": {"e": {"f": {"g": [[1, [2, [3]]], {"h": "bottom"}]}}}}}}}


def main():
    customers, orders, vessels, visits = {}, {}, {}, {}
    edge_cases(customers)
    for index in range(1, 901 - len(customers)):
        key = push_id(START - (900 - index) * 3_600_000) if index % 3 else f"cust-{index:04}"
        customers[key] = customer(index)
    for index in range(1, 801):
        orders[push_id(START + index * 1_800_000)] = order(index, list(customers))
    for index in range(120):
        vessels[f"{9_100_000 + index * 37}"] = vessel(index)
    for index in range(240):
        visits[push_id(START + index * 5_400_000)] = visit(index, list(vessels))
    seed = {"customers": customers, "orders": orders, "vessels": vessels, "visits": visits}
    for collection in seed:
        seed[collection] = dict(sorted(seed[collection].items()))
    lines = ",\n".join(
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}" for key, value in records.items())
        + "\n}"
        for name, records in seed.items()
    )
    target = pathlib.Path(__file__).with_name("seed.json")
    target.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print(f"{target}: {sum(map(len, seed.values()))} records, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
