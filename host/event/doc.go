// Package event holds what travels through Berth: the immutable Event, its ids
// and its envelope, and the records that say where it stands in the log
// (Record, Receipt) and on its way to a handler (Attempt, Outcome, Delivery).
//
// An Event is encoded once, when it is made. Those bytes are what the log
// stores and what every guest reads; nothing encodes it again. All types here
// are values or immutable, and safe for concurrent use. The package imports the
// standard library, google/uuid, abi and host/fault only.
//
// Read event.go first.
package event
