// Base64 with padding, for bodies that are not text.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

export function encode(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const bits =
      (<u32>bytes[i] << 16) | (left > 1 ? <u32>bytes[i + 1] << 8 : 0) | (left > 2 ? <u32>bytes[i + 2] : 0);
    text += DIGITS.charAt(bits >> 18) + DIGITS.charAt((bits >> 12) & 63);
    text += (left > 1 ? DIGITS.charAt((bits >> 6) & 63) : "=") + (left > 2 ? DIGITS.charAt(bits & 63) : "=");
  }
  return text;
}

export function decode(text: string): Uint8Array {
  let length = text.length;
  while (length > 0 && text.charCodeAt(length - 1) == 0x3d) length--;
  const bytes = new Uint8Array((length * 3) >> 2);
  let bits: u32 = 0;
  let count = 0;
  let at = 0;
  for (let i = 0; i < length; i++) {
    bits = (bits << 6) | (<u32>DIGITS.indexOf(text.charAt(i)) & 63);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes[at++] = <u8>(bits >> count);
    }
  }
  return bytes;
}
