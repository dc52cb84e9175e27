// The plugin's durable state, shared by all its instances and versions. Each call is its own transaction and takes
// effect immediately, also if the event fails, unless the manifest has "state": "atomic": then the writes of an event
// take effect together when it succeeds, with its children, and otherwise not at all. Keys are 1 to 256 bytes, values at most 1 MiB (TOO_LARGE). It needs
// the capability kv (DENIED).

import { another, argument, decode, yielded } from "./bytes";
import { Reply } from "./host";
import * as wire from "./wire";

// get returns the value of a key: NOT_FOUND if there is none.
export function get(key: string): Reply {
  const arg = argument(key);
  return new Reply("kv_get", wire.kv_get(arg.start, arg.length, yielded.start, yielded.size), true);
}

// set writes a value; the last write wins.
export function set(key: string, value: string): Reply {
  const arg = argument(key);
  const split = arg.length;
  another(value);
  return new Reply("kv_set", wire.kv_set(arg.start, split, arg.start + split, arg.length - split));
}

// setBytes is set for bytes that are not text.
export function setBytes(key: string, value: Uint8Array): Reply {
  const arg = argument(key);
  return new Reply("kv_set", wire.kv_set(arg.start, arg.length, value.dataStart, value.length));
}

// cas writes a value only if the present one equals old, or, if old is null, only if there is none: CONFLICT
// otherwise.
export function cas(key: string, old: string | null, value: string): Reply {
  const arg = argument(key);
  const first = arg.length;
  another(value);
  const second = arg.length;
  if (old !== null) another(old);
  const length = old === null ? -1 : arg.length - second;
  return new Reply("kv_cas", wire.kv_cas(arg.start, first, arg.start + second, length, arg.start + first, second - first));
}

// remove removes a key. A key that is not there is no error.
export function remove(key: string): Reply {
  const arg = argument(key);
  return new Reply("kv_delete", wire.kv_delete(arg.start, arg.length));
}

// expire has a key disappear after so many seconds, 0 to 2^31-1. 0 removes the limit, and so does set; cas keeps it.
// NOT_FOUND if there is no such key.
export function expire(key: string, seconds: i32): Reply {
  const arg = argument(key);
  return new Reply("kv_expire", wire.kv_expire(arg.start, arg.length, seconds));
}

// keys begins a walk over the keys that begin with a prefix, "" for all, in bytewise order:
//
//     const keys = kv.keys("order/");
//     while (keys.next()) info(keys.key);
//     if (!keys.reply.ok) return Answer.failed(keys.reply);
export function keys(prefix: string): Keys {
  return new Keys(prefix);
}

// Keys is a walk over keys. They are asked for as they are needed: keys written meanwhile may or may not appear.
export class Keys {
  // The key that next has found.
  key: string = "";
  // The host's latest answer: an error ends the walk.
  reply: Reply = new Reply("kv_list", 0);
  private page: Uint8Array = new Uint8Array(0);
  private at: i32 = 0;

  constructor(private prefix: string) {}

  // next finds the next key, and returns false when there are no more, or after an error.
  next(): bool {
    if (!this.reply.ok) return false;
    if (this.at == this.page.length) {
      const arg = argument(this.prefix);
      const split = arg.length;
      another(this.key);
      const n = wire.kv_list(arg.start, split, arg.start + split, arg.length - split, yielded.start, yielded.size);
      this.reply = new Reply("kv_list", n, true);
      this.page = this.reply.bytes;
      this.at = 0;
      if (this.page.length == 0) return false;
    }
    const entry = this.page.dataStart + this.at;
    const size = load<i32>(entry);
    this.key = decode(entry + 4, size);
    this.at += 4 + size;
    return true;
  }
}
