// Package outcomes keeps the plain successes of a store in blocks of the table
// outcome_blocks: up to 512 outcomes of one handler in the order of Seq, as package pack
// encodes them. Every other outcome is an entry of the table deliveries.
//
// Guarantees:
//   - The blocks of one handler never overlap: a Seq is in one block at most.
//   - A delivery with the same handler and Seq takes precedence over an outcome in a
//     block. Save removes such a delivery, because its outcome is newer.
//   - Blocks begin above the mark "trimmed" or contain it. Trim moves the outcomes of
//     events that stay in the log below the mark to the table deliveries; outcomes of
//     removed events are never returned.
//   - A block that is damaged, or that has columns of a newer version, is left as it is.
//     Outcomes that belong into its range are stored as deliveries. Reading it is an
//     *Unreadable; the blocks beside it and other handlers are not affected.
//
// New outcomes form small blocks at the end. Save merges them with the blocks before:
// with a block that is not larger, with one of 1 KiB or less, which an insert would
// write again anyway, and with one that becomes full. So the outcomes of a handler that
// writes one at a time are encoded with each one after them until they have 1 KiB
// together, and a small number of times after that; those of a busy handler about twice.
//
// A Writer belongs to the writer goroutine of the store and has no state between two
// transactions. A Reader is safe for concurrent use. Read writer.go first.
package outcomes
