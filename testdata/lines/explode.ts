// Fails in the way that /data/way says: "trap" by an unreachable, "throw" by an error, which
// calls env.abort. Tests find the line of a failure by its mark.

// @ts-ignore: decorator
@external("berth_v1", "next") declare function next(buf: usize, cap: u32): i32;
// @ts-ignore: decorator
@external("berth_v1", "field") declare function field(pointer: usize, len: u32, buf: usize, cap: u32): i32;
// @ts-ignore: decorator
@external("berth_v1", "finish") declare function finish(status: i32, bytes: usize, len: u32): i32;

const event = memory.data(4096);
const way = memory.data(16);
const pointer = memory.data<u8>([47, 100, 97, 116, 97, 47, 119, 97, 121]); // /data/way

let stock = -3;

// @ts-ignore: decorator
@inline function check(count: i32): void {
  if (stock < count)
    unreachable(); // MARK trap
}

function explode(count: i32): i32 {
  check(count);
  stock -= count;
  return stock;
}

function sell(count: i32): i32 {
  if (stock < count) {
    throw new Error("the stock is -3"); // MARK throw
  }
  return stock;
}

export function run(): void {
  while (next(event, 4096) >= 0) {
    field(pointer, 9, way, 16);
    if (load<u8>(way, 1) == 0x72) { // t[r]ap
      stock = explode(2); // MARK caller
    } else {
      stock = sell(1);
    }
    finish(0, 0, 0);
  }
}
