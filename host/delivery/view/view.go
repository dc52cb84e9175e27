// Package view gives deliveries the form that the API has for them. Its functions are pure.
package view

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Of returns a delivery without its version and history, and without what it waits for.
func Of(d event.Delivery) wire.Delivery {
	w := wire.Delivery{
		Plugin:     spec.PluginOf(d.Handler),
		Status:     string(d.Status),
		Attempts:   d.Attempts,
		DurationMS: milliseconds(d.Duration),
		Fuel:       d.Fuel,
		At:         d.At,
		SHA256:     d.SHA256,
		Error:      Error(d.ErrorClass, d.ErrorMessage),
	}
	_, w.Shard = spec.SplitUnit(d.Handler)
	if d.Result != "" {
		w.Result = json.RawMessage(d.Result)
	}
	if d.NotKept {
		w.ResultKept = new(bool)
	}
	if d.Status == event.StatusRetrying && !d.Due.IsZero() {
		w.DueAt = &d.Due
	}
	return w
}

// Error returns the error of an attempt with its calls, nil for class "".
func Error(class event.Class, message string) *wire.DeliveryError {
	if class == "" {
		return nil
	}
	return &wire.DeliveryError{Class: string(class), Message: message, Stack: stack.Parse(message)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// History returns the attempts of a delivery, oldest first: each kept one once, and the one
// that led to its status. The kept ones may repeat and may be in any order.
func History(d event.Delivery, kept []event.PastAttempt) []wire.PastAttempt {
	list := make([]event.PastAttempt, 0, len(kept)+1)
	add := func(a event.PastAttempt) {
		same := func(b event.PastAttempt) bool { return b.Number == a.Number && b.At.Equal(a.At) }
		if i := slices.IndexFunc(list, same); i < 0 {
			list = append(list, a)
		} else {
			if len(list[i].Logs) == 0 {
				list[i].Logs = a.Logs
			}
			if len(a.Message) > len(list[i].Message) { // what is kept is bounded
				list[i].Message = a.Message
			}
		}
	}
	for _, a := range kept {
		if a.Handler == d.Handler {
			add(a)
		}
	}
	if last, made := lastAttempt(d); made {
		add(last)
	}
	slices.SortStableFunc(list, func(a, b event.PastAttempt) int { return a.At.Compare(b.At) })
	history := make([]wire.PastAttempt, len(list))
	for i, a := range list {
		history[i] = wire.PastAttempt{Attempt: a.Number, Status: string(a.Status), Error: Error(a.Class, a.Message), DurationMS: milliseconds(a.Duration),
			Fuel: a.Fuel, At: a.At, SHA256: a.SHA256, Instance: a.Instance, Logs: a.Logs}
		if a.Logs == nil {
			history[i].Logs = []spec.GuestLine{} // not null in JSON
		}
	}
	return history
}

// lastAttempt returns the attempt that led to a delivery's status, or, while the next one is
// under way, the one before.
func lastAttempt(d event.Delivery) (event.PastAttempt, bool) {
	switch {
	case d.NotKept || d.Attempts < 1:
		return event.PastAttempt{}, false
	case d.Status == event.StatusOK:
		return event.PastAttempt{Handler: d.Handler, Seq: d.Seq, Number: d.Attempts, Status: d.Status, Duration: d.Duration, Fuel: d.Fuel,
			At: d.At, SHA256: d.SHA256, Instance: d.Instance, Logs: d.Logs}, true
	case d.ErrorClass == "":
		return event.PastAttempt{}, false
	case !d.Status.Final():
		d.Status = event.StatusRetrying
	}
	a, made := d.Past()
	a.Message = d.ErrorMessage
	return a, made
}
