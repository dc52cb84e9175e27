// Package eventtypes has what the operator knows about the events of single types: their
// schemas, and who answers for them. It checks events before they are stored.
//
// An event of a type without a schema costs one look-up in a map. An event that the schema
// refuses, and whose key the log has already, passes: the log answers that it is a duplicate
// or in conflict. Checks do not wait for each other.
//
// Read table.go first, then types.go.
package eventtypes
