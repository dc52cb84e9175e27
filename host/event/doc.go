// Package event has the immutable Event with its ids and its envelope, and the values
// of its position in the log (Record, Receipt) and of its progress to a handler
// (Attempt, Outcome, Delivery).
//
// An Event is encoded once, when it is made. The log stores these bytes, and every
// guest reads them; nothing encodes the event again. All types here
// are values or immutable, and safe for concurrent use. The package imports the
// standard library, google/uuid, abi and host/fault only.
//
// Read event.go first.
package event
