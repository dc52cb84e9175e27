// Package units moves the positions of a handler's units in the shared PostgreSQL database, when
// the number of its shards changes; package shards decides when.
//
// Guarantees. Cut and Begin are one transaction each, with the document that says so. Both need
// units without an owner, and end their epochs: a host that owned one before writes nothing of it
// afterwards. The units of a plugin all have a position, or none has: Claim gives it to all at
// once.
//
// Locks are taken in the order of package conn: the units by name, the lock of trimming and those
// of the handlers, the plugin's own among them, then the row of the document's kind.
//
// All methods are safe for concurrent use.
package units
