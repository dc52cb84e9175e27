import assert from "node:assert/strict";
import { test } from "node:test";
import { handler, module, run } from "./host.mjs";

const ok = (value) => [0, value === undefined ? "" : JSON.stringify(value)];

for (const [name, source, want] of [
  ["value", "export default () => ({ a: [1, null, 'x'] })", ok({ a: [1, null, "x"] })],
  ["nothing", "export default () => {}", ok()],
  ["null", "export default () => null", ok(null)],
  ["text", "export default () => 'a'", ok("a")],
  ["number", "export default () => 7", ok(7)],
  ["lone surrogate", "export default () => '\\ud800'", [0, '"\\ud800"']],
  ["NUL and emoji", "export default () => '\\0😀'", ok("\0😀")],
  ["raw JSON", "export default () => b.json('{\"n\": 1.0}')", [0, '{"n": 1.0}']],
  ["raw JSON that is none", "export default () => b.json('{')", [2, "the host refused the result: not JSON"]],
  ["promise", "export default async () => { await null; await 0; return 1 }", ok(1)],
  ["promise of raw JSON", "export default async () => b.json('1.0')", [0, "1.0"]],
  ["promise of nothing", "export default async () => {}", ok()],
  ["thenable", "export default () => ({ then(f) { f(5) } })", ok(5)],
  ["jobs after the return", "let n = 0; export default () => { Promise.resolve().then(() => b.log.info('late')); return 1 }", ok(1)],
  ["reject", "export default () => { throw new b.Reject('no ö\\ud800') }", [2, "no ö\ufffd"]],
  ["retry", "export default () => { throw new b.Retry('later') }", [1, "later"]],
  ["reject in a promise", "export default async () => { await null; throw new b.Reject('no') }", [2, "no"]],
  ["caught rejection", "export default async () => { try { await Promise.reject(new Error('x')) } catch { return 'caught' } }", ok("caught")],
  ["never resolves", "export default () => new Promise(() => {})", [2, /^the promise that handle returned never resolves/]],
  ["named export", "export function handle() { return 1 }", ok(1)],
  ["CommonJS", "module.exports = () => 2", ok(2)],
  ["field", "export default (e) => [e.field('/data/s'), e.field('/data/n'), e.field('/data/none') === undefined]", ok(["téxt", "12", true])],
  ["int", "export default (e) => ['n', 's', 'f', 'neg', 'max', 'big', 'minus', 'empty', 'none'].map((k) => e.int('/data/' + k) ?? null)",
    ok([12, null, null, -3, 9007199254740991, null, null, null, null])],
  ["bigint", "export default (e) => String(e.bigint('/data/neg')) + e.bigint('/data/s')", ok("-3undefined")],
  ["bool", "export default (e) => [e.bool('/data/t'), e.bool('/data/n') ?? null]", ok([true, null])],
  ["json", "export default (e) => [e.json('/data/s'), e.json('/data/quoted'), e.json('/data/n'), e.json('/data/o')]", ok(['"téxt"', '"{}"', "12", '{"a/b":"1"}'])],
  ["data", "export default (e) => [e.data.n, e.data === e.data, e.envelope.metadata.hops]", ok([12, true, 0])],
  ["metadata", "export default (e) => [e.type, e.id, e.subject, e.source, e.time, e.hops, e.attempt, e.remaining, e.causationId ?? null]",
    ok(["order_status_changed", "e-1", "o-1", "orders", "2026-01-02T03:04:05Z", 0, 1, 5000, null])],
  ["code of an error", "export default (e) => { try { e.field('data') } catch (x) { return [x.code, x instanceof b.HostError, x.message] } }",
    ok(["INVALID", true, "field data: not a pointer"])],
  ["wrong types", `export default (e) => [() => e.field(5), () => b.kv.set('k', {}), () => b.secret()].map((f) => { try { f() } catch (x) { return x.name } })`,
    ok(["TypeError", "TypeError", "TypeError"])],
  ["kv", `export default () => { const { kv } = b; kv.set('a\\0', 'ü'); kv.set('b', new Uint8Array([255]));
    return [kv.get('a\\0'), [...kv.getBytes('b')], kv.get('c') ?? null, kv.cas('c', null, '1'), kv.cas('c', null, '2'), kv.cas('c', '1', ''), kv.get('c'), kv.delete('c') ?? null] }`,
    ok(["ü", [255], null, true, false, true, "", null])],
  ["secret", "export default () => { try { b.secret('x') } catch (e) { return e.code + b.secret('s') } }", ok("DENIEDhush")],
  ["config", "const c = berth.config; export default () => [c.a, b.config === c]", ok([1, true])],
  ["http", `export default () => { const r = b.http({ url: 'https://x/', body: new Uint8Array([0, 255]) }); return [r.status, r.ok, r.headers.a, r.json(), [...r.bytes()]] }`,
    ok([201, true, "b", [1], [91, 49, 93]])],
  ["dates", "export default () => [new Date().toISOString(), new Date(0).getTimezoneOffset()]", ok(["2026-01-02T03:04:05.000Z", 0])],
  ["random", "export default () => { const r = Math.random(); return r > 0 && r < 1 && r !== Math.random() }", ok(true)],
  ["UUID", "export default () => crypto.randomUUID()", ok("07070707-0707-4707-8707-070707070707")],
  ["random bytes", "export default () => [...crypto.getRandomValues(new Uint16Array(2))]", ok([0x0707, 0x0707])],
  ["texts", "export default () => new TextDecoder().decode(new TextEncoder().encode('aé😀'))", ok("aé😀")],
  ["base64", "export default () => [atob(btoa('a\\xff')) === 'a\\xff', typeof structuredClone]", ok([true, "undefined"])],
  ["microtask", "export default async () => { let s = 'a'; queueMicrotask(() => { s += 'b' }); await null; return s }", ok("ab")],
  ["time since the start", "export default () => performance.now() >= 0 && performance.now() < 60000 && performance.timeOrigin > 0", ok(true)],
  ["timers", "export default () => { try { setTimeout(() => {}, 1) } catch (e) { return e.message.slice(0, 25) } }", ok("setTimeout does not exist")],
  ["recursion", "const f = () => f() + 1; export default () => { try { f() } catch (e) { return e.name } }", ok("RangeError")],
]) {
  test(name, async () => {
    const data = { s: "téxt", n: 12, f: 1.5, neg: -3, max: 9007199254740991, big: 9007199254740992, minus: "-", empty: "", t: true, quoted: "{}", o: { "a/b": "1" } };
    const http = (request) => (request.body_base64 === "AP8=" && request.method === "GET" ? { status: 201, headers: { a: "b" }, body: "[1]" } : { status: 400 });
    const done = await handler(source, [data], { config: { a: 1 }, secrets: { s: "hush" }, http });
    assert.equal(done.stderr, "");
    const [[status, text]] = done.outcomes;
    assert.equal(status, want[0]);
    if (want[1] instanceof RegExp) assert.match(text, want[1]);
    else assert.equal(text, want[1]);
  });
}

for (const [name, source, want] of [
  ["exception", "\n\nfunction explode() {\n  throw new TypeError('no\\nstock');\n}\nexport default () => explode()",
    "TypeError: no stock\n    at explode (handler.js:5:13)\n    at "],
  ["in a promise", "export default async () => {\n  await null;\n  throw new Error('x');\n}", "Error: x\n    at handler_default (handler.js:4:13)\n"],
  ["cause", "export default () => { throw new Error('a', { cause: new RangeError('b') }) }", "Error: a (cause: RangeError: b)\n"],
  ["no Error", "export default () => { throw { a: 1 } }", 'Uncaught {"a":1}\n'],
  ["of the engine", "export default () => undefined.x", "TypeError: "],
  ["no handler", "export const x = 1", "TypeError: the handler exports no function"],
  ["at the top level", "throw new Error('early')", "Error: early\n    at <anonymous> (handler.js:2:11)\n"],
  ["a rejection without a handler", "export default () => { Promise.reject(new Error('lost')); return 1 }", "Error: lost\n"],
  ["a rejection at the top level", "(async () => { throw new Error('lost') })(); export default () => {}", "Error: lost\n"],
  ["a result without JSON", "export default () => () => {}", "TypeError: handle returned a function, which has no JSON\n"],
  ["a cycle", "const a = {}; a.a = a; export default () => a", "TypeError: circular reference\n"],
  ["in a getter", "export default () => ({ get x() { throw new Error('in x') } })", "Error: in x\n    at get x (handler.js:"],
]) {
  test("fails: " + name, async () => {
    const done = await handler(source, [{}]);
    assert.ok(done.exited);
    assert.deepEqual(done.outcomes, []);
    assert.equal(done.stderr.slice(0, want.length), want);
  });
}

test("the stack has the lines of TypeScript in several files", async () => {
  const done = run(await module({
    "package.json": '{"main": "src/handler.ts", "dependencies": {"berth-js": "file:x"}}',
    "src/handler.ts": 'import { stock } from "./stock/stock";\ninterface A {\n  b: string;\n}\nexport default async (e: A): Promise<void> => {\n  stock(-3);\n};\n',
    "src/stock/stock.ts": "type N = number;\n\n\nexport function stock(n: N): void {\n  if (n < 0)\n    throw new Error(`the stock is ${n}`);\n}\n",
  }), [{}]);
  assert.match(done.stderr, /^Error: the stock is -3\n {4}at stock \(src\/stock\/stock\.ts:6:\d+\)\n {4}at handler_default \(src\/handler\.ts:6:\d+\)\n$/);
});

test("logs have levels, and values as JSON", async () => {
  const done = await handler("export default () => { console.log('a', 1, { b: [2] }, null, undefined); b.log.error(new Error('x')); b.log.debug(''); b.log.warn(10n) }", [{}]);
  assert.deepEqual(done.logs.map(([level]) => level), [1, 3, 0, 2]);
  assert.equal(done.logs[0][1], 'a 1 {"b":[2]} null undefined');
  assert.match(done.logs[1][1], /^Error: x\n {4}at .*handler\.js:2:/);
  assert.equal(done.logs[2][1], "");
});

test("children", async () => {
  const done = await handler("export default () => { b.emit({ type: 'a', data: { x: 1 }, subject: 's', idempotencyKey: 'k' }); b.emit({ type: 'b' }); b.emit({ type: 'c', data: b.json('1') }) }", [{}]);
  assert.deepEqual(done.children, [
    { event_type: "a", data: { x: 1 }, metadata: { subject: "s", idempotency_key: "k" } },
    { event_type: "b", data: null, metadata: {} },
    { event_type: "c", data: 1, metadata: {} },
  ]);
});

test("data of any kind is what was published", async () => {
  const all = [null, true, 7, "{}", "[1]", "", "a\"b", {}, [], { data: "x" }, [{ a: "}" }]];
  const done = await handler("export default (e) => ({ data: e.data })", all);
  assert.deepEqual(done.outcomes.map(([, text]) => JSON.parse(text).data), all);
});

test("an instance keeps its state, and its memory does not grow", async () => {
  const events = Array.from({ length: 10_000 }, (_, i) => ({ i, items: [{ sku: "a" }, { sku: "b" }] }));
  const done = await handler(`let n = 0;
    export default async (e) => { n++; const seen = e.data.items.map((i) => i.sku + e.data.i); await null; b.kv.set("k", seen.join()); return { n, seen, again: b.kv.get("k") } }`, events);
  assert.equal(done.outcomes.length, 10_000);
  assert.equal(JSON.parse(done.outcomes[9_999][1]).n, 10_000);
  assert.equal(done.pages[10_000], done.pages[1_000]);
});

test("an event of 1 MiB", async () => {
  const text = "ä".repeat(500_000);
  const done = await handler("export default (e) => [e.data.text.length, e.field('/data/text').length, e.raw.length > 500_000]", [{ text }, { text }]);
  assert.deepEqual(done.outcomes, [ok([500_000, 500_000, true]), ok([500_000, 500_000, true])]);
});

test("the configuration is read once", async () => {
  const done = await handler("export default () => b.config.a", [1, 2, 3], { config: { a: 5 } });
  assert.deepEqual(done.outcomes, [ok(5), ok(5), ok(5)]);
  assert.equal(done.configCalls, 1);
});
