// Package vet judges modules before the host's process compiles them: no byte of
// an unvetted module reaches wazero there.
//
// A Vetter scans a module in this process, which is cheap and bounded (package
// prescan), and has a child do the rest: the same program, executed again with
// little memory, CPU time and wall time and no environment, in a directory of
// its own. The child reads the module from its standard input, makes it metered,
// compiles it into that directory, looks at its shape and answers one Report.
// When it passes, the directory becomes an entry of the cache: the verdict and
// the compiled code, which this process then loads without compiling.
//
// What it promises: a module that makes the child run out of memory or time, or
// crash, is refused with the limit and the measured value, and this process is
// as it was; a child that could not do its work for reasons of the machine is
// fault.Unavailable and no verdict; an entry is used only by the program that
// made it, under the same limits, for the same bytes, and only if its code is
// undamaged. Should an entry vanish between its check and its use, the host
// compiles for itself what has passed.
//
// A program that vets must be able to be the child: berth is by its command vet,
// and a test binary by calling RunIfChild first in TestMain.
//
// Lock order: Vetter.mu and queue.mu are never held while a child runs or a file is read;
// room.mu is held while entries are removed. None is taken under another.
// Read vetter.go first, then child.go and run.go.
package vet
