// A host for tests: it runs a module with events and records what it did.
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "../lib/build.mjs";

const END = -1, INVALID = -2, DENIED = -3, NOT_FOUND = -4, CONFLICT = -8;

/** Builds a handler from files: their texts by names. */
export async function module(files) {
  const directory = mkdtempSync(join(tmpdir(), "berth-js-test-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), text);
    }
    return new WebAssembly.Module((await build(directory)).bytes);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

class Exit extends Error {}

/**
 * Runs one instance with events, whose data is given. Returns {outcomes, logs, stderr, exited,
 * pages, kv}: the outcomes are [status, text], and a failed attempt has none.
 */
export function run(module, events, { trace, limits = new Map(), config = {}, http, kv = new Map(), secrets = {} } = {}) {
  const done = { outcomes: [], logs: [], children: [], stderr: "", exited: false, pages: [], kv, limits };
  let memory, latest = Buffer.alloc(0), open, at = 0, failure = "", calls = 0;

  const bytes = (p, n) => {
    if (p + n > memory.buffer.byteLength || n < 0) throw new Error("out of bounds");
    return Buffer.from(memory.buffer, p, n);
  };
  const text = (p, n) => bytes(p, n).toString();
  const yielded = (value, p, n) => {
    latest = Buffer.from(value);
    if (latest.length <= n) latest.copy(bytes(p, n));
    return latest.length;
  };
  const failed = (code, message) => {
    failure = message;
    return code;
  };

  const berth = {
    next(p, n) {
      if (open !== undefined) done.outcomes.push([0, ""]);
      done.pages.push(memory.buffer.byteLength / 65536);
      if (at === events.length) return END;
      const envelope = (data, i) => ({
        event_type: "order_status_changed", data,
        metadata: { event_id: "e-" + i, idempotency_key: "k-" + i, source: "orders", subject: "o-1", time: "2026-01-02T03:04:05Z", correlation_id: "c", hops: 0 },
      });
      const data = events[at++]; // {batch: […]} is a batch
      open = JSON.stringify(data?.batch === undefined ? envelope(data, at) : { events: data.batch.map(envelope) });
      return yielded(open, p, n);
    },
    last: (p, n) => yielded(latest, p, n),
    field(p, n, buf, cap) {
      const pointer = text(p, n);
      if (pointer === "") return yielded(open, buf, cap);
      if (!pointer.startsWith("/")) return failed(INVALID, "not a pointer");
      let value = JSON.parse(open);
      for (const token of pointer.slice(1).split("/")) {
        if (typeof value !== "object" || value === null || !Object.hasOwn(value, token)) return failed(NOT_FOUND, "no such field");
        value = value[token];
      }
      return yielded(typeof value === "string" ? value : JSON.stringify(value), buf, cap);
    },
    finish(status, p, n) {
      if (open === undefined) return failed(INVALID, "no event is open");
      const result = text(p, n);
      if (status === 0 && result !== "") {
        try { JSON.parse(result); } catch { return failed(INVALID, "not JSON"); }
      }
      open = undefined;
      done.outcomes.push([status, result]);
      return 0;
    },
    emit: (p, n) => { done.children.push(JSON.parse(text(p, n))); return 0; },
    log: (level, p, n) => { done.logs.push([level, text(p, n)]); },
    config: (p, n) => { calls++; return yielded(JSON.stringify(config), p, n); },
    secret: (p, n, buf, cap) => (text(p, n) in secrets ? yielded(secrets[text(p, n)], buf, cap) : failed(DENIED, "not granted")),
    kv_get: (p, n, buf, cap) => (kv.has(text(p, n)) ? yielded(kv.get(text(p, n)), buf, cap) : failed(NOT_FOUND, "no such key")),
    kv_set: (p, n, v, m) => { kv.set(text(p, n), Buffer.from(bytes(v, m))); return 0; },
    kv_cas(p, n, o, k, v, m) {
      const key = text(p, n);
      if (k === -1 ? kv.has(key) : !kv.has(key) || Buffer.compare(Buffer.from(kv.get(key)), bytes(o, k)) !== 0) return failed(CONFLICT, "it differs");
      kv.set(key, Buffer.from(bytes(v, m)));
      return 0;
    },
    kv_delete: (p, n) => { kv.delete(text(p, n)); return 0; },
    kv_list(p, n, a, m, buf, cap) {
      const after = m > 0 ? bytes(a, m) : undefined;
      const keys = [...kv.keys()].map((key) => Buffer.from(key)).sort(Buffer.compare)
        .filter((key) => key.toString().startsWith(text(p, n)) && (after === undefined || Buffer.compare(key, after) > 0)).slice(0, 2);
      const size = (key) => { const b = Buffer.alloc(4); b.writeUInt32LE(key.length); return b; };
      return yielded(Buffer.concat(keys.flatMap((key) => [size(key), key])), buf, cap);
    },
    kv_expire(p, n, seconds) {
      if (seconds < 0) return failed(INVALID, "below zero");
      if (!kv.has(text(p, n))) return failed(NOT_FOUND, "no such key");
      limits.set(text(p, n), seconds);
      return 0;
    },
    trace: (p, n) => (trace === undefined ? failed(NOT_FOUND, "not traced") : yielded(trace, p, n)),
    http: (p, n, buf, cap) => yielded(JSON.stringify(http(JSON.parse(text(p, n)))), buf, cap),
    attempt: () => 1,
    remaining: () => 5000,
    error: (p, n) => yielded(failure, p, n),
  };
  const wasi = {
    fd_write(_fd, list, n, out) {
      const view = new DataView(memory.buffer);
      let total = 0;
      for (let i = 0; i < n; i++) {
        const length = view.getUint32(list + 8 * i + 4, true);
        done.stderr += text(view.getUint32(list + 8 * i, true), length);
        total += length;
      }
      view.setUint32(out, total, true);
      return 0;
    },
    random_get: (p, n) => { bytes(p, n).fill(7); return 0; },
    clock_time_get: (_id, _precision, out) => {
      new DataView(memory.buffer).setBigUint64(out, 1767323045000000000n, true);
      return 0;
    },
    proc_exit: () => { throw new Exit(); },
  };
  const imports = { berth_v1: berth, wasi_snapshot_preview1: wasi };
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from][name] ??= () => { throw new Error("the test's host has no " + from + "." + name); };
  }
  const { exports } = new WebAssembly.Instance(module, imports);
  memory = exports.memory;
  exports._initialize?.();
  try {
    exports.run();
  } catch (error) {
    if (!(error instanceof Exit)) throw error;
    done.exited = true;
  }
  done.configCalls = calls;
  return done;
}

/** Runs a handler, given as the source of handler.js, with events. */
export async function handler(source, events, options) {
  return run(await module({ "handler.js": 'import berth, * as b from "berth-js";\n' + source }), events, options);
}
