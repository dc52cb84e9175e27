// Package bus takes events in and hands them on: Publish checks an event and
// appends it to a Log; one reader goroutine follows the log into a ring in
// memory, and every Subscription copies from the ring, or reads the log when it
// has fallen behind the ring.
//
// A Subscription sees every event of the log from where it starts, once, in the
// order of Seq. Events that are trimmed before it gets to them are the
// exception: it goes on after them. Publish returns when the Log says the event
// is stored; what that means is the Log's to promise: durable for
// store.Store, nothing beyond this process for Memory.
//
// Lock order: Bus.mu, then waiters.mu. Memory.mu, then its waiters.mu. A lock
// is held for copying and never while the log is called.
//
// Read bus.go first, then ring.go.
package bus
