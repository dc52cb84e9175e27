package bus_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

// failingLog is a log that cannot be read while failing is set.
type failingLog struct {
	bus.Log
	failing atomic.Bool
}

func (l *failingLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	if l.failing.Load() {
		return nil, errors.New("it is damaged")
	}
	return l.Log.Read(ctx, from, limit)
}

// TestSubscriptionHearsThatTheLogCannotBeRead waits at the end of the ring while
// the log fails: it gets the error instead of waiting for events that do not come,
// and later each event once.
func TestSubscriptionHearsThatTheLogCannotBeRead(t *testing.T) {
	l := &failingLog{Log: bus.NewMemory(bus.MemoryConfig{})}
	b, err := bus.New(bus.Config{Log: l})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background()) //nolint:errcheck // nothing depends on it
	sub := b.Subscribe(1)
	defer sub.Close()
	l.failing.Store(true)
	publish := func() {
		t.Helper()
		if _, err := b.Publish(t.Context(), event.Draft{Type: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	buf := make([]event.Record, 8)
	if n, err := sub.Next(t.Context(), buf); err == nil || !strings.Contains(err.Error(), "it is damaged") {
		t.Fatalf("got %d events, %v", n, err)
	}
	l.failing.Store(false)
	var got []uint64
	for want := 1; want <= 3; {
		n, err := sub.Next(t.Context(), buf)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range buf[:n] {
			got = append(got, r.Seq)
			want++
		}
		if len(got) < 3 {
			publish()
		}
	}
	for i, seq := range got {
		if seq != uint64(i+1) {
			t.Fatalf("got %v, want each once and in order", got)
		}
	}
}
