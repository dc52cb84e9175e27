package bus_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

// TestRepeatedWriteAppliesEffectsOnce: a write with a failed attempt and the success that
// followed it is repeated, because its answer was lost.
func TestRepeatedWriteAppliesEffectsOnce(t *testing.T) {
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close()
	ev, err := event.New(event.Draft{Type: "order_status_changed"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Append(t.Context(), []*event.Event{ev}); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	write := []event.Delivery{
		{Handler: "h", Seq: 1, Status: event.StatusRetrying, Attempts: 1, At: at, Due: at, ErrorClass: event.ClassTrap},
		{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 2, At: at.Add(time.Second), Effects: &event.Effects{Plugin: "h",
			Reads: []event.EffectRead{{Key: "n"}}, Writes: []event.EffectWrite{{Key: "n", Value: []byte("1")}}}},
	}
	for range 2 {
		saved, _, err := m.SaveDeliveries(t.Context(), nil, nil, write, nil)
		if err != nil || len(saved.Conflicts)+len(saved.Refused) != 0 {
			t.Fatalf("got %+v, %v", saved, err)
		}
	}
	list, err := m.Deliveries(t.Context(), 1)
	if err != nil || len(list) != 1 || list[0].Status != event.StatusOK || list[0].Attempts != 2 {
		t.Errorf("stored: %+v, %v", list, err)
	}
}
