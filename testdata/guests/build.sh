#!/bin/sh
# Builds the guests of this directory: build.sh [name...], all of them without
# a name. The same compiler gives the same bytes; the checked-in ones are of
# clang and lld 19 (Debian: apt-get install clang-19 lld-19).
# CLANG chooses another compiler.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}

[ $# -gt 0 ] || set -- *.c
for source in "$@"; do
    name=${source%.c}
    "$CLANG" --target=wasm32 -std=c11 -Oz -Wall -Wextra -Werror \
        -mbulk-memory -ffreestanding -nostdlib -I../../abi/c \
        -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=8192 \
        -o "$name.wasm" "$name.c"
done
