import { argument, decode, yielded } from "./bytes";
import { Code, Reply, emitLater, release, taken } from "./host";
import * as json from "./json";
import * as wire from "./wire";

// Box is a value that may be missing: a method returns Box or null.
export class Box<T> {
  constructor(public value: T) {}
}

// Metadata is what the host adds to an event. Texts that are missing are empty.
export class Metadata {
  eventId: string = "";
  idempotencyKey: string = "";
  source: string = "";
  subject: string = "";
  time: string = ""; // RFC 3339
  correlationId: string = "";
  causationId: string = "";
  traceparent: string = "";
  hops: i32 = 0;
}

// Event is the open event, or one of a batch. Call its methods only until the handler returns.
export class Event {
  // The index in the batch, and the pointer to the event there; -1 and "" outside of batches.
  constructor(private index: i32 = -1, private path: string = "") {}

  // Adds a child to this event, as emit does to the open one; in a batch it is published only if this event succeeds.
  emit(eventType: string, data: string, subject: string = "", key: string = ""): Reply {
    return emitLater(eventType, data, "", 0, subject, key, this.index);
  }

  // As emitLater, for a child of this event.
  emitLater(eventType: string, data: string, at: string, after: i64, subject: string = "", key: string = ""): Reply {
    return emitLater(eventType, data, at, after, subject, key, this.index);
  }

  // The pointer from the root of what the host has opened. A malformed pointer stays one.
  private rooted(pointer: string): string {
    if (this.index < 0 || (pointer.length > 0 && pointer.charCodeAt(0) != 0x2f)) return pointer;
    return this.path + pointer;
  }

  // next waits for an event, and returns false when there are no more. Only serve calls it.
  next(): bool {
    release();
    const n = wire.next(0, 0); // the envelope is fetched when it is asked for
    if (n < 0 && n != Code.END) throw new Error(new Reply("next", n).toString());
    return n >= 0;
  }

  // The value at a JSON Pointer (RFC 6901) into the envelope, such as "/data/status", or null if there is none. A
  // string comes as its text, any other value as JSON: a null is "null". A malformed pointer throws.
  field(pointer: string): string | null {
    const n = find(this.rooted(pointer));
    return n < 0 ? null : decode(yielded.start, n);
  }

  // As field, with a reply instead of null or an exception.
  tryField(pointer: string): Reply {
    const arg = argument(this.rooted(pointer));
    return new Reply("field", wire.field(arg.start, arg.length, yielded.start, yielded.size), true);
  }

  // The whole number at a JSON Pointer. null if there is nothing or something else, such as a fraction, or a number
  // that an i64 cannot have. A string of digits is read as a number.
  int(pointer: string): Box<i64> | null {
    const n = find(this.rooted(pointer));
    if (n < 0 || !isInteger(yielded.start, n)) return null;
    return new Box<i64>(integer(yielded.start, n));
  }

  // The whole number at a JSON Pointer, or another if there is none.
  intOr(pointer: string, otherwise: i64): i64 {
    const n = find(this.rooted(pointer));
    return n < 0 || !isInteger(yielded.start, n) ? otherwise : integer(yielded.start, n);
  }

  // The number at a JSON Pointer.
  float(pointer: string): Box<f64> | null {
    const text = this.field(pointer);
    if (text === null || text.length == 0) return null;
    const c = text.charCodeAt(0);
    if (c != 0x2d && (c < 48 || c > 57)) return null;
    return new Box<f64>(parseFloat(text));
  }

  // The true or false at a JSON Pointer.
  bool(pointer: string): Box<bool> | null {
    const text = this.field(pointer);
    if (text === null) return null;
    if (text == "true") return new Box<bool>(true);
    return text == "false" ? new Box<bool>(false) : null;
  }

  // The value at a JSON Pointer as the JSON text it is in the envelope: strings have their quotes.
  raw(pointer: string): string | null {
    if (find(this.rooted(pointer)) < 0) return null;
    // The host yields strings unquoted, so ask for the parent.
    const at = pointer.lastIndexOf("/");
    const parent = at > 0 ? this.field(pointer.substring(0, at)) : this.field("");
    if (parent === null) return null;
    return json.find(parent, at < 0 ? "" : pointer.substring(at));
  }

  // The whole envelope, as it was published.
  get envelope(): string {
    const text = this.field("");
    return text === null ? "" : text;
  }

  // The length of the whole envelope in bytes.
  get size(): i32 {
    return find(this.rooted(""));
  }

  // The event's data as JSON text.
  get data(): string {
    const text = this.raw("/data");
    return text === null ? "null" : text;
  }

  // The event's type, such as "order_status_changed".
  get type(): string {
    return this.text("/event_type");
  }

  // The event's id, which no other event has.
  get id(): string {
    return this.text("/metadata/event_id");
  }

  // The key that is the same each time this event is delivered.
  get idempotencyKey(): string {
    return this.text("/metadata/idempotency_key");
  }

  // What the event is about, such as an order's id; empty if there is none.
  get subject(): string {
    return this.text("/metadata/subject");
  }

  private text(pointer: string): string {
    const text = this.field(pointer);
    return text === null ? "" : text;
  }

  // Everything that the host adds to the event.
  get metadata(): Metadata {
    const all = json.members(this.text("/metadata"));
    const m = new Metadata();
    m.eventId = member(all, "event_id");
    m.idempotencyKey = member(all, "idempotency_key");
    m.source = member(all, "source");
    m.subject = member(all, "subject");
    m.time = member(all, "time");
    m.correlationId = member(all, "correlation_id");
    m.causationId = member(all, "causation_id");
    m.traceparent = member(all, "traceparent");
    m.hops = <i32>parseInt(member(all, "hops"));
    return m;
  }

  // 1 when the event is delivered for the first time, 2 the second time.
  get attempt(): i32 {
    return wire.attempt();
  }

  // The milliseconds until the event's deadline. The host ends an instance that exceeds it.
  get remaining(): i32 {
    return wire.remaining();
  }
}

// find has the host write the value at a pointer into the buffer, and returns its length, below zero if there is none.
function find(pointer: string): i32 {
  const arg = argument(pointer);
  const n = taken(wire.field(arg.start, arg.length, yielded.start, yielded.size));
  if (n < 0 && n != Code.NOT_FOUND) throw new Error(pointer + ": " + new Reply("field", n).toString());
  return n;
}

// isInteger reports whether the bytes are digits, maybe after a minus, that an i64 can have.
function isInteger(at: usize, length: i32): bool {
  const end = at + length;
  const negative = length > 0 && load<u8>(at) == 0x2d;
  if (negative) at++;
  if (at == end || end - at > 19) return false; // 19 digits fit a u64
  let n: u64 = 0;
  for (; at < end; at++) {
    const digit = <u32>load<u8>(at) - 48;
    if (digit > 9) return false;
    n = n * 10 + digit;
  }
  return n <= <u64>i64.MAX_VALUE + (negative ? 1 : 0);
}

function integer(at: usize, length: i32): i64 {
  const end = at + length;
  const negative = load<u8>(at) == 0x2d;
  let n: i64 = 0;
  if (negative) at++;
  for (; at < end; at++) n = n * 10 + (load<u8>(at) - 48);
  return negative ? -n : n;
}

function member(all: Map<string, string>, name: string): string {
  return all.has(name) ? json.unquote(all.get(name)) : "";
}
