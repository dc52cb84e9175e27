package pgstore_test

import (
	"testing"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/orders/ordertest"
	"github.com/berth-host/berth/host/pgstore"
)

func openOrders(t *testing.T) (*pgstore.Store, ordertest.Harness) {
	s := openWith(t, pgstore.Config{})
	return s, ordertest.Harness{
		Repository: orders.NewTable(s.Orders()),
		Events: func(t testing.TB) (events []*event.Event) {
			for _, rec := range logtest.ReadAll(t, s, 1, 100) {
				events = append(events, rec.Event)
			}
			return events
		},
	}
}

func TestOrders(t *testing.T) {
	ordertest.Run(t, func(t *testing.T) ordertest.Harness {
		_, h := openOrders(t)
		return h
	})
}

// An order's event counts for the log's bound, and an order whose event is refused is not
// stored.
func TestOrdersOfFullLog(t *testing.T) {
	s, h := openOrders(t)
	s.SetMaxBytes(1)
	service := orders.New(orders.Config{Repository: h.Repository})
	if _, _, err := service.Create(t.Context(), ordertest.Sample("A-1"), ordertest.By()); !fault.Is(err, fault.Exhausted) {
		t.Fatalf("got %v", err)
	}
	if _, err := service.Get(t.Context(), "A-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := service.Get(t.Context(), "A\x00"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a text that PostgreSQL does not take: got %v", err)
	}
	s.SetMaxBytes(0)
	if _, _, err := service.Create(t.Context(), ordertest.Sample("A-1"), ordertest.By()); err != nil {
		t.Error(err)
	}
}
