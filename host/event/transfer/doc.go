// Package transfer copies everything that an engine stores into an engine of another type:
// events with their Seqs and times, the progress of handlers, the key-value state of plugins,
// documents and orders.
//
// Guarantees:
//   - The copy is exact: the rows of every kind are compared on both sides, by their number
//     and a SHA-256 over all of them in the order of their keys, before the copy gets the
//     name under which a host finds it. A copy that differs never gets it.
//   - A transfer that was interrupted at any point continues where it was: each page of rows
//     is stored in one transaction with the position after it.
//   - Memory is bounded: four pages, of 2 MiB and a row each.
//
// The caller makes sure that no host runs on either side. The engines implement Source and
// Target in packages of their own. Nothing here is safe for concurrent use, except that Copy
// reads from the source while it writes to the target.
//
// Read kind.go first, then copy.go.
package transfer
