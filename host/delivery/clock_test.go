package delivery_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestRetriesAreDueAfterClockIsSetBack opens a handler whose retries seem to be due in years,
// because the clock was set back while the host was down.
func TestRetriesAreDueAfterClockIsSetBack(t *testing.T) {
	m := onMemory(t)
	m.publish("below the cursor", "above it")
	due := time.Now().AddDate(10, 0, 0)
	stored := make([]event.Delivery, 2)
	for i := range stored {
		stored[i] = event.Delivery{Handler: "h", Seq: uint64(i + 1), Status: event.StatusRetrying, Attempts: 1, At: due, Due: due}
	}
	if _, _, err := m.engine.SaveDeliveries(t.Context(), nil, nil, stored, []event.Cursor{{Name: "handler/h", Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.awaitStatuses("h", "ok ok")
}
