// Package publish is the publisher's side of a marketplace: it makes releases, adds them to
// a tree of files, signs the tree and verifies it. A web server that serves the tree is the
// marketplace.
//
// Every file is replaced atomically: written beside its path, synced, renamed. Repeating an
// operation changes nothing. A version in a tree never changes; it can be yanked, deprecated
// or revoked.
//
// The functions are not safe for concurrent use on one tree: one process at a time
// publishes.
//
// Read release.go first, then tree.go and sign.go.
package publish
