import * as wire from "./wire";

const SIZE: usize = 4096;
const report = memory.data(4096);
const piece = memory.data(12); // the address and the length of the report, and how much was written
let size: usize = 0;

// berth_abort writes "abort: MESSAGE in FILE(LINE:COLUMN)" to file descriptor 2, from where the host takes the
// delivery's error, and traps. The compiler's option --use abort=berth_abort makes every throw and failed
// assertion call it. It allocates nothing.
// @ts-ignore: decorator
@global
export function berth_abort(message: string | null, file: string | null, line: u32, column: u32): void {
  size = 0;
  text("abort: ");
  text(message);
  text(" in ");
  text(file);
  text("(");
  decimal(line);
  text(":");
  decimal(column);
  text(")\n");
  store<u32>(piece, <u32>report);
  store<u32>(piece, <u32>size, 4);
  wire.fd_write(2, piece, 1, piece + 8);
  unreachable();
}

function text(s: string | null): void {
  if (s === null) return;
  const at = changetype<usize>(s);
  const units = s.length;
  let i = 0;
  while (i < units && size < SIZE - 64) {
    let c = <u32>load<u16>(at + ((<usize>i) << 1));
    i++;
    if (c >= 0xd800 && c < 0xe000) {
      const low = i < units ? <u32>load<u16>(at + ((<usize>i) << 1)) : 0;
      if (c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        i++;
      } else {
        c = 0xfffd;
      }
    }
    size += encode(c, report + size);
  }
}

function decimal(n: u32): void {
  let unit: u32 = 1;
  while (n / unit >= 10) unit *= 10;
  for (; unit > 0; unit /= 10) store<u8>(report + size++, <u8>(48 + ((n / unit) % 10)));
}

// encode writes a character as UTF-8 and returns how many bytes it has.
export function encode(c: u32, to: usize): usize {
  if (c < 0x80) {
    store<u8>(to, <u8>c);
    return 1;
  }
  if (c < 0x800) {
    store<u8>(to, <u8>(0xc0 | (c >> 6)));
    store<u8>(to, <u8>(0x80 | (c & 63)), 1);
    return 2;
  }
  if (c < 0x10000) {
    store<u8>(to, <u8>(0xe0 | (c >> 12)));
    store<u8>(to, <u8>(0x80 | ((c >> 6) & 63)), 1);
    store<u8>(to, <u8>(0x80 | (c & 63)), 2);
    return 3;
  }
  store<u8>(to, <u8>(0xf0 | (c >> 18)));
  store<u8>(to, <u8>(0x80 | ((c >> 12) & 63)), 1);
  store<u8>(to, <u8>(0x80 | ((c >> 6) & 63)), 2);
  store<u8>(to, <u8>(0x80 | (c & 63)), 3);
  return 4;
}
