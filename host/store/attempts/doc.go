// Package attempts keeps the past attempts of a store in its table attempts: every failed
// attempt, and successes with logs.
//
// Guarantees:
//   - An attempt is stored in the transaction of its delivery. A second write of it, by a
//     caller that does not know whether the first one was committed, changes nothing.
//   - Of one delivery the newest event.MaxPastAttempts remain.
//   - The logs of one handler have at most spec.MaxHandlerLog together: the write that
//     exceeds it removes those of the oldest attempts. When these are many and small, later
//     writes remove the remainder. A trigger counts the bytes in the transaction that
//     changes them, so the number survives a restart and nothing is scanned.
//   - Attempts are removed with their event.
//
// Ids grow in the order in which attempts ended, so that the clock does not decide which
// are the newest. A Writer belongs to the writer goroutine of the store, a Reader is safe
// for concurrent use. Read writer.go first.
package attempts
