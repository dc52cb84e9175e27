// Package outcomes keeps what became of deliveries in the shared PostgreSQL database: plain
// successes in blocks of the table outcome_blocks, up to 512 outcomes of one handler in the
// order of Seq as package pack encodes them, every other outcome as a row of the table
// deliveries, and past attempts in the table attempts.
//
// Guarantees:
//   - The blocks of one handler never overlap: a Seq is in one block at most.
//   - A row of deliveries takes precedence over an outcome in a block with its handler and
//     Seq. Save removes such a row when the outcome in the block is newer.
//   - Outcomes of removed events are never returned. Blocks begin above the mark "trimmed" or
//     contain it; Swept moves outcomes of events that stay below the mark into rows.
//   - A block that is damaged, or that has columns of a newer version, is left as it is.
//     Outcomes that belong into its range become rows. The blocks beside it and other
//     handlers are not affected.
//   - Of one delivery the newest event.MaxPastAttempts attempts remain, and the logs of one
//     handler have at most spec.MaxHandlerLog together. Ids of attempts grow in the order in
//     which they ended, whatever the clocks of the hosts say.
//
// New outcomes form small blocks at the end. Save merges them with the blocks before: with a
// block that has no more outcomes, with one of 1 KiB or less, and with one that becomes full,
// so that an outcome is encoded about twice.
//
// Locks. What is read and then written, such as a block, is guarded by advisory locks that end
// with the transaction: one for each handler, and one that removing events from the log takes
// alone and all others share (Begin, LockTrim). They come after the rows of units and before
// all other rows. The functions run in a transaction of the caller and keep no state.
//
// Read save.go first, then plan.go.
package outcomes
