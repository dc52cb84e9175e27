// Joins the JavaScript engine with glue.wat: everything of a handler but its own code. The
// result is kept in node_modules/.cache until the engine, the glue or a tool changes.
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as wasm from "./wasm.mjs";

const sdk = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
const PAGE = 65536;

// What the engine's compiler and the glue use; all of it is in WebAssembly 2.0.
const FEATURES = ["bulk-memory", "reference-types", "multivalue", "mutable-globals", "nontrapping-float-to-int", "sign-ext"]
  .map((name) => "--enable-" + name);

function packageVersion(name) {
  return JSON.parse(readFileSync(require.resolve(name + "/package.json"))).version;
}

/**
 * Returns {sections, base}: the joined module and the address of the glue's block. second: with
 * the functions of the ABI's second edition.
 */
export function engine(second) {
  const quickjs = readFileSync(require.resolve("quickjs-wasi/quickjs.wasm"));
  const whole = readFileSync(join(sdk, "glue.wat"), "utf8");
  const glue = second ? whole : whole.replace(/;; \[second edition[^]*?;; second edition\]/g, "");
  // The block lies behind the engine's memory, where its allocator never looks.
  const base = wasm.memoryPages(wasm.decode(quickjs)) * PAGE;

  const hash = createHash("sha256").update(quickjs).update(glue).update(readFileSync(fileURLToPath(import.meta.url)));
  const key = hash.update(packageVersion("binaryen")).digest("hex").slice(0, 16);
  const cached = join(sdk, "node_modules", ".cache", "berth-js", "engine-" + key + ".wasm");
  try {
    return { sections: wasm.decode(readFileSync(cached)), base };
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  const joined = merged(quickjs, glue, base);
  try {
    mkdirSync(dirname(cached), { recursive: true });
    const draft = cached + "." + process.pid;
    writeFileSync(draft, joined);
    renameSync(draft, cached);
  } catch (error) {
    if (error.code !== "EACCES" && error.code !== "EROFS") throw error; // a read-only SDK: join it each time
  }
  return { sections: wasm.decode(joined), base };
}

function merged(quickjs, glue, base) {
  const directory = mkdtempSync(join(tmpdir(), "berth-js-"));
  try {
    const file = (name) => join(directory, name);
    const binaryen = dirname(require.resolve("binaryen/package.json"));
    const run = (tool, ...args) => {
      execFileSync(process.execPath, [join(binaryen, "bin", tool), ...FEATURES, ...args], { stdio: "inherit" });
    };

    const sections = wasm.decode(quickjs);
    wasm.setMemoryPages(sections, base / PAGE + 1);
    writeFileSync(file("quickjs.wasm"), wasm.encode(sections));
    writeFileSync(file("glue.wat"), glue.replace(/\{(\d+)\}/g, (_, n) => String(base + Number(n))));
    run("wasm-as", file("glue.wat"), "-g", "-o", file("glue.wasm"));
    run("wasm-merge", file("quickjs.wasm"), "qjs", file("glue.wasm"), "env", "-g", "-o", file("joined.wasm"));

    const joined = wasm.decode(readFileSync(file("joined.wasm")));
    wasm.keepExports(joined, ["memory", "run", "prepare", "_initialize", "__stack_pointer"]);
    writeFileSync(file("joined.wasm"), wasm.encode(joined));
    run("wasm-opt", file("joined.wasm"), "--remove-unused-module-elements", "-g", "-o", file("engine.wasm"));
    return readFileSync(file("engine.wasm"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
