package progress_test

import (
	"testing"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
)

// TestSuccessAndDeliveryOfLeftover: of an event below the mark of the trim, both outcomes of a
// call would be rows; the last one counts.
func TestSuccessAndDeliveryOfLeftover(t *testing.T) {
	e := open(t, options{})
	prepare(t, e, logtest.Numbered(t, "k", 12))
	of := event.Successes{Handler: "h"}
	of.Append(1, event.Success{At: at(20)}, nil)
	later := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusRetrying, Attempts: 2, At: at(30), Due: at(40), ErrorClass: event.ClassRetry}
	if _, _, err := e.SaveDeliveries(t.Context(), nil, []event.Successes{of}, []event.Delivery{later}, nil); err != nil {
		t.Fatal(err)
	}
	if list, err := e.Deliveries(t.Context(), 1); err != nil || len(list) != 1 || list[0].Status != event.StatusRetrying {
		t.Errorf("got %+v, %v", list, err)
	}
	if n, err := e.Trim(t.Context(), 3); n != 0 || err != nil { // it keeps its event
		t.Errorf("Trim: got %d, %v", n, err)
	}
}
