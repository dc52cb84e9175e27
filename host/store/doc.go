// Package store is the engine sqlite: one SQLite file that has the event log, the
// cursors, deliveries and attempts of handlers, the key-value state of plugins, documents
// of other parts of the host, and the orders.
//
// Durable means: when a writing method returns nil, its write has been flushed to the
// file, so that it survives the end of the process, of the kernel and of the power, as
// long as the disk honours a flush. When it returns an error, nothing of the write is
// stored, with one exception: an error of the commit itself can leave the write in the
// file (the flush was done, its result was lost). The writer then reads the end of the
// log again before the next write; an event that was stored is delivered, and
// publishing it again returns "duplicate".
//
// All writes go through one goroutine. It takes all waiting operations into one
// transaction, so that a flush is paid for once per group and not once per event: at
// most 512 events, gathered for about a millisecond at most, and immediately when no
// other caller is about to write. A failed commit fails every operation of its group.
// A context that ends withdraws an operation from the queue; once the writer has taken
// it, the caller gets its real result. So an error that wraps the context's means that
// nothing was written.
//
// A full disk is fault.Exhausted, every other failure of the file is fault.Unavailable,
// and so is every call after Close. None of them needs a restart: the next write tries
// again. Reads continue meanwhile. At Config.MaxBytes publishers are refused with
// event.LogFull; children of handled events are not. The size of the log is a row that
// changes in the transactions that change the log, so Status is exact and cheap.
//
// The newest events are in the Window, which the writer fills after each commit and
// before it answers the callers. Package datafile opens and guards the file, packages
// logwrite and logread write and read the events in it, package keys finds them by key,
// package outcomes has the outcomes of deliveries, package deadletters those that are dead or
// pending, package attempts the attempts before them, package schema has the tables.
//
// Long tasks of the writer, such as a trim, run in paced steps (pace.go). The keeper
// goroutine returns free pages to the disk (shrink.go) and moves outcomes that an older
// version wrote into blocks (convert.go), the merger goroutine has the writer
// index the keys of the log (keyindex.go). The writer's own state belongs to its goroutine.
//
// Read store.go first, then gather.go and writer.go.
package store
