import { argument, copied, decode, grow, shrink, yielded } from "./bytes";
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

// Reply is the answer of the host to a call. AssemblyScript has no exceptions: ask for ok or code.
export class Reply {
  // The function of the ABI, such as "kv_get".
  call: string;
  code: Code;
  // The host's explanation of an error; it may be empty.
  explanation: string = "";
  private content: ArrayBuffer | null = null;

  // The answer n of a call. If the call yields bytes, they are kept.
  constructor(call: string, n: i32, yields: bool = false) {
    this.call = call;
    if (yields) n = taken(n);
    this.code = n < 0 ? n : Code.OK;
    if (n < 0) this.explanation = explain();
    else if (yields) this.content = copied(yielded.start, n);
  }

  get ok(): bool {
    return this.code == Code.OK;
  }

  // What the call yielded, as text.
  get text(): string {
    const content = this.content;
    return content === null ? "" : decode(changetype<usize>(content), content.byteLength);
  }

  // What the call yielded.
  get bytes(): Uint8Array {
    const content = this.content;
    return content === null ? new Uint8Array(0) : Uint8Array.wrap(content);
  }

  // The call, the code's name and the explanation: a reason for Answer.retry or Answer.reject.
  toString(): string {
    const text = this.call + ": " + codeName(this.code);
    return this.explanation.length > 0 ? text + ": " + this.explanation : text;
  }
}

// explain returns the host's text of the latest error.
function explain(): string {
  const n = taken(wire.error(yielded.start, yielded.size));
  return n < 0 ? "" : decode(yielded.start, n);
}

// taken has the n bytes that a call has yielded in the buffer, which grows if they did not fit, and returns n.
export function taken(n: i32): i32 {
  if (n > yielded.size) {
    grow(yielded, n);
    return wire.last(yielded.start, yielded.size);
  }
  return n;
}

// release frees the memory of a large event.
export function release(): void {
  shrink(yielded);
  grow(yielded, 4096);
}

// config returns the handler's configuration as JSON text, "{}" if it has none.
export function config(): string {
  const reply = new Reply("config", wire.config(yielded.start, yielded.size), true);
  if (!reply.ok) throw new Error(reply.toString());
  return reply.text;
}

// secret returns a secret by its name. It needs the capability secret for that name: DENIED without it, NOT_FOUND
// if the host has no such secret.
export function secret(name: string): Reply {
  const arg = argument(name);
  return new Reply("secret", wire.secret(arg.start, arg.length, yielded.start, yielded.size), true);
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

// trace returns the W3C traceparent of the current attempt: NOT_FOUND if the host does not trace it.
export function trace(): Reply {
  return new Reply("trace", wire.trace(yielded.start, yielded.size), true);
}

// emit adds a child to the open event: an event that follows from it, with data as JSON text. The host publishes
// all children together when the event succeeds, and once, also if the event is delivered again. Without a key the
// host derives one from the parent's. It needs the capability emit for the type (DENIED). In a batch use Event.emit.
export function emit(eventType: string, data: string, subject: string = "", key: string = ""): Reply {
  return emitLater(eventType, data, "", 0, subject, key);
}

// emitLater is emit for a child that is due later, at most a year ahead: at a time (RFC 3339), or so many
// milliseconds after the commit of its parent. "" and 0 mean none; both together are INVALID.
export function emitLater(eventType: string, data: string, at: string, after: i64, subject: string = "", key: string = "", parent: i32 = -1): Reply {
  const metadata = new JSONObject();
  if (key.length > 0) metadata.str("idempotency_key", key);
  if (subject.length > 0) metadata.str("subject", subject);
  if (at.length > 0) metadata.str("deliver_at", at);
  if (after != 0) metadata.str("deliver_after", after.toString() + "ms");
  const child = new JSONObject().str("event_type", eventType).raw("data", data).raw("metadata", metadata.toString());
  if (parent >= 0) child.int("parent_index", parent);
  const size = child.close();
  return new Reply("emit", wire.emit(child.start, size));
}
