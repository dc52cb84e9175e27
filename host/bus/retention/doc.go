// Package retention deletes events from the log: events past bus.retention, the
// oldest events when the log reaches bus.max_size, and events past bus.max_age
// even if a handler has not had them. It also purges dead letters past
// bus.dead_letters.retention.
//
// An event within bus.max_age stays until every known handler has had it. A handler
// is known while it has a cursor: also while it is disabled or paused or its file is
// missing, until it is uninstalled.
//
// Read retention.go first.
package retention
