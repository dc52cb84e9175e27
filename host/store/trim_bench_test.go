package store_test

import (
	"crypto/rand"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store"
)

// BenchmarkPublishDuringTrim trims a large log, with an outcome of each event, while
// one publisher appends an event at a time, and reports the publisher's latency and
// the events trimmed per second. The events have their ids as keys, or random keys.
func BenchmarkPublishDuringTrim(b *testing.B) {
	b.Run("ids", func(b *testing.B) { benchmarkPublishDuringTrim(b, makeEvents) })
	b.Run("keys", func(b *testing.B) { benchmarkPublishDuringTrim(b, makeKeyedEvents) })
}

// makeKeyedEvents is makeEvents with random keys.
func makeKeyedEvents(tb testing.TB, n int) []*event.Event {
	tb.Helper()
	events := make([]*event.Event, n)
	for i := range events {
		ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: "order-17", IdempotencyKey: rand.Text(),
			Data: []byte(`{"order_id":"order-17","status":"shipped","previous_status":"processing","total_cents":4200}`)})
		if err != nil {
			tb.Fatal(err)
		}
		events[i] = ev
	}
	return events
}

func benchmarkPublishDuringTrim(b *testing.B, makeEvents func(testing.TB, int) []*event.Event) {
	const events, batch = 200_000, 500
	ctx := b.Context()
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: filepath.Join(b.TempDir(), "berth.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var waits []time.Duration
	var trimming time.Duration
	for b.Loop() {
		for range events / batch {
			receipts, err := s.Append(ctx, makeEvents(b, batch))
			if err != nil {
				b.Fatal(err)
			}
			outcomes := event.Successes{Handler: "handler"}
			for _, r := range receipts {
				outcomes.Append(r.Seq, event.Success{At: time.Now(), Duration: time.Microsecond, Fuel: 900}, nil)
			}
			if _, _, err := s.SaveDeliveries(ctx, nil, []event.Successes{outcomes}, nil, nil); err != nil {
				b.Fatal(err)
			}
		}
		var done atomic.Bool
		published := make(chan struct{})
		go func() {
			defer close(published)
			for !done.Load() {
				began := time.Now()
				if _, err := s.Append(ctx, makeEvents(b, 1)); err != nil {
					b.Error(err)
					return
				}
				waits = append(waits, time.Since(began))
			}
		}()
		began := time.Now()
		if n, err := s.Trim(ctx, s.Last()); err != nil || n < events-1 {
			b.Fatalf("trimmed %d, %v", n, err)
		}
		trimming += time.Since(began)
		done.Store(true)
		<-published
	}
	slices.Sort(waits)
	at := func(share float64) float64 {
		return float64(waits[int(share*float64(len(waits)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(float64(events*b.N)/trimming.Seconds(), "trimmed/s")
	b.ReportMetric(0, "ns/op")
}
