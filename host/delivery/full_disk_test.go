package delivery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/fault"
)

// TestCloseOnFullDisk: a handler and a Dispatcher close as soon as the store has refused the
// outcomes once more, before the end of the context.
func TestCloseOnFullDisk(t *testing.T) {
	f := fixture{log: newLog(), store: newStore()}
	f.d = delivery.New(delivery.Config{Store: f.store, Log: f.log})
	h := f.open(t, "h", delivery.Policy{})
	other := f.open(t, "other", delivery.Policy{})
	full := fault.New(fault.Exhausted, "the disk is full")
	f.store.mu.Lock()
	f.store.refuse = full
	f.store.mu.Unlock()
	stop := work(h, 1, ok)
	f.log.publish(t, "a")
	f.store.await(t, "a refused write", func() bool { return f.store.refused > 0 })
	stop()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := h.Close(ctx); !errors.Is(err, full) || ctx.Err() != nil {
		t.Errorf("close a handler: got %v, want that the disk is full", err)
	}
	if err := f.d.Close(ctx); !errors.Is(err, full) || ctx.Err() != nil {
		t.Errorf("close the dispatcher: got %v, want that the disk is full", err)
	}
	_ = other

	// What was not written is delivered again.
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	f.d = delivery.New(delivery.Config{Store: f.store, Log: f.log})
	stop = work(f.open(t, "h", delivery.Policy{}), 1, ok)
	f.store.await(t, "the outcome", func() bool { return f.store.finals("h") == 1 })
	stop()
	if err := f.d.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestCloseWaitsForStore: Close waits while the store refuses writes for another reason than
// a full disk.
func TestCloseWaitsForStore(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.store.mu.Lock()
	f.store.refuse = fault.New(fault.Unavailable, "something else holds it locked")
	f.store.mu.Unlock()
	stop := work(h, 1, ok)
	f.log.publish(t, "a")
	f.store.await(t, "a refused write", func() bool { return f.store.refused > 0 })
	stop()
	closed := make(chan error, 1)
	go func() { closed <- h.Close(context.Background()) }()
	f.store.await(t, "further tries", func() bool { return f.store.refused > 3 })
	select {
	case err := <-closed:
		t.Fatalf("it closed without its outcomes: %v", err)
	default:
	}
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	f.store.await(t, "the outcome", func() bool { return f.store.finals("h") == 1 })
}

// TestClaimOnFullDiskKeepsPosition: the position of a refused claim is that of its first call.
func TestClaimOnFullDiskKeepsPosition(t *testing.T) {
	f := setUp(t)
	f.log.publish(t, "before")
	f.store.mu.Lock()
	f.store.refuse = fault.New(fault.Exhausted, "the disk is full")
	f.store.mu.Unlock()
	if err := f.d.Claim(t.Context(), "h"); !fault.Is(err, fault.Exhausted) {
		t.Fatalf("got %v, want exhausted", err)
	}
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	f.log.publish(t, "in between")
	if err := f.d.Claim(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	if seq, found, err := f.store.Cursor(t.Context(), "handler/h"); seq != 1 || !found || err != nil {
		t.Errorf("got %d, %v, %v; want the position of the first claim, 1", seq, found, err)
	}
}
