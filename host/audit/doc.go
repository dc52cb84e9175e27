// Package audit writes and reads the log of changes: one JSON object a line, in a
// file that only its owner can read.
//
// A change has two lines with the same id: stage "begin" before it is made, so that
// a change is refused when the log cannot be written, and stage "end" with the
// outcome. A refused change has one line, and so has a change that did not come by
// the API: an edited or dropped file, a signal. A record is on disk (fsynced) when
// Append returns. The files are bounded in size and number. The file is opened for
// each record, so that several processes can append while one rotates.
//
// Read log.go first. fileaudit.go queues records for callers that must not wait for
// the disk.
package audit
