package outcomes

import (
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Judge returns the delivery of an event that follows from the outcome of an attempt that
// ended at a time: ok, retrying or dead. past is the delivery before the attempt, nil before
// the first one. random in [0, 1) is for the jitter of a retry. The lines of the outcome are
// copied.
func Judge(handler string, seq uint64, past *event.Delivery, o *event.Outcome, at time.Time, retry spec.RetryPolicy, random func() float64) *event.Delivery {
	d := &event.Delivery{Handler: handler, Seq: seq, Attempts: 1, Duration: o.Duration, Fuel: o.Fuel, At: at,
		ErrorClass: o.Class, ErrorMessage: o.Message, Instance: o.Instance, Logs: slices.Clone(o.Logs)}
	if past != nil {
		d.Attempts += past.Attempts
		d.FirstAttempt = past.FirstAttempt
	}
	if d.FirstAttempt.IsZero() {
		d.FirstAttempt = at.Add(-o.Duration)
	}
	switch {
	case o.Verdict == event.OK:
		d.Status, d.Result, d.Children, d.Effects = event.StatusOK, string(o.Result), o.Children, o.Effects
	case o.Verdict == event.Reject || d.Attempts >= retry.MaxAttempts:
		d.Status = event.StatusDead
	default:
		d.Status = event.StatusRetrying
		d.Due = at.Add(retry.Wait(d.Attempts, random()))
	}
	return d
}

// End returns when an attempt ended.
func End(o *event.Outcome) time.Time {
	if o.At.IsZero() {
		return time.Now()
	}
	return o.At
}
