// Package format is the marketplace's format, berth-marketplace-v1, as
// abi/MARKETPLACE.md describes it: the files, their paths, what may stand in
// them, and what their signatures must be.
//
// It does no input and output. Everything it reads is taken for hostile: texts
// are bounded before they are parsed, nothing is guessed, and every refusal has
// a Kind of its own, so that a missing signature is never mistaken for a wrong
// one. Values are plain data, safe for concurrent reads.
//
// Read tree.go first, then root.go, page.go and release.go, then sign.go.
package format
