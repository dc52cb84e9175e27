#!/bin/sh
# Rebuilds the checked-in modules. Needs clang 19 and lld 19 (wasm-ld-19).
set -eu
cd "$(dirname "$0")"
flags="--target=wasm32 -nostdlib -ffreestanding -fno-builtin-memset -fno-builtin-memcpy -Wl,--no-entry -Wl,-zstack-size=65536"
${CLANG:-clang-19} $flags -Oz -mno-bulk-memory -o guest_small.wasm guest.c
${CLANG:-clang-19} $flags -O3 -msimd128 -mbulk-memory -msign-ext -mmutable-globals -mnontrapping-fptoint -o guest_fast.wasm guest.c
