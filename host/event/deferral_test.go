package event

import (
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

func TestDeferral(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		d    Deferral
		due  time.Time
		bad  bool
	}{
		{"at once", Deferral{}, now, false},
		{"at a time", Deferral{At: now.Add(time.Hour)}, now.Add(time.Hour), false},
		{"in the past", Deferral{At: now.Add(-time.Hour)}, now, false},
		{"after a while", Deferral{After: time.Minute}, now.Add(time.Minute), false},
		{"both", Deferral{At: now, After: time.Minute}, now, true},
		{"below zero", Deferral{After: -time.Second}, now, true},
		{"a year and a day later", Deferral{After: abi.MaxDeferral + time.Second}, now, true},
		{"at a time in two years", Deferral{At: now.Add(2 * abi.MaxDeferral)}, now, true},
	} {
		if err := tt.d.Check(now); (err != nil) != tt.bad {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := tt.d.Due(now); !tt.bad && !got.Equal(tt.due) {
			t.Errorf("%s: due at %v, want %v", tt.name, got, tt.due)
		}
		if tt.d.IsZero() != (tt.name == "at once") {
			t.Errorf("%s: IsZero is %v", tt.name, tt.d.IsZero())
		}
	}
}

// TestScheduledRepeated: the receipt of a repeated key says when the first event is due, or
// that it was cancelled.
func TestScheduledRepeated(t *testing.T) {
	build := func(data string) *Event {
		ev, err := New(Draft{Type: "t", IdempotencyKey: "k", Data: []byte(data), Deferral: Deferral{After: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	first, due := build(`1`), time.Now().Add(time.Minute)
	scheduled := Scheduled{Event: first.WithoutDeferral(), Due: due}
	if !scheduled.Event.Deferral().IsZero() || first.Deferral().IsZero() || scheduled.Event.Envelope() != first.Envelope() {
		t.Error("WithoutDeferral changed something else")
	}
	want := Receipt{EventID: first.ID(), IdempotencyKey: "k", Duplicate: true, Due: due}
	if got := scheduled.Repeated(build(`1.0`)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := scheduled.Repeated(build(`2`)); got.Duplicate || !fault.Is(got.Err, fault.Conflict) {
		t.Errorf("other content: got %+v", got)
	}
	scheduled.Cancelled = due
	want.Due, want.Cancelled = time.Time{}, true
	if got := scheduled.Repeated(build(`1`)); got != want {
		t.Errorf("cancelled: got %+v, want %+v", got, want)
	}
}
