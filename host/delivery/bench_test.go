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

// BenchmarkBatches measures the same with batches of 100, per event.
func BenchmarkBatches(b *testing.B) {
	l := newLog()
	for i := range 50_000 {
		l.publish(b, fmt.Sprint("o-", i))
	}
	d := delivery.New(delivery.Config{Store: noStore{}, Log: l})
	defer d.Close(context.Background())
	h := open(b, d, "h", delivery.Policy{Key: bySubject})
	x := h.Lease()
	b.ReportAllocs()
	results := make([]event.Outcome, 100)
	batched, done := 0, 0
	for b.Loop() {
		if batched > 0 { // the loop counts events
			batched--
			continue
		}
		if done == 50_000 { // the same log again, by another handler
			x.Close()
			_ = h.Close(b.Context())
			h = open(b, d, "h", delivery.Policy{Key: bySubject})
			x, done = h.Lease(), 0
		}
		list, _ := x.NextBatch(100, 0, nil, nil)
		x.DoneBatch(results[:len(list)])
		done += len(list)
		batched = len(list) - 1
	}
}

// BenchmarkAtomic measures the same with effects on a key of each event.
func BenchmarkAtomic(b *testing.B) {
	l := newLog()
	for i := range 50_000 {
		l.publish(b, fmt.Sprint("o-", i))
	}
	d := delivery.New(delivery.Config{Store: noStore{}, Log: l})
	defer d.Close(context.Background())
	h := open(b, d, "h", delivery.Policy{Key: bySubject})
	x := h.Lease()
	b.ReportAllocs()
	done := 0
	for b.Loop() {
		if done++; done%50_000 == 0 { // the same log again, by another handler
			x.Close()
			_ = h.Close(b.Context())
			h = open(b, d, "h", delivery.Policy{Key: bySubject})
			x = h.Lease()
		}
		taken, ok := x.NextBuffered()
		if !ok {
			taken, _ = x.Next(nil, nil)
		}
		key := taken.Event.Metadata().Subject
		e := &event.Effects{Plugin: "h"}
		if _, pending := x.Pending(key); !pending {
			e.Reads = []event.EffectRead{{Key: key}}
		}
		e.Writes = []event.EffectWrite{{Key: key, Value: []byte("1")}}
		x.Done(&event.Outcome{Effects: e})
	}
}
