// Package deadletters reads the dead letters of a store and the deliveries that are pending
// again, and makes final deliveries pending. A dead letter is an entry of the table
// deliveries that is dead and not purged.
//
// A Reader is safe for concurrent use; a Writer belongs to the writer goroutine of the
// store. Read reader.go first.
package deadletters
