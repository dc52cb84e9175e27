// Reading and writing of the sections of a WebAssembly module.

const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
export const CUSTOM = 0, MEMORY = 5, EXPORT = 7, DATA = 11, DATA_COUNT = 12;

export function leb(n) {
  const bytes = [];
  do {
    let b = n % 128;
    n = Math.floor(n / 128);
    if (n > 0) b |= 128;
    bytes.push(b);
  } while (n > 0);
  return Buffer.from(bytes);
}

function signedLeb(n) { // of an i32.const
  const bytes = [];
  for (n |= 0; ; ) {
    const b = n & 127;
    n >>= 7;
    if ((n === 0 && !(b & 64)) || (n === -1 && b & 64)) {
      bytes.push(b);
      return Buffer.from(bytes);
    }
    bytes.push(b | 128);
  }
}

class Reader {
  constructor(bytes, at = 0) { this.bytes = bytes; this.at = at; }
  byte() {
    if (this.at >= this.bytes.length) throw new Error("the module ends too early");
    return this.bytes[this.at++];
  }
  number() {
    let n = 0, scale = 1;
    for (;;) {
      const b = this.byte();
      n += (b & 127) * scale;
      scale *= 128;
      if (!(b & 128)) return n;
    }
  }
  take(n) {
    if (this.at + n > this.bytes.length) throw new Error("the module ends too early");
    return this.bytes.subarray(this.at, this.at += n);
  }
  name() { return this.take(this.number()).toString(); }
}

/** The sections of a module, in order: [{id, body}]. */
export function decode(bytes) {
  const r = new Reader(bytes);
  if (Buffer.compare(r.take(8), Buffer.from(MAGIC)) !== 0) throw new Error("not a WebAssembly module");
  const sections = [];
  while (r.at < bytes.length) sections.push({ id: r.byte(), body: r.take(r.number()) });
  return sections;
}

export function encode(sections) {
  const parts = [Buffer.from(MAGIC)];
  for (const { id, body } of sections) parts.push(Buffer.from([id]), leb(body.length), body);
  return Buffer.concat(parts);
}

/** The smallest size of the memory, in pages of 64 KiB. */
export function memoryPages(sections) {
  const r = new Reader(sections.find((s) => s.id === MEMORY).body, 1);
  r.byte();
  return r.number();
}

/** Sets the smallest size of the memory. */
export function setMemoryPages(sections, pages) {
  const section = sections.find((s) => s.id === MEMORY);
  const r = new Reader(section.body);
  if (r.number() !== 1) throw new Error("the module has more than one memory");
  const flags = r.byte();
  r.number();
  section.body = Buffer.concat([leb(1), Buffer.from([flags]), leb(pages), r.bytes.subarray(r.at)]);
}

/** Removes all exports but those named. */
export function keepExports(sections, names) {
  const section = sections.find((s) => s.id === EXPORT);
  const r = new Reader(section.body);
  const kept = [];
  for (let n = r.number(); n > 0; n--) {
    const start = r.at, name = r.name();
    r.byte();
    r.number();
    if (names.includes(name)) kept.push(section.body.subarray(start, r.at));
  }
  section.body = Buffer.concat([leb(kept.length), ...kept]);
}

function withData(sections, count, body) {
  const changed = sections.filter((s) => s.id !== DATA).map((s) => (s.id === DATA_COUNT ? { id: s.id, body: leb(count) } : s));
  let at = changed.findLastIndex((s) => s.id !== CUSTOM) + 1;
  changed.splice(at, 0, { id: DATA, body: Buffer.concat([leb(count), body]) });
  return changed;
}

function segment({ offset, bytes }) {
  return Buffer.concat([Buffer.from([0, 0x41]), signedLeb(offset), Buffer.from([0x0b]), leb(bytes.length), bytes]);
}

/** Adds active data segments, [{offset, bytes}], behind those that are there. */
export function addData(sections, segments) {
  const before = sections.find((s) => s.id === DATA);
  const r = new Reader(before ? before.body : leb(0));
  const count = r.number();
  return withData(sections, count + segments.length, Buffer.concat([r.bytes.subarray(r.at), ...segments.map(segment)]));
}

/** Replaces all data segments by active ones. The module must have none that is passive. */
export function replaceData(sections, segments) {
  const before = sections.find((s) => s.id === DATA);
  const r = new Reader(before.body);
  for (let n = r.number(); n > 0; n--) {
    const kind = r.number();
    if (kind === 1) throw new Error("the engine has a passive data segment");
    if (kind === 2) r.number();
    if (r.byte() !== 0x41) throw new Error("a data segment whose offset is not constant");
    while (r.byte() & 128);
    if (r.byte() !== 0x0b) throw new Error("a data segment whose offset is not constant");
    r.take(r.number());
  }
  return withData(sections, segments.length, Buffer.concat(segments.map(segment)));
}

export function customSection(name, bytes) {
  return { id: CUSTOM, body: Buffer.concat([leb(Buffer.byteLength(name)), Buffer.from(name), bytes]) };
}

/** The name of a custom section. */
export function customName(section) { return new Reader(section.body).name(); }
