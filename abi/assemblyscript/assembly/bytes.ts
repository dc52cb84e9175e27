import { encode } from "./abort";

// Texts are copied in blocks of so many units, each of which has its capacity checked once.
const BLOCK = 1024;

// Bytes is a growing buffer of bytes; text in it is UTF-8.
export class Bytes {
  length: i32 = 0;
  private buffer: ArrayBuffer;

  constructor(size: i32 = 128) {
    this.buffer = block(size);
  }

  get start(): usize {
    return changetype<usize>(this.buffer);
  }

  get size(): i32 {
    return this.buffer.byteLength;
  }

  // Empties the buffer. One that a large value has grown is replaced.
  clear(): void {
    this.length = 0;
    if (this.size > 65536) this.buffer = block(4096);
  }

  // Makes sure that so many bytes more fit.
  reserve(more: i32): void {
    const size = this.length + more;
    if (size <= this.size) return;
    const larger = block(max(size, this.size << 1));
    memory.copy(changetype<usize>(larger), this.start, this.length);
    this.buffer = larger;
  }

  byte(c: u8): void {
    if (this.length == this.size) this.reserve(1);
    store<u8>(this.start + this.length++, c);
  }

  // Appends bytes from memory.
  copy(from: usize, length: i32): void {
    this.reserve(length);
    memory.copy(this.start + this.length, from, length);
    this.length += length;
  }

  // Appends a text. Half of a surrogate pair becomes U+FFFD.
  text(s: string): Bytes {
    const units = s.length;
    const from = changetype<usize>(s);
    let to: usize = 0;
    for (let i = 0, checked = 0; i < units; i++) {
      if (i >= checked) {
        if (i > 0) this.length = <i32>(to - this.start);
        this.reserve(min(units - i, BLOCK) * 3);
        to = this.start + this.length;
        checked = i + BLOCK;
      }
      const c = <u32>load<u16>(from + ((<usize>i) << 1));
      if (c < 0x80) {
        store<u8>(to++, <u8>c);
      } else {
        to += encode(character(s, i), to);
        if (c >= 0xd800 && c < 0xdc00 && isLow(s, i + 1)) i++;
      }
    }
    if (units > 0) this.length = <i32>(to - this.start);
    return this;
  }

  // Appends a text as a JSON string, with its quotes.
  quoted(s: string): Bytes {
    const units = s.length;
    const from = changetype<usize>(s);
    this.byte(0x22);
    let to = this.start + this.length;
    for (let i = 0, checked = 0; i < units; i++) {
      if (i >= checked) {
        this.length = <i32>(to - this.start);
        this.reserve(min(units - i, BLOCK) * 6);
        to = this.start + this.length;
        checked = i + BLOCK;
      }
      const c = <u32>load<u16>(from + ((<usize>i) << 1));
      if (c < 0x20) {
        store<u32>(to, 0x3030755c); // \u00
        store<u8>(to, <u8>(48 + (c >> 4)), 4);
        const digit = c & 15;
        store<u8>(to, <u8>(digit < 10 ? 48 + digit : 87 + digit), 5);
        to += 6;
      } else if (c < 0x80) {
        if (c == 0x22 || c == 0x5c) store<u8>(to++, 0x5c);
        store<u8>(to++, <u8>c);
      } else {
        to += encode(character(s, i), to);
        if (c >= 0xd800 && c < 0xdc00 && isLow(s, i + 1)) i++;
      }
    }
    this.length = <i32>(to - this.start);
    this.byte(0x22);
    return this;
  }

  // Appends a whole number.
  integer(n: i64): Bytes {
    this.reserve(20);
    let left: u64 = n < 0 ? 0 - <u64>n : <u64>n;
    if (n < 0) this.byte(0x2d);
    let digits = 1;
    for (let high = left; high >= 10; high /= 10) digits++;
    const end = this.start + this.length + digits;
    for (let i = 1; i <= digits; i++) {
      store<u8>(end - i, <u8>(48 + (left % 10)));
      left /= 10;
    }
    this.length += digits;
    return this;
  }

  toString(): string {
    return decode(this.start, this.length);
  }

  // A copy of the bytes.
  toArray(): Uint8Array {
    const copy = new Uint8Array(this.length);
    memory.copy(copy.dataStart, this.start, this.length);
    return copy;
  }
}

// block allocates memory that is not set to zero.
function block(size: i32): ArrayBuffer {
  return changetype<ArrayBuffer>(__new(size, idof<ArrayBuffer>()));
}

function isLow(s: string, i: i32): bool {
  return i < s.length && (s.charCodeAt(i) & 0xfc00) == 0xdc00;
}

// character is the character at a position, U+FFFD for half of a surrogate pair.
function character(s: string, i: i32): u32 {
  const c = <u32>s.charCodeAt(i);
  if (c < 0xd800 || c >= 0xe000) return c;
  if (c >= 0xdc00 || !isLow(s, i + 1)) return 0xfffd;
  return 0x10000 + ((c - 0xd800) << 10) + (<u32>s.charCodeAt(i + 1) - 0xdc00);
}

// decode returns the text of UTF-8 in memory.
export function decode(from: usize, length: i32): string {
  for (let i = 0; i < length; i++) {
    if (load<u8>(from + i) >= 0x80) return String.UTF8.decodeUnsafe(from, length);
  }
  const text = changetype<string>(__new((<usize>length) << 1, idof<string>()));
  for (let i = 0; i < length; i++) {
    store<u16>(changetype<usize>(text) + ((<usize>i) << 1), load<u8>(from + i));
  }
  return text;
}
