// Package datafile opens the SQLite file of a store and guards it.
//
// One process at a time has the file: a lock is held on the file's name with ".lock"
// added, and, on Linux, on the file itself. The file is created with mode 0600. Each
// connection flushes every commit (WAL, synchronous=FULL, both read back at Open).
//
// Acknowledged writes do not disappear silently. A watermark beside the file has the
// position that was acknowledged last; Open refuses a file that is missing, empty,
// another store's or behind the watermark (history.go, watermark.go). While the file is
// open, the store compares its files with their names after every commit, and
// acknowledges no write while one of them is missing (attached.go).
//
// Lock order: attachment.mu is a leaf, held for copying only; watermark.mu is one, held
// while the watermark is written.
//
// Read file.go first.
package datafile
