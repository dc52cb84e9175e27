import { Answer, OK } from "./answer";
import { decode, quotedSize, writeInteger, writeQuoted, writeText } from "./bytes";

const USED = "this JSONObject was the result of another event: make one for each event";

// The buffer of the latest result, for the next object.
let spare: ArrayBuffer | null = null;

// JSONObject writes a JSON object, member by member. It does not check for names given twice. A handler returns it as
// its answer.
//
//     return new JSONObject().str("order", "o-1").int("cents", 1999)
export class JSONObject extends Answer {
  private buffer: ArrayBuffer; // UTF-8, without the last brace
  private length: i32 = 0; // below zero when it was a result

  constructor() {
    super(OK, "");
    const buffer = spare;
    spare = null;
    this.buffer = buffer === null ? block(128) : buffer;
  }

  // Adds a string.
  str(name: string, value: string): JSONObject {
    const from = changetype<usize>(value);
    const to = this.name(name, quotedSize(from, value.length));
    return this.written(writeQuoted(to, from, value.length));
  }

  // Adds a whole number.
  int(name: string, value: i64): JSONObject {
    return this.written(writeInteger(this.name(name, 20), value));
  }

  // Adds a number; one that is not finite becomes null.
  float(name: string, value: f64): JSONObject {
    return this.raw(name, isFinite(value) ? value.toString() : "null");
  }

  // Adds true or false.
  bool(name: string, value: bool): JSONObject {
    return this.raw(name, value ? "true" : "false");
  }

  // Adds an array of strings.
  strs(name: string, values: string[]): JSONObject {
    let size = values.length + 2;
    for (let i = 0; i < values.length; i++) size += quotedSize(changetype<usize>(values[i]), values[i].length);
    let to = this.name(name, size);
    store<u8>(to++, 0x5b);
    for (let i = 0; i < values.length; i++) {
      if (i > 0) store<u8>(to++, 0x2c);
      to = writeQuoted(to, changetype<usize>(values[i]), values[i].length);
    }
    store<u8>(to++, 0x5d);
    return this.written(to);
  }

  // Adds a value that is JSON text already. It is not checked.
  raw(name: string, json: string): JSONObject {
    const from = changetype<usize>(json);
    const to = this.name(name, quotedSize(from, json.length));
    return this.written(writeText(to, from, json.length));
  }

  // The object as JSON text.
  toString(): string {
    return decode(changetype<usize>(this.buffer), this.close());
  }

  // Writes the last brace behind the content, where the next member overwrites it, and returns the size of the text.
  close(): i32 {
    if (this.length < 0) throw new Error(USED);
    const buffer = changetype<usize>(this.buffer);
    if (this.length == 0) store<u8>(buffer, 0x7b);
    const length = max(this.length, 1);
    store<u8>(buffer + length, 0x7d);
    return length + 1;
  }

  // Lets the next object have the buffer.
  recycle(): void {
    if (this.buffer.byteLength <= 4096) spare = this.buffer;
    this.length = -1;
  }

  // The address of the text, in UTF-8.
  get start(): usize {
    return changetype<usize>(this.buffer);
  }

  // Writes a name, and returns the address of the value, which has at most size bytes.
  private name(name: string, size: i32): usize {
    if (this.length < 0) throw new Error(USED);
    const from = changetype<usize>(name);
    const needed = this.length + quotedSize(from, name.length) + size + 3; // and comma, colon and brace
    if (needed > this.buffer.byteLength) {
      const larger = block(max(needed, this.buffer.byteLength << 1));
      memory.copy(changetype<usize>(larger), changetype<usize>(this.buffer), this.length);
      this.buffer = larger;
    }
    const to = changetype<usize>(this.buffer) + this.length;
    store<u8>(to, this.length == 0 ? 0x7b : 0x2c);
    const end = writeQuoted(to + 1, from, name.length);
    store<u8>(end, 0x3a);
    return end + 1;
  }

  private written(to: usize): JSONObject {
    this.length = <i32>(to - changetype<usize>(this.buffer));
    return this;
  }
}

// block allocates memory that is not set to zero.
function block(size: i32): ArrayBuffer {
  return changetype<ArrayBuffer>(__new(size, idof<ArrayBuffer>()));
}
