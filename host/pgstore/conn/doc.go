// Package conn connects a host to the PostgreSQL database that several hosts share: the
// pool, the checks at start, the migrations, transactions with their fences, and the
// notifications between hosts.
//
// Guarantees. A write that returned nil is committed as the server is configured, that is,
// on its disk and, if the server waits for one, on its standby; Open refuses servers whose
// settings make less of a commit. A write under a fence (spec.WithFence) is stored only in
// the present epoch of its unit. No error and no log line has the password. All methods are
// safe for concurrent use.
//
// Lock order of every transaction: units by name, the plugin's row in kv_usage, the
// row of head; then it inserts.
//
// Read open.go first, then transaction.go.
package conn
