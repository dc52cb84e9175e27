// Package schedules publishes events at the due times of the operator's schedules.
//
// Guarantees: every due time is published once, over restarts and steps of the clock in
// both directions. Its event has the key of the schedule and the due time (KeyOf), which
// the log takes once; and the position of each schedule is durable, so that a restart
// continues where the last host stopped. A due time is missed when it could not be
// published within Lateness of it: no host ran, the clock jumped, or the store refused.
// The schedule's choice (spec.Missed) says what becomes of it.
//
// Lock order: Runner.mu is a leaf. Read plan.go for due times, then runner.go.
package schedules
