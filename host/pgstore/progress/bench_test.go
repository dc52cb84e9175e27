package progress_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// BenchmarkPublish appends events of 450 bytes from 64 publishers.
func BenchmarkPublish(b *testing.B) {
	e := open(b, options{})
	data := []byte(fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 300)))
	var n atomic.Int64
	b.SetParallelism(32) // for each of two processors
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ev := logtest.Make(b, event.Draft{IdempotencyKey: fmt.Sprint("key-", n.Add(1)), Data: data})
			if _, err := e.Append(b.Context(), []*event.Event{ev}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkOutcomes saves the outcomes of groups of 64 events of 10 handlers, each in its epoch,
// with their cursors. One in so many is a failure that is retried.
func BenchmarkOutcomes(b *testing.B) {
	const handlers, group = 10, 64
	for _, failing := range []int{0, 50} {
		b.Run(fmt.Sprintf("failing=%d", failing), func(b *testing.B) {
			e := open(b, options{})
			var fences []spec.Fence
			for h := range handlers {
				name := fmt.Sprint("handler-", h)
				fences = append(fences, spec.Fence{Unit: name, Epoch: take(b, e, name)})
			}
			b.ResetTimer()
			for n := range b.N {
				var successes []event.Successes
				var deliveries []event.Delivery
				var cursors []event.Cursor
				for _, f := range fences {
					of := event.Successes{Handler: f.Unit, Digest: strings.Repeat("ab", 32)}
					for i := range group {
						seq := uint64(n*group + i + 1)
						when := noon().Add(time.Duration(seq) * 50 * time.Microsecond)
						if failing > 0 && seq%uint64(failing) == 0 {
							deliveries = append(deliveries, event.Delivery{Handler: f.Unit, Seq: seq, Status: event.StatusRetrying, Attempts: 1, At: when, Due: when,
								ErrorClass: event.ClassTrap, ErrorMessage: "boom"})
							continue
						}
						of.Append(seq, event.Success{At: when, Duration: 40_000, Fuel: seq * 31 % 7000}, []byte(`{"ok":true}`))
					}
					successes = append(successes, of)
					cursors = append(cursors, event.Cursor{Name: "handler/" + f.Unit, Seq: uint64((n + 1) * group)})
				}
				if _, fenced, err := e.SaveDeliveries(b.Context(), fences, successes, deliveries, cursors); err != nil || len(fenced) > 0 {
					b.Fatal(fenced, err)
				}
			}
			b.ReportMetric(float64(b.N*group*handlers)/b.Elapsed().Seconds(), "outcomes/s")
		})
	}
}
