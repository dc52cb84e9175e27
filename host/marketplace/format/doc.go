// Package format is the marketplace's format, berth-marketplace-v1, as abi/MARKETPLACE.md
// describes it: the files, their paths, their contents and their signatures.
//
// It does no input or output. All input is untrusted: texts are bounded before they are
// parsed, no value is guessed, and every refusal has a Kind of its own, so that a missing
// signature is never mistaken for a wrong one. Values are plain data, safe for concurrent
// reads.
//
// Read tree.go first, then root.go, page.go and release.go, then sign.go.
package format
