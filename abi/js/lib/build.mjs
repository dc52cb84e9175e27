// Builds a handler: bundles its source with esbuild and joins it with the engine.
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { engine } from "./engine.mjs";
import { snapshot } from "./snapshot.mjs";
import * as wasm from "./wasm.mjs";

const sdk = join(dirname(fileURLToPath(import.meta.url)), "..");
const PAGE = 65536;
const ENTRIES = ["handler.ts", "handler.js", "src/handler.ts", "src/handler.js", "index.ts", "index.js"];

// The native functions of glue.wat, in the order of their letters from "a" on.
const NATIVES = ["attempt", "remaining", "error", "config", "map", "exit", "random", "randomBytes", "finish", "log", "field", "emit",
  "secret", "http", "kvGet", "kvGetBytes", "kvSet", "kvCas", "kvDelete", "write", "encode", "decode", "int"];
const SECOND = ["kvList", "kvExpire", "trace"]; // of the second edition of the ABI, behind those

/** A mistake of the handler's author: its message is for people and needs no stack. */
export class BuildError extends Error {}

/** Builds the handler in a directory, or the one of a source file. Returns {name, bytes}. */
export async function build(path, options = {}) {
  const { directory, entry } = source(path);
  const manifest = readManifest(directory);
  const bundle = await bundled(directory, entry);
  let sections = withCode(bundle);
  if (options.snapshot === false) {
    wasm.keepExports(sections, ["memory", "run", "_initialize"]);
  } else {
    try {
      sections = snapshot(sections);
    } catch (error) {
      throw new BuildError("the engine refused the bundle: " + error.message, { cause: error });
    }
  }
  if (manifest !== undefined) sections.push(wasm.customSection("berth.manifest", manifest.bytes));
  return { name: manifest?.name ?? "handler", bytes: wasm.encode(sections) };
}

function source(path) {
  if (!existsSync(path)) throw new BuildError(path + " does not exist");
  if (!statSync(path).isDirectory()) return { directory: resolve(dirname(path)), entry: resolve(path) };
  const directory = resolve(path), file = join(directory, "package.json");
  const main = existsSync(file) ? parsed(file).main : undefined;
  const found = main ?? ENTRIES.find((name) => existsSync(join(directory, name)));
  if (found === undefined) {
    throw new BuildError("no handler in " + path + ": write handler.ts or handler.js, or name the file as main in package.json");
  }
  return { directory, entry: join(directory, found) };
}

function parsed(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new BuildError(file + ": " + error.message);
  }
}

function readManifest(directory) {
  const file = join(directory, "manifest.json");
  if (!existsSync(file)) return undefined;
  return { name: parsed(file).name, bytes: readFileSync(file) };
}

async function bundled(directory, entry) {
  let result;
  try {
    result = await esbuild.build({
      absWorkingDir: directory, entryPoints: [entry], outfile: join(directory, "bundle.js"), write: false,
      bundle: true, format: "cjs", platform: "neutral", mainFields: ["module", "main"], conditions: ["module"], target: "es2023",
      charset: "utf8", legalComments: "none", logLevel: "silent",
      sourcemap: "external", sourcesContent: false, metafile: true,
      alias: { "berth-js": join(sdk, "index.js") },
      // The bundle is one function: it is compiled when the module is built and called when an instance starts.
      banner: { js: "(function (module, exports) {" }, footer: { js: "})" },
    });
  } catch (error) {
    if (error.errors === undefined) throw error;
    const messages = await esbuild.formatMessages(error.errors, { kind: "error", color: process.stderr.isTTY });
    throw new BuildError(messages.join("").trimEnd());
  }
  const warnings = await esbuild.formatMessages(result.warnings, { kind: "warning", color: process.stderr.isTTY });
  process.stderr.write(warnings.join(""));
  const file = (suffix) => result.outputFiles.find((f) => f.path.endsWith(suffix)).text;
  // second.js is in the bundle only if the handler imports one of its functions.
  const second = Object.values(result.metafile.outputs).some((output) => Object.entries(output.inputs).some(([name, input]) =>
    input.bytesInOutput > 0 && resolve(directory, name) === join(sdk, "second.js")));
  return { code: file(".js"), map: perLine(JSON.parse(file(".js.map"))), second };
}

// perLine writes a source map so that one line of it can be read without those before: see
// locate in runtime.js.
function perLine({ sources, mappings }) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const state = [0, 0, 0, 0, 0]; // generated column, source, line, column, name
  const lines = [JSON.stringify(sources)];
  for (const line of mappings.split(";")) {
    lines.push(state.slice(1, 4).join(" ") + " " + line);
    for (const segment of line.split(",")) {
      let value = 0, shift = 0, member = 0;
      for (const c of segment) {
        const digit = digits.indexOf(c);
        value += (digit & 31) * 2 ** shift;
        shift += 5;
        if (digit & 32) continue;
        state[member++] += value & 1 ? -(value >>> 1) : value >>> 1;
        value = shift = 0;
      }
    }
  }
  return lines.join("\n");
}

// withCode returns the engine's sections with the texts that glue.wat reads: see the block
// that it describes.
function withCode(bundle) {
  const { sections, base } = engine(bundle.second);
  const natives = bundle.second ? [...NATIVES, ...SECOND] : NATIVES;
  const header = Buffer.alloc(32);
  const segments = [];
  let at = base + 256;
  const place = (text, field) => {
    const bytes = Buffer.from(text + "\0");
    header.writeUInt32LE(at, field);
    if (field !== 28) header.writeUInt32LE(bytes.length - 1, field + 4);
    segments.push({ offset: at, bytes });
    at += bytes.length;
  };
  place(readFileSync(join(sdk, "runtime.js"), "utf8"), 4);
  place(bundle.code, 12);
  place(bundle.map, 20);
  place(natives.map((name, i) => String.fromCharCode(97 + i) + name + "\0").join(""), 28);
  wasm.setMemoryPages(sections, Math.ceil(at / PAGE));
  return wasm.addData(sections, [{ offset: base, bytes: header }, ...segments]);
}
