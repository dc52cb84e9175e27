package event

import "errors"

// PartialError is the error of an action on several units of handlers that some of them have done.
type PartialError struct {
	Units []string // that have not, in order
	Seqs  []uint64 // the events of an action on events that are theirs; nil for another action
	Err   error
}

// Error implements error.
func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// FailedSeqs returns those events for which an action on all failed: all unless the error says which.
func FailedSeqs(err error, all []uint64) []uint64 {
	var p *PartialError
	if errors.As(err, &p) && p.Seqs != nil {
		return p.Seqs
	}
	return all
}

// FailedUnits returns the units for which an action on a handler failed: the handler itself unless the
// error says which.
func FailedUnits(err error, handler string) []string {
	var p *PartialError
	if errors.As(err, &p) {
		return p.Units
	}
	return []string{handler}
}
