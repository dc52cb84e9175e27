// Package bus publishes events to a Log and delivers them to subscriptions. It
// declares what an engine offers, Log and State, and has one engine of its own,
// Memory.
//
// The newest events are kept once, in a Window. The engine adds events to it as
// soon as they are stored as the engine guarantees, and before Append returns; that
// wakes the subscriptions, which copy from the window. A subscription that is behind
// the window reads the log, in pages that all of them share (pages.go).
//
// A Subscription receives every event of the log from its start on, once, in the
// order of Seq, except events that are trimmed before it reads them. Publish
// returns when the log has stored the event: durably for store.Store, in this
// process for Memory.
//
// Lock order: Memory.mu, then Window.mu, then waiters.mu. pages.mu is a leaf. The bus calls the log
// without a lock.
//
// Read engine.go first, then bus.go and window.go.
package bus
