package run

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// refusing is an engine that refuses outcomes, as on a full disk, and stores cursors.
type refusing struct {
	*bus.Memory
	*bus.Bus
}

func (s refusing) SaveDeliveries(ctx context.Context, deliveries []event.Delivery, cursors []event.Cursor) ([]event.Delivery, error) {
	if len(deliveries) > 0 {
		return nil, errors.New("the disk is full")
	}
	return s.Memory.SaveDeliveries(ctx, deliveries, cursors)
}

func (s refusing) Last() uint64 { return s.Memory.Last() }

func (s refusing) Subscribe(from uint64) delivery.Reader { return s.Bus.Subscribe(from) }

// TestStuckCloseDoesNotBlockOtherHandlers closes a handler whose outcomes cannot be
// written. Meanwhile other handlers are opened.
func TestStuckCloseDoesNotBlockOtherHandlers(t *testing.T) {
	const timeout = 30 * time.Second
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close() //nolint:errcheck // it is memory
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	log := refusing{m, b}
	dispatcher := delivery.New(delivery.Config{Store: log, Log: log})
	open := newHandlers(dispatcher)

	stuck, err := open.acquire(t.Context(), "stuck", delivery.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := event.New(event.Draft{Type: "t", Data: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Append(t.Context(), []*event.Event{ev}); err != nil {
		t.Fatal(err)
	}
	taken, _ := stuck.Next(nil, nil)
	stuck.Done(taken.Attempt, event.Outcome{})
	closing, giveUp := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() { closed <- open.release(closing, "stuck") }()

	done := make(chan struct{})
	go func() {
		defer close(done)
		for open.get("stuck") != nil && closing.Err() == nil { // until it is closing
		}
		if _, err := open.acquire(t.Context(), "other", delivery.Policy{}); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-done:
	case <-time.After(timeout):
		t.Error("another handler waits for the one that closes")
		giveUp()
	}
	// Opening it again waits for its close, until the context ends.
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open.acquire(short, "stuck", delivery.Policy{}); !errors.Is(err, context.Canceled) {
		t.Errorf("while it closes: got %v", err)
	}
	giveUp()
	<-done
	if err := <-closed; !errors.Is(err, context.Canceled) {
		t.Errorf("release: got %v", err)
	}
	if _, err := open.acquire(t.Context(), "stuck", delivery.Policy{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	end, cancel := context.WithCancel(t.Context())
	cancel()
	_ = dispatcher.Close(end) // the unwritten outcome is lost
}
