#!/bin/sh
# Builds the guest in AssemblyScript, with its source map in the section berth.sourcemap, and
# again with it in a data: URL. The checked-in ones are of npm's assemblyscript 0.28.20:
# npm install assemblyscript@0.28.20. ASC is the compiler, or a command that runs it.
set -eu
cd "$(dirname "$0")"
ASC=${ASC:-npx asc}

$ASC explode.ts -O0 --runtime stub --debug --sourceMap -o ts.wasm
node -e '
const fs = require("fs");
const size = (n) => n < 128 ? [n] : [(n & 127) | 128, ...size(n >>> 7)];
const text = (b) => Buffer.concat([Buffer.from(size(b.length)), b]);
const section = (name, contents) => {
  const body = Buffer.concat([text(Buffer.from(name)), contents]);
  return Buffer.concat([Buffer.from([0]), text(body)]);
};
const map = JSON.parse(fs.readFileSync("ts.wasm.map"));
delete map.sourcesContent;
const json = Buffer.from(JSON.stringify(map));
// without the section of the compiler, which names the file beside the module
let wasm = fs.readFileSync("ts.wasm"), kept = [wasm.subarray(0, 8)];
for (let at = 8; at < wasm.length; ) {
  let id = wasm[at], n = 0, shift = 0, i = at + 1;
  do { n |= (wasm[i] & 127) << shift; shift += 7; } while (wasm[i++] & 128);
  if (id !== 0 || !wasm.subarray(i + 1, i + 17).equals(Buffer.from("sourceMappingURL"))) kept.push(wasm.subarray(at, i + n));
  at = i + n;
}
wasm = Buffer.concat(kept);
fs.writeFileSync("ts.wasm", Buffer.concat([wasm, section("berth.sourcemap", json)]));
const url = "data:application/json;base64," + json.toString("base64");
fs.writeFileSync("ts-url.wasm", Buffer.concat([wasm, section("sourceMappingURL", text(Buffer.from(url)))]));
'
rm ts.wasm.map
