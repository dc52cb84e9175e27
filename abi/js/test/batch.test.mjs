// Batches, and the functions of the second edition of the ABI.
import assert from "node:assert/strict";
import { test } from "node:test";
import { handler, module } from "./host.mjs";

const source = `export function batch(batch) {
  for (const [i, event] of batch.events.entries()) {
    if (event.data === "all") throw new b.Reject("none");
    if (event.data === "none") { batch.fail(i, new b.Reject("no")); continue; }
    if (event.data === "later") { batch.fail(i, new Error("not yet")); continue; }
    if (event.data === "bad") { batch.succeed(i, b.json("{")); continue; }
    if (event.data === "child") event.emit({ type: "noted", data: i, deliverAfter: 90000 });
    else batch.succeed(i, [event.int("/data/n") ?? null, event.id, event.envelope.data]);
  }
}`;
const later = { index: 1, status: "retry", reason: "not yet" };

for (const [name, events, want] of [
  ["outcomes", [{ n: 1 }, "later", "none"], [0, JSON.stringify({
    results: [[1, "e-0", { n: 1 }], null, null], failures: [later, { index: 2, status: "reject", reason: "no" }] })]],
  ["failures only", ["child", "later"], [0, JSON.stringify({ failures: [later] })]],
  ["no results", ["child", "child"], [0, ""]],
  ["all", ["child", "all"], [2, "none"]],
  ["a refused result among others", [{ n: 1 }, "bad"], [1, "the host refused the result: not JSON"]],
  ["a refused result alone", ["bad"], [2, "the host refused the result: not JSON"]],
]) {
  for (const [kind, text] of [["", source], [" in a promise", source.replace("function", "async function").replace("{", "{ await null;")]]) {
    test("batch: " + name + kind, async () => {
      const { outcomes, stderr } = await handler(text, [{ batch: events }]);
      assert.deepEqual([stderr, outcomes], ["", [want]]);
    });
  }
}

test("children of a batch name their parents", async () => {
  const { children } = await handler(source, [{ batch: [{}, "child"] }]);
  assert.deepEqual(children, [{ event_type: "noted", data: 1, metadata: { deliver_after: "90000ms" }, parent_index: 1 }]);
});

test("without batches each event comes alone", async () => {
  const { outcomes, children } = await handler(source, [{ n: 2 }, "none", "child"]);
  assert.deepEqual(outcomes, [[0, '[2,"e-1",{"n":2}]'], [2, "no"], [0, ""]]);
  assert.equal(children[0].parent_index, undefined);
});

test("a handler of events gets no batch", async () => {
  const { exited, stderr } = await handler("export default () => 1", [{ batch: [1] }]);
  assert.match(stderr, /^TypeError: the manifest asks for batches/);
  assert.ok(exited);
});

test("deferred children", async () => {
  const { children } = await handler(`export default (e) => {
    b.emit({ type: "a", deliverAt: new Date(0) });
    e.emit({ type: "b", deliverAt: "2026-12-01T08:00:00Z" });
    e.emit({ type: "c", deliverAfter: "15m" });
  }`, [1]);
  assert.deepEqual(children.map((child) => child.metadata),
    [{ deliver_at: "1970-01-01T00:00:00.000Z" }, { deliver_at: "2026-12-01T08:00:00Z" }, { deliver_after: "15m" }]);
});

test("keys, limits and traces", async () => {
  const kv = new Map(["b", "a/1", "a/größe", "a/2", "a/B", "a/3"].map((key) => [key, "1"]));
  const text = `export default () => {
    b.kvExpire("b", 1.5);
    const codes = [["b", -1], ["b", 2 ** 31], ["none", 1]].map((a) => { try { b.kvExpire(...a) } catch (x) { return x.code } });
    return [[...b.kvKeys("a/")], [...b.kvKeys()].length, codes, b.trace() ?? null];
  }`;
  const keys = ["a/1", "a/2", "a/3", "a/B", "a/größe"], codes = ["INVALID", "INVALID", "NOT_FOUND"];
  const done = await handler(text, [1], { kv });
  assert.deepEqual([done.stderr, done.outcomes], ["", [[0, JSON.stringify([keys, 6, codes, null])]]]);
  assert.deepEqual([...done.limits], [["b", 2]]);
  const traced = await handler("export default () => b.trace()", [1], { trace: "00-1-2-01" });
  assert.deepEqual(traced.outcomes, [[0, '"00-1-2-01"']]);
});

test("the second edition is imported only by handlers that use it", async () => {
  const second = async (text) => WebAssembly.Module.imports(await module({ "handler.js": text }))
    .map(({ name }) => name).filter((name) => ["kv_list", "kv_expire", "trace"].includes(name)).length;
  assert.equal(await second('import berth, { kv, emit } from "berth-js"; export default () => [kv.get("a"), Object.keys(berth)]'), 0);
  assert.equal(await second('import * as b from "berth-js"; export default () => b.kv.get("a")'), 0);
  assert.equal(await second('import { trace } from "berth-js"; export default () => trace()'), 3);
});
