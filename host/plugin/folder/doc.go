// Package folder looks at directories of modules and says what is in them now:
// which files (Scan), what a file holds (Read), and when it is worth looking
// again (Watcher). It judges by the state of the file system alone; an event
// of the file system is never more than a reason to look.
//
// It promises never to follow a symbolic link, never to block on opening a
// FIFO or a device, never to read more than it was allowed, and that the bytes
// of a Content belong to the file's one state that comes with them.
//
// Scan and Read have no state. A Watcher's methods are safe for concurrent
// use; its one mutex is a leaf, under which nothing is called.
//
// Read state.go first.
package folder
