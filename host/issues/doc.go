// Package issues groups failed attempts into issues: those of one handler with the same
// class, normalised message and innermost frame of the guest's own code. An issue has a
// state that operators change, and counts that survive restarts. Each shard of a handler has issues of
// its own: here a handler is a unit, and only callers see the plugin and the shard.
//
// Guarantees:
//   - Failed takes a mutex for about a microsecond, and never waits for the store.
//   - At most MaxActive issues are open or acknowledged. Beyond that the handler
//     with most of them gives one up: see capacity.go. Its issue "other failures" then counts
//     what has no issue of its own, so that no failure is missing in the sum.
//   - At most MaxEnded resolved and ignored issues are kept; the least recently seen go first.
//   - A change by an operator is stored before Change returns. Counts are stored once a
//     second, and by Close: a crash loses those of the last second, or of the last ten when
//     all issues fail at once.
//   - A failure reopens a resolved issue, and no other.
//
// Lock order: Tracker.storing, then Tracker.mu. Read tracker.go first, then group.go.
package issues
