#!/bin/sh
# Builds the guests of this directory that clang builds: C with DWARF of each version, and
# without; C++. The same compiler gives the same bytes; the checked-in ones are of clang and
# lld 19 (Debian: apt-get install clang-19 lld-19). CLANG chooses another compiler.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
common="--target=wasm32 -Oz -Wall -Wextra -Werror -mbulk-memory -ffreestanding -nostdlib -I../../abi/c
    -fdebug-compilation-dir=/project -fdebug-prefix-map=../../abi/c=berth -Wl,--no-entry -Wl,-z,stack-size=8192"

for version in 2 3 4 5; do
    "$CLANG" $common -std=c11 "-gdwarf-$version" -gstrict-dwarf -o "c-$version.wasm" explode.c
done
"$CLANG" $common -std=c11 -g0 -o c-none.wasm explode.c
"$CLANG" $common -std=c++17 -fno-exceptions -fno-rtti -g -o cpp.wasm explode.cpp
