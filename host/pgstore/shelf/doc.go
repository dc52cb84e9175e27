// Package shelf keeps the small values of a host and the documents and modules that all hosts
// share in PostgreSQL.
//
// A document of the host (bus.State) is replaced by whoever writes last. A shared one is
// changed only by a caller that knows its present revision. Revisions grow also over a
// removal, of which a row without a body stays, so that a caller with an old revision never
// replaces what it has not seen. Each kind has a revision too, which tells hosts to read again.
//
// Read shared.go first, then modules.go.
package shelf
