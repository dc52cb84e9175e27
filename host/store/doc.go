// Package store is Berth's embedded database: one SQLite file that holds the
// event log, the cursors and deliveries of handlers, the key-value state of
// plugins and the orders.
//
// Durable means: when a writing method returns nil, what it wrote has been
// flushed to the file (WAL, synchronous=FULL, both read back at Open), so that
// it survives the end of the process, of the kernel and of the power, as long
// as the disk honours a flush. When it returns an error, nothing of it is
// there, with one exception: an error of the commit itself can leave the write
// in the file (the flush was done, its answer was lost). The log is then read
// again before anything else is written; an event that did get there is
// delivered, and publishing it again answers "duplicate".
//
// All writes go through one goroutine. It takes everything that waits into one
// transaction, so that a flush is paid for once per group and not once per
// event: at most 512 events, gathered for about a millisecond at most, and at once
// when nobody else is about to write. A failed commit fails every operation of its group. A context that
// ends takes an operation back while it waits in the queue; once the writer has
// taken it, the caller gets its real result. So an error that wraps the
// context's means that nothing was written.
//
// A full disk is fault.Exhausted, every other trouble with the file is
// fault.Unavailable, and so is every call after Close. None of them needs a
// restart: the next write tries again. Reads go on meanwhile. At Config.MaxBytes
// publishers are refused with event.LogFull; children of handled events are not.
// How much the log holds is a row that changes in the transactions that change
// the log, so Status is exact and costs nothing.
//
// Acknowledged writes do not vanish silently. A watermark beside the file has the
// position that was acknowledged last; Open refuses a file that is missing, empty,
// another store's or behind it (loss.go, watermark.go). While the store is open,
// its files are compared with their names after every commit, and no write is
// acknowledged while one of them is gone (attached.go).
//
// Long tasks of the writer, such as a trim, go in paced steps (pace.go). The keeper
// goroutine gives free pages back to the disk (shrink.go).
//
// One process at a time has the file: a lock is held on the file's name with
// ".lock" added. The file is created with mode 0600.
//
// Lock order: none nests. recent.mu, signal.mu and attachment.mu are leaves, held
// for copying only; watermark.mu is one, held while the watermark is written. The
// writer's own state belongs to its goroutine.
//
// Read store.go first, then gather.go and writer.go.
package store
