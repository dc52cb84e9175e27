// Package pgstore is the engine of several hosts: it keeps the event log, the progress of
// handlers and the state of plugins in one PostgreSQL database.
//
// Guarantees. Every host sees the same log: an event has one Seq, and a reader misses none. A
// write that returned nil is committed as the server is configured; see package conn. A write
// under a fence (spec.WithFence, and the fences of SaveDeliveries) is stored only in the
// present epoch of its unit, and is spec.ErrFenced otherwise. After an error of unknown result
// the caller repeats with the same keys.
//
// The packages below have one part each, with its tables and its share of bus.Engine:
//
//	conn      connections, checks, migrations, transactions, fences, notifications
//	pglog     the log
//	outcomes  what became of deliveries: statements for progress and pglog
//	progress  deliveries, cursors, dead letters, replays
//	keyvalue  the state of plugins
//	timed     events that are due later
//	shelf     documents, shared documents, modules
//	units     the positions of a handler's units when its shards change
//	ledger    members, units and commands of the cluster
//	pgserver  a private server, for tests and the demo
//	pgtest    such a server for the tests of a binary
//
// Lock order: see package conn. Read store.go first.
package pgstore
