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
// An instance is dealt several attempts at once when many are ready, and hands
// plain successes in together (hand.go). That shows nowhere: what it has not begun
// is pending, comes back when its attempt runs long or somebody else could begin
// it, and no attempt begins after a pause or after a breaker has opened.
//
// A handler that fails one event after another is left alone for a while by its
// breaker; a paused one is left alone until it is resumed. Its events wait in the
// log meanwhile, and waiting costs no attempt.
//
// Outcomes and cursors are written by one recorder, together and in groups. A
// cursor never passes an event whose outcome is not in the same or an earlier
// write: what a crash forgets is delivered again. The children that a guest
// emitted are published in the write that holds the outcome of their parent, all
// or none: until then the parent is delivered again, and afterwards never, so
// that there is one set of them. When the store does not keep up, the outcomes of
// plain successes are left out and counted (history.go).
//
// A dead letter is redriven by making its row pending: a feeder takes such rows up,
// a page at a time, into the lanes of their keys (restore.go). A replay moves the
// cursor back and notes where to go on, in one write, between attempts; then the
// handler is loaded from the store in place, as after a restart (replay.go). In
// the stretch that is replayed the order of a key is that of the log, retries
// included; what follows comes after it.
//
// Lock order: Dispatcher.mu or recorder.mu, then Handler.mu; recorder.touching and
// recorder.troubleMu are leaves. None is held while the store, the log, an observer or OnCondition is
// called; Config.Watched is asked under Handler.mu.
//
// Dispatcher.places and Handler.moving are held across calls of the store, in
// this order, by who opens, replays or closes a handler, and before any other.
//
// Read handler.go first, then attempts.go, hand.go, recorder.go and restore.go.
package delivery
