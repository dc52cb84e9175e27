// Package operations runs replays, redrives and retries of many events in the background, with
// progress, a rate and a way to cancel them.
//
// Guarantees:
//   - An operation is stored before Start returns. A restart continues it from its last stored
//     position: events of the second before a crash can be given to the handler twice.
//   - Events are given in the order of the log, in chunks of at most 512. Order by key holds as
//     it does for a redrive: one event of a key at a time.
//   - A replay of a whole range, without a filter and a rate, is the handler's own replay: order
//     by key also holds towards the events published since. Done counts the Seqs that the
//     handler's cursor has passed then. To cancel it is to replay one event more, and to return
//     to the position before.
//   - At most MaxRunning operations run, and MaxKept are kept; finished ones go first, the oldest
//     first.
//   - Close stops every operation, and stores its position.
//
// Lock order: Runner.mu is locked last, and never while the store or a handler is asked. Read
// runner.go first, then run.go; source.go finds the events.
package operations
