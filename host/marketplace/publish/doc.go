// Package publish is the publisher's side of a marketplace: it makes releases,
// puts them into a tree of files, signs the tree and checks it. A web server that
// serves the tree is the marketplace.
//
// Every file is written whole or not at all: beside its place, synced, renamed.
// Doing the same again changes nothing. A version that is in a tree never
// changes; what is wrong with it is told by yanking, deprecating or revoking.
//
// Nothing here is safe for concurrent use on one tree: one person at a time
// publishes.
//
// Read release.go first, then tree.go and sign.go.
package publish
