// Package progress keeps the progress of handlers in the shared PostgreSQL database: the
// methods of bus.State for deliveries, past attempts, dead letters, replays and cursors.
//
// Guarantees. Every writing method is one transaction, or as many as its comment says, and is
// stored as conn.DB.Write says when it returns. It obeys the fence of its context;
// SaveDeliveries also those that it is called with, each for its own handler. A caller that
// does not know the result of a write repeats it: what was stored is not stored twice.
//
// Two writes of one handler, also of different hosts, are one after the other: each locks its
// handlers (package outcomes) before it reads what it changes. Writes of different handlers
// wait for each other only while they append children, whose row head orders all events.
//
// Locks are taken in this order: the units of the fences by name, the lock of trimming and
// those of the handlers, the rows of kv_usage, the row head.
//
// All methods are safe for concurrent use. Read state.go first, then save.go.
package progress
