package delivery_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestRetriesOutliveAClockThatWasSetBack opens a handler whose retries are due in
// years, as they seem to be when the clock was set back while the host was down.
func TestRetriesOutliveAClockThatWasSetBack(t *testing.T) {
	m := onMemory(t)
	m.publish("below the cursor", "above it")
	due := time.Now().AddDate(10, 0, 0)
	rows := make([]event.Delivery, 2)
	for i := range rows {
		rows[i] = event.Delivery{Handler: "h", Seq: uint64(i + 1), Status: event.StatusRetrying, Attempts: 1, At: due, Due: due}
	}
	if _, _, err := m.engine.SaveDeliveries(t.Context(), nil, rows, []event.Cursor{{Name: "handler/h", Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.awaitStatuses("h", "ok ok")
}
