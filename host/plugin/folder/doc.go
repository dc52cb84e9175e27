// Package folder reads and writes directories of modules: it lists their files (Scan),
// reads one with its sidecar (Read), identifies the plugin in it (Identify), reports when a
// scan is due (Watcher), and adds and removes modules (Put, Remove). Only the present state
// of the file system counts; a file event is never more than a reason to scan.
//
// Guarantees: it never follows a symbolic link of a module, never blocks on opening a FIFO
// or a device, and never reads more than the given limit. The bytes of a Content belong to
// the one state that it contains.
//
// The functions have no state. A Watcher is safe for concurrent use; its mutex is a leaf.
// Read state.go first.
package folder
