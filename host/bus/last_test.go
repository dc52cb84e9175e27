package bus

import (
	"testing"

	"github.com/berth-host/berth/host/event"
)

// The events of one Append become visible together: a reader that begins behind Last
// never begins within a batch.
func TestLastIsNeverWithinABatch(t *testing.T) {
	const batch = 1000
	m := NewMemory(MemoryConfig{})
	stop, done := make(chan struct{}), make(chan uint64, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- 0
				return
			default:
			}
			if last := m.Last(); last%batch != 0 {
				done <- last
				return
			}
		}
	}()
	for range 30 {
		var list []*event.Event
		for range batch {
			ev, err := event.New(event.Draft{Type: "t"})
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, ev)
		}
		if _, err := m.Append(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if last := <-done; last != 0 {
		t.Errorf("Last was %d, within a batch of %d", last, batch)
	}
}
