package pending

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

func TestAloneIsOneAfterTheOther(t *testing.T) {
	var a Alone[string]
	if _, ok := a.Take(); ok || a.Any() || a.Remove("x") {
		t.Fatal("there is one in an empty list")
	}
	a.Add("x")
	a.Add("y")
	a.Add("z")
	if !a.Any() || a.MayStart(1, 0) || a.MayStart(0, 1) || !a.MayStart(0, 0) {
		t.Fatal("the first starts when nothing is open or unwritten")
	}
	if one, ok := a.Take(); !ok || one != "x" || a.MayStart(0, 0) {
		t.Fatalf("got %q (%v)", one, ok)
	}
	if !a.Remove("y") || a.MayStart(0, 0) { // skipped
		t.Fatal("the next one starts before the first has ended")
	}
	if !a.Remove("x") || !a.MayStart(0, 0) {
		t.Fatal("the next one does not start")
	}
	if one, ok := a.Take(); !ok || one != "z" || !a.Remove("z") || a.Any() {
		t.Fatalf("got %q (%v)", one, ok)
	}
}

func TestAgain(t *testing.T) {
	random := func() float64 { return 0.5 }
	for _, tt := range []struct {
		unit string
		runs int
		wait time.Duration
		ok   bool
	}{
		{"enrich", 1, 0, true},
		{"enrich", event.MaxConflicts + event.MaxLoneConflicts - 1, 0, true},
		{"enrich", event.MaxConflicts + event.MaxLoneConflicts, 0, false},
		{"enrich/3", event.MaxConflicts, 0, true},
		{"enrich/3", event.MaxConflicts + 1, 4 * time.Millisecond, true},
		{"enrich/3", event.MaxConflicts + 2, 8 * time.Millisecond, true},
		{"enrich/3", event.MaxConflicts + event.MaxLoneConflicts, 500 * time.Millisecond, true},
		{"enrich/3", 256, 500 * time.Millisecond, true},
	} {
		if wait, ok := Again(tt.unit, tt.runs, random); wait != tt.wait || ok != tt.ok {
			t.Errorf("%s after %d runs: got %v, %v", tt.unit, tt.runs, wait, ok)
		}
	}
}
