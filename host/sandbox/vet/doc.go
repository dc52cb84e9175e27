// Package vet decides whether the host may compile a module. No byte of an unvetted
// module reaches wazero in the host's process.
//
// A Vetter first scans the module in this process, which is cheap and bounded
// (package prescan). A child process does the rest: the same program, executed with
// limits on memory, CPU time and wall time, without environment, in a directory of
// its own. The child reads the module from its standard input, meters it, compiles
// it into that directory, inspects its shape and returns one Report. If the module
// passes, the directory becomes a cache entry: the verdict and the compiled code,
// which this process loads without compiling.
//
// Guarantees:
//
//   - A module that makes the child exhaust memory or time, or crash, is refused with
//     the limit and the measured value. This process is unaffected.
//   - A child that fails for a reason of the machine gives no verdict: the error is
//     fault.Unavailable.
//   - Source lines are found by the same kind of child, from the entry's copy of the module: no
//     debug information is read in this process.
//   - A cache entry is used only by the program that wrote it, under the same limits,
//     for the same bytes, and only while its code is undamaged. If an entry disappears
//     between check and use, the host compiles the module, which has passed, itself.
//
// A program that vets modules must also be able to run as the child: berth by its
// command vet, a test binary by calling RunIfChild first in TestMain.
//
// Lock order: Vetter.mu and queue.mu are never held while a child runs or a file is
// read; quota.mu is held while entries are removed. No lock is taken under another.
// Read vetter.go first, then child.go and run.go.
package vet
