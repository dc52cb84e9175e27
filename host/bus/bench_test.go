package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
)

// BenchmarkWindow measures the cost of an event that a subscription copies from the
// window. It must not allocate.
func BenchmarkWindow(b *testing.B) {
	const n = 4096
	hub := start(b, bus.Config{})
	if _, err := hub.PublishEvents(b.Context(), logtest.Numbered(b, "k", n)); err != nil {
		b.Fatal(err)
	}
	buf := make([]event.Record, 64)
	subs := make([]*bus.Subscription, b.N/n+1)
	for i := range subs {
		subs[i] = hub.Subscribe(1)
	}
	b.ReportAllocs()
	b.ResetTimer()
	left := b.N
	for _, sub := range subs {
		for got := 0; got < n && left > 0; {
			k, err := sub.Next(b.Context(), buf)
			if err != nil {
				b.Fatal(err)
			}
			got += k
			left -= k
		}
	}
}

// BenchmarkPublishNext is one publisher and one subscription over the memory
// engine: batches of 64, appended and received.
func BenchmarkPublishNext(b *testing.B) {
	log := newMemory(b, bus.MemoryConfig{})
	hub := start(b, bus.Config{Log: log})
	sub := hub.Subscribe(1)
	const batch = 64
	buf := make([]event.Record, batch)
	events := logtest.Numbered(b, "k", batch)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= batch {
		if _, err := hub.PublishEvents(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < batch; {
			n, err := sub.Next(b.Context(), buf)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
		// So that the same events are new again. Its cost is in the figure.
		if _, err := log.Trim(b.Context(), log.Last()+1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPingPong is the time from one Publish to its Next, one at a time.
func BenchmarkPingPong(b *testing.B) {
	log := newMemory(b, bus.MemoryConfig{})
	hub := start(b, bus.Config{Log: log})
	sub := hub.Subscribe(1)
	buf := make([]event.Record, 1)
	events := logtest.Numbered(b, "k", 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hub.PublishEvents(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		if _, err := sub.Next(b.Context(), buf); err != nil {
			b.Fatal(err)
		}
		if _, err := log.Trim(b.Context(), log.Last()+1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut measures an event from Publish until each of ten subscriptions
// has received it, with batches of 1 and of 100 events.
func BenchmarkFanOut(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batches of ", batch), func(b *testing.B) {
			const subscriptions = 10
			log := newMemory(b, bus.MemoryConfig{})
			hub := start(b, bus.Config{Log: log})
			events := logtest.Numbered(b, "k", batch)
			received := make(chan struct{}, subscriptions)
			for range subscriptions {
				sub := hub.Subscribe(1)
				go func() {
					buf := make([]event.Record, batch)
					for got := 0; ; {
						n, err := sub.Next(b.Context(), buf)
						if err != nil {
							return
						}
						if got += n; got == batch {
							got = 0
							received <- struct{}{}
						}
					}
				}()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				if _, err := hub.PublishEvents(b.Context(), events); err != nil {
					b.Fatal(err)
				}
				for range subscriptions {
					<-received
				}
				if _, err := log.Trim(b.Context(), log.Last()+1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSaveSuccesses measures the memory engine with 512 successes in a write, in the
// order of Seq, as one instance completes them, and with every 16 before the 16 that
// precede them, as several do.
func BenchmarkSaveSuccesses(b *testing.B) {
	const n, lease, trimAt = 512, 16, 1 << 17
	for name, seq := range map[string]func(i uint64) uint64{
		"one instance":      func(i uint64) uint64 { return i },
		"several instances": func(i uint64) uint64 { return i ^ lease },
	} {
		b.Run(name, func(b *testing.B) {
			m := newMemory(b, bus.MemoryConfig{})
			list := event.Successes{Handler: "h", Digest: "d"}
			for i := range uint64(n) {
				list.Append(1+seq(i), event.Success{At: time.Now(), Duration: 1000, Fuel: 1}, []byte(`{"echo":"shipped"}`))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.SaveDeliveries(b.Context(), nil, []event.Successes{list}, nil, nil); err != nil {
					b.Fatal(err)
				}
				if list.List[0].Seq > trimAt {
					for i := range list.List {
						list.List[i].Seq -= trimAt
					}
					if err := m.ForgetHandler(b.Context(), "h"); err != nil {
						b.Fatal(err)
					}
				}
				for i := range list.List {
					list.List[i].Seq += n
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/success")
		})
	}
}
