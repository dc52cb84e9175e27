// Package transfer reads and writes all rows of a PostgreSQL schema, for a copy between
// engines; see package event/transfer.
//
// A Target is a schema with a name of its own; Commit renames it to the one that hosts open, in
// the transaction that computes what the tables have besides the rows. A schema of that name is
// replaced only if nothing is stored in it. A Source refuses a schema whose members renew their
// rows: hosts run.
//
// Both use one connection, and transactions without a limit of time.
//
// Read columns.go first.
package transfer
