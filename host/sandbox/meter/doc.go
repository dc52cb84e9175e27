// Package meter rewrites a WebAssembly module so that it counts the work it does
// and can be stopped: fuel.
//
// The rewritten module has one more import, refill, and one more exported
// global, the fuel left. Each function entry and each loop head subtracts a
// constant, and bulk memory and table instructions an amount by their dynamic
// length before they run; when the counter falls below zero the module calls
// refill, which grants more or traps. Nothing else changes: same results, same
// memory, same traps.
//
// Two forms are replaced by others that do the same, so that a metered module is not
// slower for its loop heads: jumps by way of a switch at a loop's head (dispatch.go),
// which is how the Go compiler writes nearly all of them, and a br_if to a loop's head
// (repeat, in code.go).
//
// # The contract with the host
//
//	refill(left i64) -> i64
//
// left is the counter, below zero unless refill is called for the stack (below), with the charge that emptied it
// already subtracted; the result becomes the counter. A host that grants slices
// returns left + slice and adds slice to its sum of grants, so that at any time
//
//	fuel used = granted - counter
//
// exactly, with slices of any size. The counter starts at 0: the first charge
// calls refill, even in a start function. The host reads the counter at event
// boundaries from the exported global, and may write it there, in a host call
// made by the instance, together with its sum of grants. To limit an event to a
// budget, grant slices that add up to it and trap when refill is called after
// that: the charge that trapped is then the same on every machine. A result that
// is still below zero is allowed: refill is called again at once, until it is
// not. To stop the guest, panic in refill. An instance that has trapped must not
// be called again. A slice of 1<<20 lasted 0.06 to 0.7 ms in
// TestRunawaysAreStopped; filling memory never touched before takes longer.
//
// Fuel is exact for events that end by themselves, trap or run out of fuel; the point of
// a stack overflow depends on the engine and on the points of refills.
//
// # The stack
//
// A second counter, exported too, bounds how far the call stack grows: stack.go. It starts
// so high that a host may ignore it. One that does not sets it, in refill, to the bytes
// that calls may use before refill is called again, and measures the stack itself. refill
// is called when either counter is below zero, so left may be zero or more: then the
// result must be left.
//
// # The unit
//
// About one simple instruction; weights.go has the table. A charge is the
// cost of the most expensive path from one charge to the next that passes no
// other, so fuel is an upper bound of the weighted instructions executed, and
// what can run between two charges is bounded by the size of one function
// body and of the small functions it calls. The same module and input consume the same fuel everywhere.
//
// # Guarantees
//
// Rewrite never panics, recurses or writes to its input; it allocates less than
// 32 bytes for each byte of input, plus 4 MiB at the default nesting. The guest
// cannot name the counter, refill or the helper functions: each index is checked
// against what the guest itself declared, and the reserved names are refused in
// its imports and exports. Types are not checked: give the result to an engine that
// validates.
//
// The output is encoded anew, section by section and instruction by instruction, from
// what was decoded: no byte of code is copied. So the engine runs what was charged
// even where its decoder and this one would disagree on the input, and the output has
// one encoding, the shortest, of each integer.
//
// Only the name section and custom sections whose name starts with "berth."
// survive, but for source maps; these and DWARF would point at the wrong bytes. A module
// that has one of them gets DWARF of the rewriter's own, by which a stack trace has the
// offset of each frame, and Origins the offset in the original (lines.go).
//
// Everything here is safe for concurrent use. Read meter.go first, then cost.go.
package meter
