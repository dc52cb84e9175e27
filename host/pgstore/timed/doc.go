// Package timed keeps the events that are not due yet in PostgreSQL, and those that were
// cancelled before they were due, whose idempotency keys stay taken.
//
// Every change of the table is made under the lock of the log's head, whose counts and bytes it
// adjusts: package pglog inserts the events that are accepted for later, and looks up their
// keys; this package moves, cancels and removes them. So ids grow in the order of acceptance.
//
// Read schema.go first, then schedule.go.
package timed
