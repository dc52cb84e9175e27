#!/bin/sh
# Builds the plugins of this directory: build.sh [c] [assemblyscript], both without a name.
# It takes clang and lld 19 (Debian: apt-get install clang-19 lld-19), and node with npm; npm
# installs what assemblyscript/package-lock.json pins. CLANG chooses another compiler. The
# tests build the one in Go.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}

[ $# -gt 0 ] || set -- c assemblyscript
for language in "$@"; do
    case $language in
    c)
        "$CLANG" --target=wasm32 -std=c11 -Oz -Wall -Wextra -Werror -ffreestanding -nostdlib \
            -Wl,--no-entry -Wl,-z,stack-size=65536 -o c.wasm orders.c
        ;;
    assemblyscript)
        (cd assemblyscript && npm ci --ignore-scripts --no-audit --no-fund &&
            npx --no-install asc orders.ts -O3z --runtime incremental --use abort=orders/myAbort --outFile ../assemblyscript.wasm)
        ;;
    *)
        echo "build.sh: there is no plugin in $language" >&2
        exit 2
        ;;
    esac
done
