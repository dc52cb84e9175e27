package event

import "time"

// Success is a delivery that succeeded at its first attempt and published no
// children, as nearly all do.
type Success struct {
	At       time.Time // when the attempt ended
	Duration time.Duration
	Fuel     uint64
}

// Delivery returns the success as it is stored and shown. The result is JSON, or "".
func (s Success) Delivery(handler string, seq uint64, result string) Delivery {
	return Delivery{Handler: handler, Seq: seq, Status: StatusOK, Attempts: 1, Result: result,
		Duration: s.Duration, Fuel: s.Fuel, At: s.At, FirstAttempt: s.At.Add(-s.Duration)}
}
