// Package transfer reads and writes all rows of a data file, for a copy between engines; see
// package event/transfer.
//
// A Source takes the lock of the data file and checks it as a start does; an older file is
// upgraded. A Target is a data file with a name of its own beside the one that a host opens;
// Commit gives it that name, which no file may have.
//
// Read columns.go first.
package transfer
