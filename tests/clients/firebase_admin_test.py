"""Google's own REST client against an ebbtide backend.

    firebase_admin_test.py http://127.0.0.1:PORT

Prints one `ok` line per story and exits with 1 at the first that fails. Needs no account: the emulator setting makes the
SDK send `Bearer owner` to the given address.
"""

import os
import queue
import sys
import threading
import time
from urllib.parse import urlsplit

BASE = sys.argv[1]
os.environ["FIREBASE_DATABASE_EMULATOR_HOST"] = urlsplit(BASE).netloc

import firebase_admin  # noqa: E402
from firebase_admin import db, exceptions  # noqa: E402

APP = firebase_admin.initialize_app(options={"databaseURL": f"{BASE}/?ns=ebbtide", "projectId": "ebbtide", "httpTimeout": 20})


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def set_and_get():
    ref = db.reference("admin/tasks")
    task = {"title": "Größe 日本 🙂", "done": False, "n": 3.5, "tags": ["a", "b"], "none": None, "deep": {"x": {"y": 1}}}
    ref.child("one").set(task)
    wanted = {key: value for key, value in task.items() if value is not None}
    same(ref.child("one").get(), wanted)
    same(ref.get(), {"one": wanted})
    same(ref.child("one/deep/x/y").get(), 1)
    same(ref.child("nothing").get(), None)
    same(db.reference("/").child("admin").child("tasks").child("one").key, "one")


def update_is_one_write_of_many_paths():
    ref = db.reference("admin/tasks")
    ref.update({"one/done": True, "two": {"title": "second"}, "one/deep": None})
    same(ref.get(), {"one": {"title": "Größe 日本 🙂", "done": True, "n": 3.5, "tags": ["a", "b"]}, "two": {"title": "second"}})
    try:
        ref.update({"one": 1, "one/done": 2})
    except (exceptions.InvalidArgumentError, ValueError):
        pass
    else:
        raise AssertionError("an update of a path and its ancestor was taken")
    same(ref.child("one/done").get(), True)


def push_makes_ordered_ids():
    ref = db.reference("admin/pushed")
    keys = []
    for n in range(5):
        keys.append(ref.push({"n": n}).key)
        time.sleep(0.002)
    same(sorted(keys), keys)
    same([value["n"] for _, value in sorted(ref.get().items())], list(range(5)))
    empty = ref.push()
    same(empty.get(), "")


def delete_removes():
    ref = db.reference("admin/pushed")
    ref.delete()
    same(ref.get(), None)
    ref.delete()
    same(db.reference("admin").get(shallow=True), {"tasks": True})


def etags_guard_writes():
    ref = db.reference("admin/guarded")
    value, empty = ref.get(etag=True)
    same((value, empty), (None, "null_etag"))
    same(ref.set_if_unchanged(empty, {"v": 1})[0], True)
    won, value, etag = ref.set_if_unchanged(empty, {"v": 2})
    same((won, value), (False, {"v": 1}))
    same(ref.set_if_unchanged(etag, {"v": 3})[0], True)
    same(ref.get_if_changed(etag)[:2], (True, {"v": 3}))
    _, etag = ref.get(etag=True)
    same(ref.get_if_changed(etag), (False, None, None))


def transactions_lose_nothing():
    ref = db.reference("admin/counter")
    ref.set(0)
    failures = []

    def add():
        for _ in range(10):
            while True:
                try:
                    ref.transaction(lambda current: (current or 0) + 1)
                    break
                except db.TransactionAbortedError:
                    continue
                except Exception as error:  # noqa: BLE001
                    failures.append(error)
                    return

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(failures, [])
    same(ref.get(), 60)


def queries_are_ordered_and_bounded():
    ref = db.reference("admin/people")
    ref.set({"ann": {"age": 30}, "bob": {"age": 25}, "cid": {"age": 41}, "dan": {"age": 30}, "eve": {"name": "x"}})
    same(list(ref.order_by_child("age").get()), ["eve", "bob", "ann", "dan", "cid"])
    same(list(ref.order_by_child("age").equal_to(30).get()), ["ann", "dan"])
    same(list(ref.order_by_child("age").start_at(26).end_at(40).limit_to_last(1).get()), ["dan"])
    same(list(ref.order_by_key().start_at("b").limit_to_first(2).get()), ["bob", "cid"])
    scores = db.reference("admin/scores")
    scores.set({"x": 3, "y": 1, "z": 2})
    same(list(scores.order_by_value().get()), ["y", "z", "x"])
    same(scores.order_by_value().limit_to_last(1).get(), {"x": 3})


def listening_sees_every_change():
    ref = db.reference("admin/live")
    ref.set({"a": 1})
    events = queue.Queue()
    registration = ref.listen(lambda event: events.put((event.event_type, event.path, event.data)))
    try:
        same(events.get(timeout=20), ("put", "/", {"a": 1}))
        ref.child("b/c").set([1, 2])
        same(events.get(timeout=20), ("put", "/b/c", [1, 2]))
        ref.update({"a": 2, "d/e": "x"})
        same(events.get(timeout=20), ("patch", "/", {"a": 2, "d/e": "x"}))
        ref.child("b").delete()
        same(events.get(timeout=20), ("put", "/b", None))
        db.reference("admin/elsewhere").set(1)
        db.reference("admin").update({"live": {"z": 0}})
        same(events.get(timeout=20), ("put", "/", {"z": 0}))
    finally:
        registration.close()


def bad_writes_are_refused_with_words():
    for key in ("a.b", "a$", "a#b", "a[0]"):
        try:
            db.reference("admin/bad").set({key: 1})
        except exceptions.InvalidArgumentError as error:
            same(bool(str(error)), True)
        else:
            raise AssertionError(f"{key} was taken")
    same(db.reference("admin/bad").get(), None)


def server_values_are_put_in():
    ref = db.reference("admin/sv")
    ref.set({"at": {".sv": "timestamp"}, "n": 40})
    ref.update({"n": {".sv": {"increment": 2}}})
    value = ref.get()
    same(value["n"], 42)
    same(abs(value["at"] / 1000 - time.time()) < 3600 * 24 * 365 * 50, True)


for story in (
    set_and_get,
    update_is_one_write_of_many_paths,
    push_makes_ordered_ids,
    delete_removes,
    etags_guard_writes,
    transactions_lose_nothing,
    queries_are_ordered_and_bounded,
    listening_sees_every_change,
    bad_writes_are_refused_with_words,
    server_values_are_put_in,
):
    story()
    print(f"ok {story.__name__}", flush=True)
print("done", flush=True)
os._exit(0)  # the listener's thread may still wait for a stream that is closing
