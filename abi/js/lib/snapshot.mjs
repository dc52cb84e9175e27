// Runs a module's preparation and makes what it left in memory the module's data, so that an
// instance starts with the engine ready and the handler compiled.
import * as wasm from "./wasm.mjs";

const PAGE = 65536;
const GAP = 16; // zeros that end a data segment: its header has up to 12 bytes

/** Returns the module's sections after _initialize and prepare. Throws what they report. */
export function snapshot(sections) {
  const module = new WebAssembly.Module(wasm.encode(sections));
  let memory, written = "";
  const view = () => new DataView(memory.buffer);
  const wasi = {
    // The build is the same whenever it runs: the time is that of the epoch, and what is
    // random is not. An instance takes both from its host.
    clock_time_get: (_clock, _precision, out) => { view().setBigUint64(out, 0n, true); return 0; },
    random_get: (out, n) => { new Uint8Array(memory.buffer, out, n).fill(0x5a); return 0; },
    fd_write: (_fd, list, n, out) => {
      let total = 0;
      for (let i = 0; i < n; i++) {
        const start = view().getUint32(list + 8 * i, true), length = view().getUint32(list + 8 * i + 4, true);
        written += Buffer.from(memory.buffer, start, length).toString();
        total += length;
      }
      view().setUint32(out, total, true);
      return 0;
    },
  };
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = wasi[name] ?? (() => {
      throw new Error("the engine called " + from + "." + name + " while the module was built");
    });
  }
  const { exports } = new WebAssembly.Instance(module, imports);
  memory = exports.memory;
  const stack = exports.__stack_pointer?.value;
  try {
    exports._initialize?.();
    exports.prepare();
  } catch (error) {
    throw new Error(written === "" ? error.message : written, { cause: error });
  }
  if (exports.__stack_pointer?.value !== stack) throw new Error("the engine's stack is not empty after its preparation");

  const bytes = Buffer.from(memory.buffer);
  const result = wasm.replaceData(sections, used(bytes));
  wasm.setMemoryPages(result, bytes.length / PAGE);
  wasm.keepExports(result, ["memory", "run"]);
  return result;
}

/** The parts of memory that are not zero. */
function used(bytes) {
  const segments = [];
  for (let start = 0; start < bytes.length; ) {
    if (bytes[start] === 0) {
      start++;
      continue;
    }
    let end = start + 1;
    for (let zeros = 0, i = end; i < bytes.length && zeros < GAP; i++) {
      if (bytes[i] === 0) {
        zeros++;
      } else {
        zeros = 0;
        end = i + 1;
      }
    }
    segments.push({ offset: start, bytes: bytes.subarray(start, end) });
    start = end;
  }
  return segments;
}
