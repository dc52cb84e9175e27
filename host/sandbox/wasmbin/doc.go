// Package wasmbin reads the WebAssembly binary format: LEB128 integers, names, sections, limits, value types, constant
// expressions and instructions of the core specification 2.0 (what wazero
// calls CoreFeaturesV2). It also encodes them, each integer in as few bytes as
// possible.
//
// No input makes it panic, recurse or allocate: every count is checked against the
// bytes that remain, every integer must be encoded within its length and without stray
// bits, and features of later proposals are refused by the proposal's name. It does not
// check types; the engine does.
//
// A Reader is a value with no shared state: use one per goroutine.
//
// Read reader.go first, then instr.go and immediates.go.
package wasmbin
