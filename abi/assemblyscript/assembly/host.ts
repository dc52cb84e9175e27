import { Bytes } from "./bytes";
import { JSONObject } from "./object";
import * as wire from "./wire";

// Code is the result of a call to the host.
export enum Code {
  OK = 0,
  END = -1, // there are no more events; serve handles it
  INVALID = -2, // an argument is malformed
  DENIED = -3, // the capability is not granted to this plugin
  NOT_FOUND = -4, // there is no such key, field or secret
  TOO_LARGE = -5, // something is over a limit
  UNAVAILABLE = -6, // the host's backend failed; a retry may help
  TIMEOUT = -7, // the event's deadline passed, or the call's own
  CONFLICT = -8, // the value differs from the one it was compared with
}

// codeName returns the name of a code in the ABI, such as "NOT_FOUND".
export function codeName(code: Code): string {
  switch (code) {
    case Code.OK:
      return "OK";
    case Code.END:
      return "END";
    case Code.INVALID:
      return "INVALID";
    case Code.DENIED:
      return "DENIED";
    case Code.NOT_FOUND:
      return "NOT_FOUND";
    case Code.TOO_LARGE:
      return "TOO_LARGE";
    case Code.UNAVAILABLE:
      return "UNAVAILABLE";
    case Code.TIMEOUT:
      return "TIMEOUT";
    case Code.CONFLICT:
      return "CONFLICT";
  }
  return "UNKNOWN";
}

const NOTHING = new Bytes(0);

// Reply is the answer of the host to a call. AssemblyScript has no exceptions: ask for ok or code.
export class Reply {
  // The function of the ABI, such as "kv_get".
  call: string;
  code: Code;
  // The host's explanation of an error; it may be empty.
  explanation: string = "";
  private content: Bytes = NOTHING;

  constructor(call: string, n: i32, content: Bytes | null = null) {
    this.call = call;
    this.code = n < 0 ? n : Code.OK;
    if (n < 0) this.explanation = explain();
    else if (content !== null) this.content = content;
  }

  get ok(): bool {
    return this.code == Code.OK;
  }

  // What the call yielded, as text.
  get text(): string {
    return this.content.toString();
  }

  // What the call yielded.
  get bytes(): Uint8Array {
    return this.content.toArray();
  }

  // The call, the code's name and the explanation: a reason for Answer.retry or Answer.reject.
  toString(): string {
    const text = this.call + ": " + codeName(this.code);
    return this.explanation.length > 0 ? text + ": " + this.explanation : text;
  }
}

// explain returns the host's text of the latest error.
function explain(): string {
  const buf = new Bytes(256);
  return taken(buf, wire.error(buf.start, buf.size)) < 0 ? "" : buf.toString();
}

// taken makes the n bytes that a call has yielded the content of buf, with a larger buffer where they did not fit,
// and returns n.
export function taken(buf: Bytes, n: i32): i32 {
  buf.length = 0;
  if (n < 0) return n;
  if (n > buf.size) {
    buf.reserve(n);
    const again = wire.last(buf.start, buf.size);
    if (again != n) return again;
  }
  buf.length = n;
  return n;
}

// The arguments of a call: texts one after the other, as UTF-8.
const args = new Bytes(1024);

// argument starts the arguments anew with a text.
export function argument(text: string): Bytes {
  args.clear();
  return args.text(text);
}

// config returns the handler's configuration as JSON text, "{}" if it has none.
export function config(): string {
  const buf = new Bytes(1024);
  const n = wire.config(buf.start, buf.size);
  if (taken(buf, n) < 0) throw new Error(new Reply("config", n).toString());
  return buf.toString();
}

// secret returns a secret by its name. It needs the capability secret for that name: DENIED without it, NOT_FOUND
// if the host has no such secret.
export function secret(name: string): Reply {
  const arg = argument(name);
  const buf = new Bytes(256);
  return new Reply("secret", taken(buf, wire.secret(arg.start, arg.length, buf.start, buf.size)), buf);
}

function log(level: i32, text: string): void {
  const arg = argument(text);
  wire.log(level, arg.start, arg.length);
}

// debug writes a line to the host's log. The host keeps 8 KiB of a line, and discards lines of a plugin that writes
// too many.
export function debug(text: string): void {
  log(0, text);
}

// info writes a line to the host's log; see debug.
export function info(text: string): void {
  log(1, text);
}

// warn writes a line to the host's log; see debug.
export function warn(text: string): void {
  log(2, text);
}

// error writes a line to the host's log; see debug.
export function error(text: string): void {
  log(3, text);
}

// emit adds a child to the open event: an event that follows from it, with data as JSON text. The host publishes
// all children together when the event succeeds, and once, also if the event is delivered again. Without a key the
// host derives one from the parent's. It needs the capability emit for the type (DENIED).
export function emit(eventType: string, data: string, subject: string = "", key: string = ""): Reply {
  const metadata = new JSONObject();
  if (key.length > 0) metadata.str("idempotency_key", key);
  if (subject.length > 0) metadata.str("subject", subject);
  const child = new JSONObject().str("event_type", eventType).raw("data", data).raw("metadata", metadata.toString()).close();
  return new Reply("emit", wire.emit(child.start, child.length));
}
