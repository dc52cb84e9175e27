#!/bin/sh
# Rebuilds the checked-in module. Needs asc, from the npm package assemblyscript.
set -eu
cd "$(dirname "$0")"
${ASC:-asc} guest.ts -o guest_as.wasm -O2 --runtime incremental --use abort= --exportRuntime
