package delivery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/fault"
)

// TestReopenedHandlerAppliesEffectsOnce: a handler that closed without its effects, because the
// disk is full, does not run their events again while the write is still repeated.
func TestReopenedHandlerAppliesEffectsOnce(t *testing.T) {
	f := atomicFixture{fixture: setUp(t)}
	f.guest = &guest{get: f.store.get}
	h := f.open(t, "h", delivery.Policy{})
	full := fault.New(fault.Exhausted, "the disk is full")
	f.store.setRefuse(full)
	f.log.publish(t, "a")
	x := h.Lease()
	r := f.begin(t, x, 1)
	r.increment("n")
	done(x, r.ok())
	x.Close()
	f.store.await(t, "a refused write", func() bool { return f.store.refused > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := h.Close(ctx); !errors.Is(err, full) {
		t.Fatalf("close: got %v, want that the disk is full", err)
	}
	if _, err := f.d.Open(ctx, "h", "", delivery.Policy{}); !errors.Is(err, full) {
		t.Fatalf("open: got %v, want that the disk is full", err)
	}
	f.store.setRefuse(nil)
	h = f.open(t, "h", delivery.Policy{})
	f.log.publish(t, "b")
	x = h.Lease()
	defer x.Close()
	r = f.begin(t, x, 2)
	r.increment("n")
	done(x, r.ok())
	f.awaitValue(t, "n", "2")
	if n := f.runs.Load(); n != 2 {
		t.Errorf("%d runs of two events", n)
	}
}
