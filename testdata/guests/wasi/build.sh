#!/bin/sh
# Builds the guests of this directory: build.sh [file...], all of them without
# a name. That in Go is built by the test. The others take wasi-libc, clang and lld 19 with
# the run-time library for WebAssembly, and Rust 1.63 and lld 14 with its standard library for
# wasm32-wasi (Debian 12: apt-get install wasi-libc clang-19 lld-19
# libclang-rt-19-dev-wasm32 rustc lld-14 libstd-rust-dev-wasm32).
# CLANG and RUSTC choose other compilers, CFLAGS and RUSTFLAGS are added;
# WASI_LIB is where the C library for Rust is.
set -eu
cd "$(dirname "$0")"

WASI_LIB=${WASI_LIB:-/usr/lib/wasm32-wasi}
[ $# -gt 0 ] || set -- *.c *.rs
for source in "$@"; do
    name=${source%.*}
    case $source in
    *.c)
        "${CLANG:-clang-19}" --target=wasm32-wasi -std=gnu11 -Oz -Wall -Wextra -Werror ${CFLAGS:-} \
            -I../../../abi/c -Wl,--strip-all -Wl,-z,stack-size=65536 -o "$name.wasm" "$source"
        ;;
    *.rs)
        "${RUSTC:-rustc}" --target=wasm32-wasi --edition=2021 -C opt-level=z -C lto -C panic=abort -C strip=symbols \
            -C linker=wasm-ld-14 -C link-self-contained=no -L "$WASI_LIB" -C link-arg="$WASI_LIB/crt1-command.o" -C link-arg=-zstack-size=65536 \
            ${RUSTFLAGS:-} -o "$name.wasm" "$source"
        ;;
    esac
done
