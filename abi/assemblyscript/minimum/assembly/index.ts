// The smallest handler that does what typical does, against the imports, without the SDK and without strings.

// @ts-ignore: decorator
@external("berth_v1", "next")
declare function next(buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "field")
declare function field(pointer: usize, length: i32, buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "finish")
declare function finish(status: i32, bytes: usize, length: i32): i32;

const ORDER = memory.data<u8>([0x2f, 0x64, 0x61, 0x74, 0x61, 0x2f, 0x6f, 0x72, 0x64, 0x65, 0x72, 0x5f, 0x69, 0x64]); // /data/order_id
const STATUS = memory.data<u8>([0x2f, 0x64, 0x61, 0x74, 0x61, 0x2f, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73]); // /data/status
// /data/total_cents
const CENTS = memory.data<u8>([0x2f, 0x64, 0x61, 0x74, 0x61, 0x2f, 0x74, 0x6f, 0x74, 0x61, 0x6c, 0x5f, 0x63, 0x65, 0x6e, 0x74, 0x73]);
const NAME1 = memory.data<u8>([0x7b, 0x22, 0x6f, 0x72, 0x64, 0x65, 0x72, 0x22, 0x3a, 0x22]); // {"order":"
const NAME2 = memory.data<u8>([0x22, 0x2c, 0x22, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73, 0x22, 0x3a, 0x22]); // ","status":"
const NAME3 = memory.data<u8>([0x22, 0x2c, 0x22, 0x63, 0x65, 0x6e, 0x74, 0x73, 0x22, 0x3a]); // ","cents":

const FIELD = memory.data(128);
const OUT = memory.data(1024);
let end: usize = 0;

export function run(): void {
  while (next(0, 0) >= 0) {
    end = OUT;
    raw(NAME1, 10);
    escaped(FIELD, read(ORDER, 14));
    raw(NAME2, 12);
    escaped(FIELD, read(STATUS, 12));
    raw(NAME3, 10);
    raw(FIELD, read(CENTS, 17));
    store<u8>(end++, 0x7d);
    finish(0, OUT, <i32>(end - OUT));
  }
}

// read reads a field of at most 128 bytes.
function read(pointer: usize, length: i32): i32 {
  const n = field(pointer, length, FIELD, 128);
  return n > 128 ? 0 : max(n, 0);
}

function raw(from: usize, length: i32): void {
  memory.copy(end, from, length);
  end += length;
}

// escaped writes the inside of a JSON string. What would not fit is not written.
function escaped(from: usize, length: i32): void {
  for (let i = 0; i < length && end < OUT + 900; i++) {
    const c = load<u8>(from + i);
    if (c < 0x20) {
      store<u32>(end, 0x3030755c); // \u00
      store<u8>(end, 48 + (c >> 4), 4);
      store<u8>(end, (c & 15) < 10 ? 48 + (c & 15) : 87 + (c & 15), 5);
      end += 6;
      continue;
    }
    if (c == 0x22 || c == 0x5c) store<u8>(end++, 0x5c);
    store<u8>(end++, c);
  }
}
