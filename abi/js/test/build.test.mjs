import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, test } from "node:test";
import { build, BuildError } from "../lib/build.mjs";
import * as wasm from "../lib/wasm.mjs";
import { run } from "./host.mjs";

const program = fileURLToPath(new URL("../bin/berth-js.mjs", import.meta.url));

let directory;
beforeEach(() => { directory = mkdtempSync(join(tmpdir(), "berth-js-test-")); });
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name, text) => writeFileSync(join(directory, name), text);

test("the same source builds the same module", async () => {
  write("handler.js", "export default () => Math.random() + Date.now()");
  const first = await build(directory), second = await build(directory);
  assert.deepEqual(first.bytes, second.bytes);
  assert.equal(first.name, "handler");
});

test("the module has the ABI's exports and imports, and the manifest", async () => {
  write("handler.ts", "export default (e: unknown): number => 1");
  write("manifest.json", '{"name":"stock"}');
  const { name, bytes } = await build(directory);
  assert.equal(name, "stock");
  const module = new WebAssembly.Module(bytes);
  assert.deepEqual(WebAssembly.Module.exports(module).map((e) => e.name).sort(), ["memory", "run"]);
  assert.deepEqual([...new Set(WebAssembly.Module.imports(module).map((i) => i.module))].sort(), ["berth_v1", "wasi_snapshot_preview1"]);
  assert.equal(Buffer.from(WebAssembly.Module.customSections(module, "berth.manifest")[0]).toString(), '{"name":"stock"}');
  assert.equal(WebAssembly.Module.customSections(module, "name").length, 1);
});

for (const [name, files, want] of [
  ["no source", {}, /no handler in .*: write handler.ts or handler.js/],
  ["a mistake", { "handler.js": "export default (" }, /handler\.js:1:16/],
  ["an unknown package", { "handler.js": 'import x from "left-pad"; export default x' }, /Could not resolve "left-pad"/],
  ["await at the top level", { "handler.js": "await 1; export default 1" }, /[Tt]op-level await/],
  ["a damaged package.json", { "package.json": "{" }, /package\.json: /],
]) {
  test("refused: " + name, async () => {
    for (const [file, text] of Object.entries(files)) write(file, text);
    await assert.rejects(build(directory), (error) => error instanceof BuildError && want.test(error.message));
  });
}

test("the program", () => {
  write("handler.js", "export default () => 1");
  write("manifest.json", '{"name":"stock"}');
  const start = (...args) => execFileSync(process.execPath, [program, ...args], { cwd: directory, stdio: "pipe" }).toString();
  start("build");
  assert.ok(WebAssembly.validate(readFileSync(join(directory, "stock.wasm"))));
  start("build", "handler.js", "-o", "other.wasm");
  assert.ok(WebAssembly.validate(readFileSync(join(directory, "other.wasm"))));
  assert.match(start("--help"), /^usage: berth-js build/);
  for (const args of [[], ["make"], ["build", "a", "b"], ["build", "--fast"], ["build", "none"]]) {
    assert.throws(() => start(...args), (error) => error.status === 1 && String(error.stderr).startsWith("berth-js: "), args.join(" "));
  }
});

test("a module without the snapshot prepares itself", async () => {
  write("handler.js", "export default (e) => [e.data, Math.random() < 1]");
  const prepared = await build(directory), plain = await build(directory, { snapshot: false });
  assert.ok(plain.bytes.length < prepared.bytes.length);
  for (const { bytes } of [prepared, plain]) {
    assert.deepEqual(run(new WebAssembly.Module(bytes), [7]).outcomes, [[0, "[7,true]"]]);
  }
});

test("sections", () => {
  for (const n of [0, 1, 127, 128, 65536, 2 ** 32 - 1]) {
    let value = 0, scale = 1;
    for (const b of wasm.leb(n)) {
      value += (b & 127) * scale;
      scale *= 128;
    }
    assert.equal(value, n);
  }
  const empty = wasm.encode([]);
  assert.deepEqual(wasm.decode(empty), []);
  assert.throws(() => wasm.decode(Buffer.from("not a module")));
  assert.throws(() => wasm.decode(Buffer.concat([empty, Buffer.from([1, 9])])), /ends too early/);
});
