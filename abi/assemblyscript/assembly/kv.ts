// The plugin's durable state, shared by all its instances and versions. Each call is its own transaction and takes
// effect immediately, also if the event fails. Keys are 1 to 256 bytes, values at most 1 MiB (TOO_LARGE). It needs
// the capability kv (DENIED).

import { another, argument, yielded } from "./bytes";
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
