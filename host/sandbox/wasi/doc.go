// Package wasi implements WASI preview 1 for a guest with arguments, three standard
// streams, clocks and random bytes: the environment is empty, and there are no
// directories, no other files and no sockets.
//
// Every function of preview 1 is here, so that one package decides what compilers and C
// libraries depend on: an empty environment is well-formed, the streams are pipes and no
// terminals, and descriptor 3 is EBADF, at which libraries stop their search for
// directories. Errors are those that POSIX specifies for a pipe.
//
// The work of a call does not depend on the counts and lengths that a guest passes, or the
// guest is charged for it. The package knows no runtime: it reads and writes guest memory
// through Memory. A Process belongs to one goroutine.
//
// Read process.go first.
package wasi
