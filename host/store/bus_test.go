package store_test

import (
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// TestBusOverStore subscribes to a store: the events of this process arrive as the
// published values, older ones from the file.
func TestBusOverStore(t *testing.T) {
	ctx := t.Context()
	window := bus.NewWindow(bus.WindowConfig{Events: 50})
	s := open(t, store.Config{Window: window})
	old := logtest.Numbered(t, "old", 100)
	if _, err := s.Append(ctx, old); err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(bus.Config{Log: s, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	whole, end := b.Subscribe(0), b.Subscribe(101)
	defer whole.Close()
	defer end.Close()
	fresh := logtest.Numbered(t, "new", 30)
	for _, ev := range fresh {
		if _, err := b.PublishEvents(ctx, []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(sub *bus.Subscription, seq uint64, want []*event.Event, same bool) {
		t.Helper()
		buf := make([]event.Record, 9)
		for len(want) > 0 {
			n, err := sub.Next(ctx, buf)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range buf[:n] {
				if r.Seq != seq || r.Event.Envelope() != want[0].Envelope() {
					t.Fatalf("at Seq %d got %d, %s", seq, r.Seq, r.Event.Envelope())
				}
				if same && r.Event != want[0] {
					t.Fatalf("record %d was read back and parsed", seq)
				}
				seq, want = seq+1, want[1:]
			}
		}
	}
	check(end, 101, fresh, true)
	check(whole, 1, append(old, fresh...), false)
}
