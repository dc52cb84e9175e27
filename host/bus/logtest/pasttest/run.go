// Package pasttest tests what engines keep besides the state of deliveries: the past
// attempts, the origin of events, and documents. For tests only.
package pasttest

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

// Run runs the tests. open returns an empty engine, and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) bus.Engine) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, bus.Engine)
	}{
		{"past attempts", pastAttempts},
		{"attempts of what is refused", attemptsOfRefused},
		{"trim takes attempts", trimTakesAttempts},
		{"many attempts", manyAttempts},
		{"bounded logs", boundedLogs},
		{"evicted logs", evictedLogs},
		{"documents", documents},
		{"origins", origins},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// at is a time of these tests: so many seconds after 1970.
func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

func mustAppend(t testing.TB, s bus.Engine, events ...*event.Event) []event.Receipt {
	t.Helper()
	receipts, err := s.Append(t.Context(), events)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return receipts
}

func mustSave(t testing.TB, s bus.Engine, outcomes ...event.Delivery) {
	t.Helper()
	if _, _, err := s.SaveDeliveries(t.Context(), nil, nil, outcomes, nil); err != nil {
		t.Fatalf("SaveDeliveries: %v", err)
	}
}

func wantTrim(t *testing.T, s bus.Engine, before uint64, want int) {
	t.Helper()
	if n, err := s.Trim(t.Context(), before); n != want || err != nil {
		t.Errorf("Trim(%d): got %d, %v, want %d", before, n, err, want)
	}
}
