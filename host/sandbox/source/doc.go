// Package source finds the source lines of a guest's stack.
//
// A stack trace of the engine has, for guests with debug information, the offset of each
// frame in the metered code (package meter). Parse reads it. A Locator translates the
// offsets to functions, files and lines: it has a child process do that, since debug
// information is as hostile as the module (package vet runs Resolve there), remembers the
// result, and gives up early when failures are frequent: a failure then has the names of
// its functions only.
//
// Guarantees:
//
//   - Names are demangled in the child too: for a hostile one that takes exponential time.
//   - Resolve never panics. It reads DWARF of the versions 2 to 5 and source maps of version 3,
//     and allocates in proportion to the module. Its time is bounded by its caller only: it
//     runs in a process with limits.
//   - A Locator runs one child at a time, waits no longer than its limit, and starts no more
//     than its rates allow.
//   - The text of a Stack has no control characters but tabs and newlines of its own, and is
//     bounded.
//
// Everything here is safe for concurrent use, except for a Stack, which belongs to one
// goroutine. Read stack.go first.
package source
