// Package pglog keeps the event log of several hosts in PostgreSQL.
//
// The one row of the table head has the highest Seq, the exact size of the log and the time of
// the last append. Every transaction that adds events locks that row first, so that events
// become visible in the order of their Seqs: a reader that has seen one Seq misses none below
// it. A transaction that stores nothing, because its events are duplicates, changes the row
// too: its commit then waits for the standby as that of the first event did.
//
// A host appends the events of concurrent publishers in one transaction. It adds them to its
// bus.Window after the commit, together with the events of other hosts before them; a
// notification, and a look at head ten times a second, has it add theirs.
//
// LockHead, Find and Insert are for other packages' transactions that append, such as one that
// stores outcomes with their children. They call Log.CatchUp after the commit.
//
// Lock order: see package conn; head is the last row that is locked before anything is inserted.
//
// Read head.go first, then append.go and tail.go.
package pglog
