// Text in memory as UTF-8. These functions work on addresses: what they call needs no care of the garbage collector,
// which costs more than the work itself.

import { encode } from "./abort";

// A buffer that grows. It is not managed: it lives as long as the instance.
@unmanaged
export class Buffer {
  start: usize = 0;
  size: i32 = 0;
  length: i32 = 0; // of the content
}

const KEPT = 65536;

// The arguments of a call to the host, one after the other.
export const args = new Buffer();

// What the host has yielded.
export const yielded = new Buffer();

// grow makes sure that the buffer has a size, and keeps its content.
export function grow(b: Buffer, size: i32): void {
  if (size <= b.size) return;
  b.size = max(size, max(b.size << 1, 1024));
  b.start = b.start == 0 ? heap.alloc(b.size) : heap.realloc(b.start, b.size);
}

// shrink frees a buffer that a large value has grown.
export function shrink(b: Buffer): void {
  if (b.size <= KEPT) return;
  heap.free(b.start);
  b.start = 0;
  b.size = 0;
}

// argument starts the arguments anew with a text.
export function argument(text: string): Buffer {
  shrink(args);
  args.length = 0;
  return another(text);
}

// another appends a text to the arguments.
export function another(text: string): Buffer {
  const from = changetype<usize>(text);
  const units = text.length;
  grow(args, args.length + textSize(from, units));
  args.length = <i32>(writeText(args.start + args.length, from, units) - args.start);
  return args;
}

// A text with more units is measured before it is written; of a shorter one the largest possible size is taken.
const MEASURED = 512;

// textSize returns how many bytes a text has at most, as UTF-8.
function textSize(from: usize, units: i32): i32 {
  if (units <= MEASURED) return units * 3;
  let size = units;
  for (let i = 0; i < units; i++) {
    const c = <u32>load<u16>(from + ((<usize>i) << 1));
    if (c >= 0x80) size += c < 0x800 ? 1 : 2;
  }
  return size;
}

// quotedSize returns how many bytes a text has at most, as a JSON string.
export function quotedSize(from: usize, units: i32): i32 {
  if (units <= MEASURED) return units * 6 + 2;
  let size = units + 2;
  for (let i = 0; i < units; i++) {
    const c = <u32>load<u16>(from + ((<usize>i) << 1));
    if (c < 0x20) size += 5;
    else if (c == 0x22 || c == 0x5c) size++;
    else if (c >= 0x80) size += c < 0x800 ? 1 : 2;
  }
  return size;
}

// writeText writes a text as UTF-8 and returns the address after it. Half of a surrogate pair becomes U+FFFD.
export function writeText(to: usize, from: usize, units: i32): usize {
  const end = from + ((<usize>units) << 1);
  while (from < end) {
    const c = <u32>load<u16>(from);
    if (c < 0x80) {
      store<u8>(to++, <u8>c);
    } else {
      const whole = character(from, end);
      to += encode(whole, to);
      if (whole >= 0x10000) from += 2;
    }
    from += 2;
  }
  return to;
}

// writeQuoted writes a text as a JSON string, with its quotes, and returns the address after it.
export function writeQuoted(to: usize, from: usize, units: i32): usize {
  const end = from + ((<usize>units) << 1);
  store<u8>(to++, 0x22);
  while (from < end) {
    const c = <u32>load<u16>(from);
    if (c >= 0x80) {
      const whole = character(from, end);
      to += encode(whole, to);
      if (whole >= 0x10000) from += 2;
    } else if (c < 0x20) {
      store<u32>(to, 0x3030755c); // \u00
      store<u8>(to, <u8>(48 + (c >> 4)), 4);
      const digit = c & 15;
      store<u8>(to, <u8>(digit < 10 ? 48 + digit : 87 + digit), 5);
      to += 6;
    } else {
      if (c == 0x22 || c == 0x5c) store<u8>(to++, 0x5c);
      store<u8>(to++, <u8>c);
    }
    from += 2;
  }
  store<u8>(to, 0x22);
  return to + 1;
}

// writeInteger writes a whole number, of at most 20 bytes, and returns the address after it.
export function writeInteger(to: usize, n: i64): usize {
  let left: u64 = n < 0 ? 0 - <u64>n : <u64>n;
  if (n < 0) store<u8>(to++, 0x2d);
  let digits = 1;
  for (let high = left; high >= 10; high /= 10) digits++;
  const end = to + digits;
  for (let at = end; at > to; left /= 10) store<u8>(--at, <u8>(48 + (left % 10)));
  return end;
}

// character is the character at an address, U+FFFD for half of a surrogate pair.
function character(at: usize, end: usize): u32 {
  const c = <u32>load<u16>(at);
  if (c < 0xd800 || c >= 0xe000) return c;
  if (c >= 0xdc00 || at + 2 >= end) return 0xfffd;
  const low = <u32>load<u16>(at, 2);
  if (low < 0xdc00 || low >= 0xe000) return 0xfffd;
  return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

// decode returns the text of UTF-8 in memory.
export function decode(from: usize, length: i32): string {
  const text = __new((<usize>length) << 1, idof<string>());
  for (let i: usize = 0; i < <usize>length; i++) {
    const c = load<u8>(from + i);
    if (c >= 0x80) return String.UTF8.decodeUnsafe(from, length);
    store<u16>(text + (i << 1), c);
  }
  return changetype<string>(text);
}

// copied returns a copy of bytes that the garbage collector frees.
export function copied(from: usize, length: i32): ArrayBuffer {
  const copy = __new(length, idof<ArrayBuffer>());
  memory.copy(copy, from, length);
  return changetype<ArrayBuffer>(copy);
}
