package store_test

import (
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// BenchmarkPublish compares 64 publishers of one event each with a loop that waits for
// its flush before the next event, on the same file, and reports the ratio of their
// rates. Without a key of the caller an event's id is its key, and ids follow the
// clock; random keys change a page of their index each.
func BenchmarkPublish(b *testing.B) {
	b.Run("ids by the clock", func(b *testing.B) { benchmarkPublish(b, makeEvents) })
	b.Run("random keys", func(b *testing.B) {
		benchmarkPublish(b, func(tb testing.TB, n int) []*event.Event {
			events := makeEvents(tb, n)
			for i, ev := range events {
				events[i] = logtest.Make(tb, event.Draft{Type: string(ev.Type()), Subject: ev.Subject(), Data: []byte(ev.Data()), IdempotencyKey: rand.Text()})
			}
			return events
		})
	})
}

func benchmarkPublish(b *testing.B, makeEvents func(tb testing.TB, n int) []*event.Event) {
	ctx := b.Context()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: filepath.Join(b.TempDir(), "berth.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const publishers, rounds = 64, 4
	loop := func(events []*event.Event) {
		for _, ev := range events {
			if _, err := s.Append(ctx, []*event.Event{ev}); err != nil {
				b.Error(err)
				return
			}
		}
	}
	var one, many time.Duration
	var ones, manys int
	for b.Loop() {
		// Alternating, so that both use the same disk.
		for range rounds {
			alone := makeEvents(b, 200)
			start := time.Now()
			loop(alone)
			one, ones = one+time.Since(start), ones+len(alone)

			// Distributed in the order of their ids, which follow the clock.
			shares := make([][]*event.Event, publishers)
			for i, ev := range makeEvents(b, publishers*100) {
				shares[i%publishers] = append(shares[i%publishers], ev)
			}
			var wg sync.WaitGroup
			start = time.Now()
			for _, share := range shares {
				wg.Go(func() { loop(share) })
			}
			wg.Wait()
			many, manys = many+time.Since(start), manys+publishers*100
		}
	}
	perOne := float64(one.Nanoseconds()) / float64(ones)
	perMany := float64(many.Nanoseconds()) / float64(manys)
	b.ReportMetric(perOne, "ns/event-alone")
	b.ReportMetric(perMany, "ns/event-64")
	b.ReportMetric(perOne/perMany, "x")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAppend is one call with many events.
func BenchmarkAppend(b *testing.B) {
	s, err := store.Open(b.Context(), store.Config{Window: newWindow(), Path: filepath.Join(b.TempDir(), "berth.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const size = 100
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		events := makeEvents(b, size)
		b.StartTimer()
		if _, err := s.Append(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/event")
}

func makeEvents(tb testing.TB, n int) []*event.Event {
	tb.Helper()
	events := make([]*event.Event, n)
	for i := range events {
		ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: "order-17",
			Data: []byte(`{"order_id":"order-17","status":"shipped","previous_status":"processing","total_cents":4200}`)})
		if err != nil {
			tb.Fatal(err)
		}
		events[i] = ev
	}
	return events
}
