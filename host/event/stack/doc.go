// Package stack reads the calls in the message of a failed attempt, and normalises its
// headline, so that failures with the same cause can be grouped.
//
// A message has the reason in its first line. The stack that the host found and the guest's
// output follow: panics of Go and Rust, tracebacks of Python, stacks of JavaScript, Java and
// Zig, and whatever else the guest wrote.
//
// Every function is pure and safe for concurrent use, and takes time in proportion to the
// message, of which at most MaxMessage bytes are read. The text is the guest's: Parse never
// panics, and the frames have printable names of bounded size.
//
// Read parse.go first.
package stack
