// The part of the SDK that runs in the engine before the handler's bundle: the object
// `berth`, the functions that the loop in glue.wat calls, and what the engine lacks.
// It is evaluated when the module is built, so nothing here calls the host at once.
(() => {
  "use strict";

  const host = globalThis.__berth;
  const TYPE = '{"event_type":"'; // how an envelope begins
  const BUNDLE = "bundle.js";
  const CODES = ["END", "INVALID", "DENIED", "NOT_FOUND", "TOO_LARGE", "UNAVAILABLE", "TIMEOUT", "CONFLICT"];
  const NOT_FOUND = -4, CONFLICT = -8;
  const OK = 0, RETRY = 1, REJECT = 2;
  const RAW = Symbol("json");

  /** A call that the host answered with an error code of the ABI. */
  class HostError extends Error {
    constructor(call, code) {
      const text = host.error();
      super(text === "" ? call : call + ": " + text);
      this.code = CODES[-code - 1] ?? String(code);
    }
  }
  HostError.prototype.name = "HostError";

  /** Thrown by a handler: the event becomes a dead letter immediately. */
  class Reject extends Error {}
  Reject.prototype.name = "Reject";

  /** Thrown by a handler: the event is delivered again after a pause. */
  class Retry extends Error {}
  Retry.prototype.name = "Retry";

  /** A result that is JSON text already. */
  class RawJSON {
    constructor(text) { this[RAW] = String(text); }
    get text() { return this[RAW]; }
  }

  function checked(call, answer) {
    if (typeof answer === "number" && answer < 0) throw new HostError(call, answer);
    return answer;
  }

  // A string in well-formed UTF-16, or bytes as they are.
  function bytes(value, name) {
    if (typeof value === "string") return value.isWellFormed() ? value : value.toWellFormed();
    if (value instanceof Uint8Array) return value;
    throw new TypeError(name + " must be a string or a Uint8Array, not " + typeof value);
  }

  function text(value, name) {
    if (typeof value !== "string") throw new TypeError(name + " must be a string, not " + typeof value);
    return value.isWellFormed() ? value : value.toWellFormed();
  }

  const { field: hostField, int: hostInt } = host;

  // A field that is no string: there is none, or the call was wrong.
  function missing(pointer, code) {
    if (typeof pointer !== "string") throw new TypeError("the pointer must be a string, not " + typeof pointer);
    if (code === NOT_FOUND) return undefined;
    throw new HostError("field " + pointer, code);
  }

  let envelope, data; // of what the host has opened, once they are parsed

  class Event {
    emit(child) { emit(child); }

    field(pointer) {
      const value = hostField(pointer);
      return typeof value === "string" ? value : missing(pointer, value);
    }

    int(pointer) {
      const value = hostInt(pointer);
      return value === null ? missing(pointer, hostField(pointer)) : value;
    }

    bigint(pointer) {
      const value = this.field(pointer);
      return value !== undefined && /^-?\d+$/.test(value) ? BigInt(value) : undefined;
    }

    bool(pointer) {
      const value = this.field(pointer);
      return value === "true" ? true : value === "false" ? false : undefined;
    }

    json(pointer) {
      const raw = this.field(pointer);
      if (raw === undefined || pointer === "") return raw;
      // The host yields a string without its quotes: the parsed envelope says whether it is one.
      let value = this.envelope;
      for (const token of pointer.slice(1).split("/")) {
        value = value[token.replaceAll("~1", "/").replaceAll("~0", "~")];
      }
      return typeof value === "string" ? JSON.stringify(raw) : raw;
    }

    get raw() { return hostField(""); }
    get envelope() { return envelope ??= JSON.parse(hostField("")); }
    get data() {
      if (data === undefined) {
        // Most of an envelope is its data. The host yields a string there without its quotes,
        // so the character that follows "data" in the envelope says how to read it.
        const raw = hostField(""), quote = raw.indexOf('"', TYPE.length);
        const first = raw.startsWith(TYPE) && raw.startsWith('","data":', quote) ? raw[quote + 9] : "";
        data = first === "{" || first === "[" ? JSON.parse(hostField("/data")) : this.envelope.data;
      }
      return data;
    }

    get type() { return this.field("/event_type"); }
    get id() { return this.field("/metadata/event_id"); }
    get idempotencyKey() { return this.field("/metadata/idempotency_key"); }
    get source() { return this.field("/metadata/source"); }
    get subject() { return this.field("/metadata/subject"); }
    get time() { return this.field("/metadata/time"); }
    get correlationId() { return this.field("/metadata/correlation_id"); }
    get causationId() { return this.field("/metadata/causation_id"); }
    get traceparent() { return this.field("/metadata/traceparent"); }
    get hops() { return Number(this.field("/metadata/hops") ?? 0); }
    get attempt() { return checked("attempt", host.attempt()); }
    get remaining() { return checked("remaining", host.remaining()); }
  }

  // An event of a batch.
  class Item extends Event {
    #index; #path; #envelope;
    constructor(index, envelope) {
      super();
      this.#index = index;
      this.#path = "/events/" + index;
      this.#envelope = envelope;
    }

    // A malformed pointer stays one.
    #rooted(pointer) {
      return typeof pointer === "string" && (pointer === "" || pointer[0] === "/") ? this.#path + pointer : pointer;
    }

    field(pointer) {
      const value = hostField(this.#rooted(pointer));
      return typeof value === "string" ? value : missing(pointer, value);
    }

    int(pointer) {
      const rooted = this.#rooted(pointer), value = hostInt(rooted);
      return value === null ? missing(pointer, hostField(rooted)) : value;
    }

    get raw() { return hostField(this.#path); }
    get envelope() { return this.#envelope; }
    get data() { return this.#envelope.data; }

    emit(child) { emit(child, this.#index); }
  }

  // One or more events that the handler gets at once.
  class Batch {
    #results; #failures; #single;
    constructor(single) {
      this.#single = single;
      this.events = Object.freeze(single ? [new Event()]
        : JSON.parse(hostField("")).events.map((envelope, index) => new Item(index, envelope)));
      this.#results = this.events.map(() => undefined);
      this.#failures = this.events.map(() => undefined);
    }

    #checked(index) {
      if (!Object.hasOwn(this.#results, index)) throw new RangeError("the batch has no event " + String(index));
      return index;
    }

    succeed(index, value) {
      this.#results[this.#checked(index)] = encode(value);
      this.#failures[index] = undefined;
    }

    fail(index, error) {
      this.#results[this.#checked(index)] = undefined;
      this.#failures[index] = error instanceof Error ? error : new Retry(String(error));
    }

    // The result of the batch, as JSON text or undefined.
    static result(batch) {
      const results = batch.#results, failures = [];
      if (batch.#single) {
        if (batch.#failures[0] !== undefined) throw batch.#failures[0];
        return results[0];
      }
      batch.#failures.forEach((error, index) => {
        if (error === undefined) return;
        failures.push({ index, status: error instanceof Reject ? "reject" : "retry", reason: error.message.toWellFormed() });
      });
      const some = results.some((text) => text !== undefined);
      if (!some && failures.length === 0) return undefined;
      const members = [];
      if (some) members.push('"results":[' + results.map((text) => text ?? "null").join(",") + "]");
      if (failures.length > 0) members.push('"failures":' + JSON.stringify(failures));
      return "{" + members.join(",") + "}";
    }
  }

  const kv = {
    get(key) {
      const value = host.kvGet(bytes(key, "the key"));
      if (typeof value === "string") return value;
      if (value === NOT_FOUND) return undefined;
      throw new HostError("kv.get", value);
    },
    getBytes(key) {
      const value = host.kvGetBytes(bytes(key, "the key"));
      if (value === NOT_FOUND) return undefined;
      return checked("kv.getBytes", value);
    },
    set(key, value) {
      checked("kv.set", host.kvSet(bytes(key, "the key"), bytes(value, "the value")));
    },
    cas(key, old, value) {
      const before = old === undefined || old === null ? undefined : bytes(old, "the old value");
      const answer = host.kvCas(bytes(key, "the key"), before, bytes(value, "the value"));
      if (answer === CONFLICT) return false;
      checked("kv.cas", answer);
      return true;
    },
    delete(key) {
      checked("kv.delete", host.kvDelete(bytes(key, "the key")));
    },
  };

  function emit(child, parent) {
    const metadata = {};
    if (child.subject !== undefined) metadata.subject = child.subject;
    if (child.idempotencyKey !== undefined) metadata.idempotency_key = child.idempotencyKey;
    if (child.deliverAt !== undefined) metadata.deliver_at = child.deliverAt instanceof Date ? child.deliverAt.toISOString() : child.deliverAt;
    if (child.deliverAfter !== undefined) {
      metadata.deliver_after = typeof child.deliverAfter === "number" ? Math.round(child.deliverAfter) + "ms" : child.deliverAfter;
    }
    const text = child.data?.[RAW] ?? JSON.stringify(child.data) ?? "null";
    checked("emit", host.emit(
      '{"event_type":' + JSON.stringify(child.type) + ',"data":' + text + ',"metadata":' + JSON.stringify(metadata) +
        (parent === undefined ? "}" : ',"parent_index":' + parent + "}")));
  }

  // What second.js exports. The engine has the functions only if the handler imports one.
  host.second = {
    *kvKeys(prefix = "") {
      const begin = bytes(prefix, "the prefix");
      for (let after = ""; ; ) {
        const page = checked("kvKeys", host.kvList(begin, after));
        if (page.length === 0) return;
        const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
        for (let at = 0; at < page.length; ) {
          const end = at + 4 + view.getUint32(at, true);
          after = page.slice(at + 4, end);
          at = end;
          yield host.decode(after);
        }
      }
    },
    kvExpire(key, seconds) {
      if (typeof seconds !== "number") throw new TypeError("the seconds must be a number, not " + typeof seconds);
      checked("kvExpire", host.kvExpire(bytes(key, "the key"), seconds > 2147483647 ? -1 : Math.ceil(seconds)));
    },
    trace() {
      const value = host.trace();
      return value === NOT_FOUND ? undefined : checked("trace", value);
    },
  };

  class Response {
    #base64;
    constructor(answer) {
      this.status = answer.status;
      this.headers = answer.headers ?? {};
      this.#base64 = answer.body_base64;
      this.body = answer.body ?? (answer.body_base64 === undefined ? "" : host.decode(this.bytes()));
    }
    get ok() { return this.status >= 200 && this.status < 300; }
    bytes() { return this.#base64 === undefined ? host.encode(this.body) : Uint8Array.fromBase64(this.#base64); }
    json() { return JSON.parse(this.body); }
  }

  function http(request) {
    const sent = { method: request.method ?? "GET", url: request.url };
    if (request.headers !== undefined) sent.headers = request.headers;
    if (request.body instanceof Uint8Array) sent.body_base64 = request.body.toBase64();
    else if (request.body !== undefined) sent.body = text(request.body, "the body");
    const answer = checked("http", host.http(JSON.stringify(sent)));
    return new Response(JSON.parse(answer));
  }

  function secret(name) {
    return checked("secret", host.secret(text(name, "the name")));
  }

  // One line of a log: texts as they are, everything else as JSON where there is one.
  function format(values) {
    return values.map((value) => {
      if (typeof value === "string") return value;
      if (value instanceof Error) return headline(value) + "\n" + frames(value);
      if (typeof value === "object" && value !== null) {
        try { return JSON.stringify(value) ?? String(value); } catch { /* a cycle or a BigInt */ }
      }
      return String(value);
    }).join(" ").toWellFormed();
  }

  const log = {
    debug(...values) { host.log(0, format(values)); },
    info(...values) { host.log(1, format(values)); },
    warn(...values) { host.log(2, format(values)); },
    error(...values) { host.log(3, format(values)); },
  };

  let configuration;

  globalThis.berth = Object.freeze({
    kv: Object.freeze(kv), log: Object.freeze(log), emit: (child) => emit(child), http, secret,
    json: (value) => new RawJSON(value),
    get config() { return configuration ??= JSON.parse(host.config()); },
    HostError, Reject, Retry, RawJSON,
  });

  // ---- the loop's functions

  let handle, handleBatch;
  let first = true; // nothing has been handled yet
  let refusal = REJECT; // of a result
  let outcome; // of a handler that threw, or whose promise has resolved: [status, text]

  // start evaluates the bundle, once for each instance.
  host.start = () => {
    const clock = performance, origin = clock.now();
    globalThis.performance = { timeOrigin: Date.now(), now: () => clock.now() - origin };
    try {
      const module = { exports: {} };
      host.main(module, module.exports);
      const exported = module.exports;
      handle = typeof exported === "function" ? exported : exported.default ?? exported.handle;
      handleBatch = exported.batch;
      if (typeof handle !== "function" && typeof handleBatch !== "function" && host.run === run) {
        throw new TypeError("the handler exports no function: write `export default function handle(event)`");
      }
    } catch (error) {
      die(error);
    }
  };

  // run handles one event. It returns the result's JSON text, undefined for an empty one,
  // or 2 when end is to say what happened.
  function run() {
    envelope = data = undefined;
    try {
      if (first || handleBatch !== undefined) {
        first = false;
        const single = typeof hostField("/event_type") === "string";
        if (handleBatch !== undefined && (!single || handle === undefined)) return runBatch(new Batch(single));
        if (!single) throw new TypeError("the manifest asks for batches: write `export function batch(batch)`");
        refusal = REJECT;
      }
      const value = handle(new Event());
      if (typeof value !== "object" || value === null) return value === undefined ? value : encode(value);
      if (typeof value.then !== "function") return value[RAW] ?? JSON.stringify(value);
      outcome = undefined;
      Promise.resolve(value).then(resolved, failed);
    } catch (error) {
      failed(error);
    }
    return 2;
  }
  host.run = run;

  function runBatch(batch) {
    // When its events come alone again, only the one with the refused result is rejected.
    refusal = batch.events.length > 1 ? RETRY : REJECT;
    const value = handleBatch(batch);
    if (typeof value?.then !== "function") return Batch.result(batch);
    outcome = undefined;
    Promise.resolve(value).then(() => {
      try {
        outcome = [OK, Batch.result(batch)];
      } catch (error) {
        failed(error);
      }
    }, failed);
    return 2;
  }

  function encode(value) {
    if (typeof value === "function" || typeof value === "symbol") {
      throw new TypeError("handle returned a " + typeof value + ", which has no JSON");
    }
    return value?.[RAW] ?? JSON.stringify(value);
  }

  function resolved(value) {
    try {
      outcome = [OK, encode(value)];
    } catch (error) {
      failed(error);
    }
  }

  function failed(error) {
    if (error instanceof Reject) outcome = [REJECT, error.message.toWellFormed()];
    else if (error instanceof Retry) outcome = [RETRY, error.message.toWellFormed()];
    else die(error);
  }

  // end completes an event when no job of a promise is left. answer is what run returned.
  host.end = (answer) => {
    for (const reason of rejections.values()) die(reason);
    if (answer !== 2) return answer;
    const ended = outcome ?? [REJECT,
      "the promise that handle returned never resolves: nothing is left to run that could resolve it"];
    outcome = undefined;
    if (ended[0] === OK) return ended[1];
    checked("finish", host.finish(ended[0], ended[1]));
    return 1;
  };

  // refused ends an event whose result the host did not accept: a retry would make the same,
  // unless it was one of several.
  host.refused = () => {
    checked("finish", host.finish(refusal, "the host refused the result: " + host.error()));
  };

  const rejections = new Map(); // rejected promises without a handler, and their reasons

  host.rejection = (promise, reason, handled) => {
    if (handled) rejections.delete(promise);
    else rejections.set(promise, reason);
    return rejections.size;
  };

  // ---- errors

  // die reports an uncaught exception and ends the instance: the attempt has failed.
  function die(error) {
    let report;
    try {
      report = headline(error) + "\n" + frames(error);
    } catch {
      report = "Error: an exception that cannot be described";
    }
    host.write(report.slice(0, 6000).toWellFormed());
    host.exit();
  }

  function headline(error) {
    if (!(error instanceof Error)) return "Uncaught " + (typeof error === "string" ? error : JSON.stringify(error) ?? String(error));
    let line = String(error.name) + ": " + String(error.message);
    for (let cause = error.cause, depth = 0; cause instanceof Error && depth < 3; cause = cause.cause, depth++) {
      line += " (cause: " + String(cause.name) + ": " + String(cause.message) + ")";
    }
    return line.slice(0, 4000).replace(/\s*\n\s*/g, " ");
  }

  // frames is the stack with the places of the original source. Frames of the SDK and the
  // engine are left out.
  function frames(error) {
    const lines = typeof error?.stack === "string" ? error.stack.split("\n") : [];
    let listed = "";
    for (const line of lines) {
      const frame = /^\s*at (?:(.*?) \()?([^()\s]+):(\d+):(\d+)\)?$/.exec(line);
      if (frame === null || frame[2] !== BUNDLE) continue;
      const [, name, , row, column] = frame;
      const origin = locate(Number(row), Number(column)) ?? { source: BUNDLE, line: row, column };
      const place = origin.source + ":" + origin.line + ":" + origin.column;
      listed += name === undefined ? "    at " + place + "\n" : "    at " + name + " (" + place + ")\n";
    }
    return listed;
  }

  let map;

  // locate finds the original of a place in the bundle, both counted from 1. The first line
  // of the map has the sources, as JSON. Line n+1 is about line n of the bundle: source, line
  // and column from which its segments count, and these segments as in a source map of
  // version 3, groups of numbers in base64 VLQ, each relative to the one before.
  function locate(line, column) {
    map ??= host.map().split("\n");
    const [source, row, start, segments] = map[line]?.split(" ") ?? [];
    if (!segments) return undefined;
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const state = [0, Number(source), Number(row), Number(start), 0]; // generated column, source, line, column, name
    let found;
    for (const segment of segments.split(",")) {
      let value = 0, shift = 0, member = 0;
      for (const c of segment) {
        const digit = digits.indexOf(c);
        value |= (digit & 31) << shift;
        shift += 5;
        if (digit & 32) continue;
        state[member++] += value & 1 ? -(value >>> 1) : value >>> 1;
        value = shift = 0;
      }
      if (state[0] >= column) break;
      if (member >= 4) found = { source: state[1], line: state[2] + 1, column: state[3] + 1 };
    }
    if (found !== undefined) found.source = JSON.parse(map[0])[found.source];
    return found;
  }

  // ---- what the engine lacks

  globalThis.console = { log: log.info, info: log.info, debug: log.debug, warn: log.warn, error: log.error, trace: log.debug };
  globalThis.queueMicrotask ??= (job) => { Promise.resolve().then(() => job()); };
  Math.random = () => host.random();

  const randomBytes = (n) => checked("random", host.randomBytes(n));
  globalThis.crypto = {
    getRandomValues(array) {
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
      return array;
    },
    randomUUID() {
      const b = randomBytes(16);
      b[6] = b[6] & 0x0f | 0x40;
      b[8] = b[8] & 0x3f | 0x80;
      const hex = b.toHex();
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
    },
  };

  globalThis.TextEncoder ??= class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(value = "") { return value === "" ? new Uint8Array(0) : host.encode(String(value).toWellFormed()); }
  };
  globalThis.TextDecoder ??= class TextDecoder {
    constructor(label = "utf-8") {
      if (!/^utf-?8$/i.test(label)) throw new RangeError("only UTF-8 is decoded, not " + label);
    }
    get encoding() { return "utf-8"; }
    decode(value) {
      if (value === undefined || value.byteLength === 0) return "";
      return host.decode(value instanceof ArrayBuffer ? new Uint8Array(value)
        : new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    }
  };

  for (const name of ["setTimeout", "setInterval", "setImmediate"]) {
    globalThis[name] = () => {
      throw new Error(name + " does not exist in a handler: throw new berth.Retry(reason) to be called again later");
    };
  }
  globalThis.clearTimeout = globalThis.clearInterval = globalThis.clearImmediate = () => {};
})();
