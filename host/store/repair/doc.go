// Package repair exports what can be read of a damaged store into a new one, and says what
// is lost. It never changes the damaged files.
//
// It reads the pages of the file and its WAL itself (package pages), so that a damaged page
// costs what is on that page and nothing else: inner pages, indexes, the schema and the
// header are not needed. An entry is exported when it has the columns of its table and
// passes the table's checks (checks.go): an event must parse and agree with its columns.
// Everything derived is made again: sizes, summaries, indexes.
//
// The indexes of the damaged file say what a damaged table had (losses.go): which events
// and keys are lost, and which deliveries were open. What is unknown is delivered again:
// no acknowledged event is passed over because the record of its delivery is lost
// (handlers.go). Seqs are kept and none is used twice. The new store has the id of the
// old one and at least its number of writes, so that the watermark beside the old file
// accepts it.
//
// Read repair.go first.
package repair
