package delivery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// TestHistorySkipsSuccessesUnderLoad lets more outcomes wait than one write may have, and
// checks the stored and the shown deliveries, also after a restart.
func TestHistorySkipsSuccessesUnderLoad(t *testing.T) {
	const events, retried, dead, parent = 3000, 7, 11, 13
	f := setUp(t)
	kept := func(seq uint64) bool { return seq == 1+retried || seq == 1+dead || seq == 1+parent }
	f.store.took = kept
	f.log.publish(t, "") // before the handler is opened
	policy := delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}}
	h := f.open(t, "h", policy)
	f.store.mu.Lock()
	f.store.refuse = errors.New("too slow")
	f.store.mu.Unlock()
	for range events {
		f.log.publish(t, "")
	}
	child := makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "k"})
	for n := 0; n < events+2; n++ {
		a := take(t, h)
		switch {
		case a.Seq == 1+dead, a.Seq == 1+retried && a.Number == 1:
			h.Done(a, trap())
		case a.Seq == 1+parent:
			h.Done(a, event.Outcome{Children: []*event.Event{child}})
		default:
			h.Done(a, event.Outcome{Result: []byte(`1`)})
		}
		// From its first write on the recorder is busy: all else waits for the next.
		f.store.await(t, "a refused write", func() bool { return f.store.refused > 0 })
	}
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	f.store.await(t, "the cursor", func() bool { return f.store.cursors["handler/h"] == 1+events })
	h.AwaitWritten(t.Context(), t.Fatal) // the parent counts once it is written
	s := h.Stats()
	if s.HistorySkipped < events/2 || s.Delivered != events-1 || s.Failed != 3 {
		t.Fatalf("got %+v", s)
	}
	f.store.mu.Lock()
	if stored := len(f.store.deliveries); stored+int(s.HistorySkipped) != events || f.store.wrong != "" {
		t.Errorf("%d stored and %d skipped, of %d: %s", stored, s.HistorySkipped, events, f.store.wrong)
	}
	f.store.mu.Unlock()
	look := func(d *delivery.Dispatcher) {
		t.Helper()
		for i, want := range map[uint64]struct {
			status   string
			attempts int
		}{1: {"", 0}, 1 + retried: {"ok", 2}, 1 + dead: {"dead", 2}, 1 + parent: {"ok", 1}, 1 + events/2: {"ok", 1}, 1 + events: {"ok", 1}} {
			rec := f.log.records[i-1]
			got, err := d.Deliveries(t.Context(), rec)
			switch {
			case err != nil:
				t.Fatal(err)
			case want.status == "" && len(got) == 0:
			case len(got) != 1 || got[0].Status != want.status || got[0].Attempts != want.attempts:
				t.Errorf("event %d: got %+v, want %+v", i, got, want)
			}
		}
	}
	look(f.d)
	if err := f.d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := delivery.New(delivery.Config{Store: f.store, Log: f.log})
	defer again.Close(context.Background())
	if h, err := again.Open(t.Context(), "h", policy); err != nil {
		t.Fatal(err)
	} else if a, ok := h.TryNext(); ok {
		t.Errorf("%d is delivered again", a.Seq)
	}
	look(again)
}

// TestHistoryIsCompleteWithoutLoad: nothing is skipped while the store keeps up.
func TestHistoryIsCompleteWithoutLoad(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	stop := work(h, 2, ok)
	defer stop()
	for n := range 100 {
		for range 20 {
			f.log.publish(t, "")
		}
		f.store.await(t, "written", func() bool { return f.store.finals("h") == 20*(n+1) })
	}
	if s := h.Stats(); s.HistorySkipped != 0 {
		t.Errorf("%d were skipped", s.HistorySkipped)
	}
}
