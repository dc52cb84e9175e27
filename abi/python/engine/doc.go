// Command engine makes engine.wasm, the Python interpreter that `berth plugin build` puts a
// handler's source into, from MicroPython as a WASI command.
//
// The interpreter is built elsewhere (README.md says by whom) with the instructions of the
// exception-handling proposal, which Berth's runtime does not run. This command
//
//   - replaces these instructions by ordinary ones: a thrown exception sets a flag, each
//     call that can throw is followed by a test of the flag, and a function in which it is
//     set returns at once or branches to its handler (lower.go);
//   - replaces the module's own imports by functions that call berth_v1 (glue.go);
//   - appends a passive data segment, the program, which `berth plugin build` replaces.
//
// Its output depends on its input and this source only.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
)

// interpreter is the SHA-256 of the module that this command was written for.
const interpreter = "1c054a4d21d4a6589bc568821ebf562889988ddaaf8a17a2e2985a56cf228051"

func main() {
	out := flag.String("o", "engine.wasm", "the file to write")
	flag.Parse()
	if err := run(flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	wasm, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(wasm); hex.EncodeToString(sum[:]) != interpreter {
		return fmt.Errorf("%s has the SHA-256 %x, want %s", in, sum, interpreter)
	}
	engine, err := build(wasm)
	if err != nil {
		return err
	}
	return os.WriteFile(out, engine, 0o644)
}
