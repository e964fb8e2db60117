// Prints vectors made by Google's own tree code: the npm `firebase` SDK, never online. `node rtdb_vectors.mjs > vectors.json`
//
// trees    what reading back a written value gives (null: nothing is left)
// keys     keys in the order of the database
// values   values in the order of orderByChild
// queries  the keys a query answers, in order
// refused  values the SDK refuses to write, and ones it takes, with the depth or key in question
// sv       a placeholder written over a value

import { initializeApp } from "firebase/app";
import * as rtdb from "firebase/database";

rtdb.enableLogging(() => {});
const db = rtdb.getDatabase(initializeApp({ databaseURL: "https://vectors.firebaseio.com", projectId: "vectors" }));
rtdb.goOffline(db);

let place = 0;
/** Writes a value at a fresh place; the promise waits for a server for ever. */
function write(value, path = `place${place++}`) {
  const at = rtdb.ref(db, path);
  rtdb.set(at, value).catch(() => {});
  return at;
}

/** The snapshot the SDK has by itself. */
function look(query) {
  let seen;
  const stop = rtdb.onValue(query, (snapshot) => { seen = snapshot; });
  stop();
  if (seen === undefined) throw new Error("the offline SDK did not know a value it was just given");
  return seen;
}

function keysOf(snapshot) {
  const keys = [];
  snapshot.forEach((child) => { keys.push(child.key); });
  return keys;
}

function nested(levels, leaf = 1) {
  let value = leaf;
  for (let i = 0; i < levels; i++) value = { a: value };
  return value;
}

const trees = [
  null, true, false, 0, 1.5, "", "x", {}, [], { a: null }, { a: {} }, { a: [] }, { a: { b: { c: null } }, d: 1 },
  [null], [null, null], ["a"], ["a", null, "c"], [null, "b"], [null, null, "c"], [null, null, null, "d"],
  ["a", null, null, null, "e"], ["a", null, "c", null], [["a"], { b: [] }], [[], {}, null],
  { 0: "a", 2: "c" }, { 2: "c" }, { 0: "a" }, { 1: "b" }, { 0: "a", 1: "b" }, { 1: "a", 2: "b" }, { 2: "a", 3: "b" },
  { 0: "a", 3: "d" }, { 0: "a", 1: "b", 5: "f" }, { "00": "a" }, { "01": "a", 1: "b" }, { "-1": "a", 0: "b" },
  { 0: "a", x: "b" }, { 0: { 0: { 0: 1 } } }, { a: { 0: 1, 1: null, 2: 3 } }, { 4294967296: "a" },
  { 0: "a", 1: { x: null } }, { 10: 1, 11: 1, 12: 1, 13: 1, 14: 1, 15: 1 }, { 3: 1, 4: 1, 5: 1 },
  { ".value": 5, ".priority": 1 }, { ".value": "x" }, { a: { ".value": null, ".priority": 2 } },
  { a: 1, ".priority": "p" }, { 0: "a", 1: "b", ".priority": 3 }, { a: { ".priority": 1 } },
  { "日本": { "é": "✓", "𝒳": "\u{1F600}" } }, { a: 9007199254740991, b: -0.5, c: 1e21, d: 1e-7 },
].map((written) => ({ written, read: look(write(written)).val() }));

const spellings = [
  "b", "B", "a", "aa", "10", "9", "1", "01", "001", "0", "-0", "-1", "-10", "-01", "2147483647", "2147483648",
  "-2147483648", "-2147483649", "4294967296", "00000000000000000005", "99999999999", "1e3", "1-", "-", "--1", " 1", "+1",
  "\uffff", "\ue000", "\u{10000}", "\u{1F600}", "é", "e\u0301", "日本", "_", "~", "-Nabc", "zz", "Z",
];
const keys = keysOf(look(rtdb.query(write(Object.fromEntries(spellings.map((key) => [key, true]))), rtdb.orderByKey())));

const leaves = [
  { a: 1 }, ["x"], "", "a", "B", "b", "10", "9", "\uffff", "\u{10000}", "é", 0, -1, 1, 1.5, 10, 9, -1e300, 1e300, 1e-300,
  9007199254740991, true, false,
];
const children = Object.fromEntries(leaves.map((v, i) => [`k${String(i).padStart(2, "0")}`, { v }]));
children.none = { w: 1 };
children.leaf = "no child";
const values = keysOf(look(rtdb.query(write(children), rtdb.orderByChild("v"))))
  .map((key) => ({ key, value: children[key].v ?? null }));

const data = {
  a: { age: 30, tag: "x", deep: { n: 2 } }, b: { age: 25, tag: "y", deep: { n: 1 } }, c: { age: 30, tag: "x" },
  d: { age: "old", tag: "z", deep: { n: 3 } }, e: { age: null, tag: "x" }, f: { age: true }, g: { age: 41, tag: null },
  10: { age: 7 }, 9: { age: 30 }, "é": { age: 2.5 }, h: "leaf", i: false, j: 12, k: "alpha",
};
const orders = { $key: rtdb.orderByKey, $value: rtdb.orderByValue };
const asked = [
  { orderBy: "$key" }, { orderBy: "$key", startAt: "9" }, { orderBy: "$key", startAt: "b", endAt: "e" },
  { orderBy: "$key", startAfter: "b", endBefore: "e" }, { orderBy: "$key", limitToFirst: 3 },
  { orderBy: "$key", limitToLast: 3 }, { orderBy: "$key", equalTo: "c" }, { orderBy: "$key", equalTo: "10" },
  { orderBy: "$key", startAt: "a", limitToLast: 2 }, { orderBy: "$key", startAt: "bb" },
  { orderBy: "age" }, { orderBy: "age", startAt: 30 }, { orderBy: "age", endAt: 30 }, { orderBy: "age", equalTo: 30 },
  { orderBy: "age", startAt: 20, endAt: 35, limitToFirst: 2 }, { orderBy: "age", startAt: 20, endAt: 35, limitToLast: 2 },
  { orderBy: "age", startAt: "o" }, { orderBy: "age", equalTo: true }, { orderBy: "age", equalTo: null },
  { orderBy: "age", startAfter: 30 }, { orderBy: "age", endBefore: 30 }, { orderBy: "age", limitToLast: 1 },
  { orderBy: "deep/n" }, { orderBy: "deep/n", startAt: 2 }, { orderBy: "tag", equalTo: "x" },
  { orderBy: "$value" }, { orderBy: "$value", startAt: "a" }, { orderBy: "$value", equalTo: false },
  { orderBy: "$value", endAt: 12 }, { orderBy: "none", limitToFirst: 2 },
];
const queries = asked.map((parameters) => {
  const { orderBy, ...rest } = parameters;
  const order = orders[orderBy] ? orders[orderBy]() : rtdb.orderByChild(orderBy);
  const parts = Object.entries(rest).map(([name, value]) => rtdb[name](value));
  return { parameters, keys: keysOf(look(rtdb.query(write(data), order, ...parts))) };
});

function refusal(value) {
  try {
    write(value, "limits");
    return false;
  } catch {
    return true;
  }
}
// "limits" is one level itself: a value below it may have 31 more.
const refused = {
  keys: ["", "a.b", "a$b", "a#b", "a[b", "a]b", "a/b", "a\u0000b", "a\u001fb", "a\u007fb", "a\u0080b", "a b", "a%b", "é", "-", "a".repeat(700),
    "a".repeat(769), "é".repeat(385)].map((key) => ({ key, refused: refusal({ [key]: 1 }) })),
  levels: [1, 30, 31, 32, 33, 40].map((levels) => ({ levels, refused: refusal(nested(levels)) })),
  patches: [{ a: 1, "b/c": 2 }, { a: 1, "a/b": 2 }, { "a/b/c": 1, "a/b": 2 }, { "a/b": 1, "a/bc": 2 }, { "a.b": 1 }, { "/a": 1 }]
    .map((patch) => {
      try {
        rtdb.update(write({ z: 1 }), patch).catch(() => {});
        return { patch, refused: false };
      } catch {
        return { patch, refused: true };
      }
    }),
};

const sv = [[5, 3], [5, -7], [1.5, 2], [null, 4], ["text", 4], [{ a: 1 }, 4], [true, 4], [9007199254740000, 100], [0.1, 0.2]]
  .map(([before, by]) => {
    const at = write(before);
    rtdb.set(at, rtdb.increment(by)).catch(() => {});
    return { before, by, after: look(at).val() };
  });
const stamp = look(write({ at: rtdb.serverTimestamp() })).val().at;
if (typeof stamp !== "number" || Math.abs(stamp - Date.now()) > 60_000) throw new Error("no timestamp was put in");

const out = { trees, keys, values, data, queries, refused, sv };
process.stdout.write(JSON.stringify(out, null, 1) + "\n", () => process.exit(0));
