import { Bytes } from "./bytes";
import { Code, Reply, argument, taken } from "./host";
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

// Event is the open event. Call its methods only until the handler returns.
export class Event {
  private buf: Bytes = new Bytes(4096);

  // next waits for an event, and returns false when there are no more. Only serve calls it.
  next(): bool {
    this.buf.clear();
    const n = wire.next(0, 0); // the envelope is fetched when it is asked for
    if (n < 0 && n != Code.END) throw new Error(new Reply("next", n).toString());
    return n >= 0;
  }

  // fetch has the host write a value into the buffer, and returns its length or a code.
  private fetch(pointer: string): i32 {
    const arg = argument(pointer);
    const buf = this.buf;
    return taken(buf, wire.field(arg.start, arg.length, buf.start, buf.size));
  }

  // has is fetch, but the pointer must not be malformed.
  private has(pointer: string): bool {
    const n = this.fetch(pointer);
    if (n < 0 && n != Code.NOT_FOUND) throw new Error(pointer + ": " + new Reply("field", n).toString());
    return n >= 0;
  }

  // The value at a JSON Pointer (RFC 6901) into the envelope, such as "/data/status", or null if there is none. A
  // string comes as its text, any other value as JSON: a null is "null". A malformed pointer throws.
  field(pointer: string): string | null {
    return this.has(pointer) ? this.buf.toString() : null;
  }

  // As field, with a reply instead of null or an exception.
  tryField(pointer: string): Reply {
    const n = this.fetch(pointer);
    const reply = new Reply("field", n, this.buf);
    this.buf = new Bytes(4096);
    return reply;
  }

  // The whole number at a JSON Pointer. null if there is nothing or something else, such as a fraction, or a number
  // that an i64 cannot have. A string of digits is read as a number.
  int(pointer: string): Box<i64> | null {
    if (!this.has(pointer)) return null;
    let at = this.buf.start;
    const end = at + this.buf.length;
    const negative = at < end && load<u8>(at) == 0x2d;
    if (negative) at++;
    if (at == end || end - at > 19) return null; // 19 digits fit a u64
    let n: u64 = 0;
    for (; at < end; at++) {
      const digit = <u32>load<u8>(at) - 48;
      if (digit > 9) return null;
      n = n * 10 + digit;
    }
    if (n > <u64>i64.MAX_VALUE + (negative ? 1 : 0)) return null;
    return new Box<i64>(negative ? 0 - <i64>n : <i64>n);
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
    if (!this.has(pointer)) return null;
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
    return this.has("") ? this.buf.length : 0;
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

function member(all: Map<string, string>, name: string): string {
  return all.has(name) ? json.unquote(all.get(name)) : "";
}
