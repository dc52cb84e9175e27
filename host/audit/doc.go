// Package audit keeps the log of who changed what: one JSON object a line, in a
// file that only its owner can read.
//
// A change has two lines of the same id: one before it is made (stage "begin"),
// so that what cannot be written down can be refused, and one with the outcome
// (stage "end"). What is refused for want of a right has one line, and so has what
// nobody asked the host for: a file that was edited or dropped, a signal. A record
// is on disk (fsynced) when Append returns. Files are bounded in size and number;
// the file is opened for each record, so that several processes can append and
// one can rotate.
//
// Read log.go first.
package audit
