package delivery_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/actions"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// noStore accepts and discards everything.
type noStore struct{ actions.DeadLetterStore }

func (noStore) LoadBacklog(context.Context, string) (event.Backlog, error) {
	return event.Backlog{Found: true}, nil
}

func (noStore) SaveDeliveries(context.Context, []spec.Fence, []event.Successes, []event.Delivery, []event.Cursor) (saved event.Saved, fenced []spec.Fence, err error) {
	return saved, nil, nil
}

func (noStore) Attempts(context.Context, uint64) ([]event.PastAttempt, error) { return nil, nil }
func (noStore) Deliveries(context.Context, uint64) ([]event.Delivery, error)  { return nil, nil }

func (noStore) Redriven(context.Context, string, uint64, int) ([]event.Delivery, error) {
	return nil, nil
}

func (noStore) CountRedriven(context.Context, string, uint64, uint64) (int, error) { return 0, nil }

func (noStore) Cursor(context.Context, string) (uint64, bool, error) { return 0, false, nil }

// BenchmarkHandler measures one handler per event, from the log to the write of the outcome,
// with one worker that does nothing.
func BenchmarkHandler(b *testing.B) {
	for _, kind := range []struct {
		name string
		key  func(*event.Event) string
	}{{"unordered", nil}, {"ordered", bySubject}} {
		b.Run(kind.name, func(b *testing.B) {
			l := newLog()
			for i := range 50_000 {
				l.publish(b, fmt.Sprint("o-", i))
			}
			d := delivery.New(delivery.Config{Store: noStore{}, Log: l})
			defer d.Close(context.Background())
			h := open(b, d, "h", delivery.Policy{Key: kind.key})
			x := h.Lease()
			b.ReportAllocs()
			done := 0
			for b.Loop() {
				if done++; done%50_000 == 0 { // the same log again, by another handler
					x.Close()
					_ = h.Close(b.Context())
					h = open(b, d, "h", delivery.Policy{Key: kind.key})
					x = h.Lease()
				}
				if _, ok := x.NextBuffered(); !ok {
					x.Next(nil, nil)
				}
				x.Done(&event.Outcome{})
			}
		})
	}
}
