// Package delivery brings the events of the log to handlers, each at least
// once, and records how that went.
//
// Every handler has its own reader, queue and cursor, so that one that fails or
// is slow delays no other. A Handler is where the instances of a sandbox pool
// get their attempts (Next) and give them back (Done). Events with the same
// order key reach a handler one at a time, in order, also across retries. A
// failed attempt is tried again after a growing, jittered backoff, at most
// Retry.MaxAttempts times, and is then dead.
//
// Outcomes and cursors are written by one recorder, together and in groups. A
// cursor never passes an event whose outcome is not in the same or an earlier
// write: what a crash forgets is delivered again. The children that a guest
// emitted are published in the write that holds the outcome of their parent, all
// or none: until then the parent is delivered again, and afterwards never, so
// that there is one set of them.
//
// Lock order: Dispatcher.mu, then Handler.mu. Neither is held while the store,
// the log or an observer is called.
//
// Read handler.go first, then recorder.go.
package delivery
