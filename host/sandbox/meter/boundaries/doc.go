// Command boundaries compares where instructions begin: as the rewriter's decoder
// reads them (wasmbin), as wabt's wasm-objdump does, and as the engine's validator
// does. Two decoders that disagree on one boundary run different code; a module that is
// charged for one reading and runs in the other escapes its fuel.
//
// It generates modules with every opcode and every immediate, many encoded in more
// bytes than they need, mutates them, and checks of each:
//
//   - of the input: that all decoders that accept it see the same boundaries;
//   - of meter.Rewrite's output: that wabt and the engine see the boundaries
//     that wasmbin sees, that each instruction has its one canonical encoding, that in
//     wabt's reading each reachable loop begins with a charge, and each function that
//     could run for long, that recursive functions charge the stack, and that nothing
//     else writes the counters.
//
// The engine has no disassembler. Its boundaries are found by a probe: with the byte
// at an offset replaced by an undefined opcode, the validator reports that
// opcode exactly if it begins an instruction there.
//
//	go run ./host/sandbox/meter/boundaries -for 30m
//
// Read main.go first, then check.go and charges.go.
package main
