// Package wasi is WASI preview 1 for a guest that has arguments, three standard
// streams, clocks and random bytes, and nothing else: the environment is empty,
// and there are no directories, no other files and no sockets.
//
// Every function of preview 1 is here, so that what compilers and C libraries
// expect of it is decided in one place: an empty environment is well-formed, the
// streams are pipes and no terminals, and descriptor 3 is EBADF, at which
// libraries stop looking for directories. Errors are the ones POSIX gives for a
// pipe.
//
// A call does an amount of work that does not depend on the counts and lengths a
// guest passes, or charges the guest for it. The package knows no runtime: it
// reads and writes guest memory through Memory. A Process belongs to one
// goroutine.
//
// Read process.go first.
package wasi
