package progress_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// group returns what a recorder saves of 64 events and 10 handlers, each in its epoch. kind is
// what the deliveries are beside plain successes: every 50th fails, or each publishes a child or
// has effects.
func group(b *testing.B, kind string, n int, fences []spec.Fence) (successes []event.Successes, deliveries []event.Delivery, cursors []event.Cursor) {
	const events = 64
	for _, f := range fences {
		of := event.Successes{Handler: f.Unit, Digest: strings.Repeat("ab", 32)}
		for i := range events {
			seq := uint64(n*events + i + 1)
			when := noon().Add(time.Duration(seq) * 50 * time.Microsecond)
			ok := event.Delivery{Handler: f.Unit, Seq: seq, Status: event.StatusOK, Attempts: 1, At: when, FirstAttempt: when}
			switch key := fmt.Sprintf("%s/%d", f.Unit, seq); {
			case kind == "failing" && seq%50 == 0:
				deliveries = append(deliveries, event.Delivery{Handler: f.Unit, Seq: seq, Status: event.StatusRetrying, Attempts: 1, At: when, Due: when,
					ErrorClass: event.ClassTrap, ErrorMessage: "boom"})
			case kind == "children":
				ok.Children = []*event.Event{logtest.Make(b, event.Draft{IdempotencyKey: key, Data: []byte(`{"a":1}`)})}
				deliveries = append(deliveries, ok)
			case kind == "effects":
				ok.Effects = &event.Effects{Plugin: f.Unit, Writes: []event.EffectWrite{{Key: fmt.Sprint(seq % 1000), Value: []byte(key)}}}
				deliveries = append(deliveries, ok)
			default:
				of.Append(seq, event.Success{At: when, Duration: 40_000, Fuel: seq * 31 % 7000}, []byte(`{"ok":true}`))
			}
		}
		if len(of.List) > 0 {
			successes = append(successes, of)
		}
		cursors = append(cursors, event.Cursor{Name: "handler/" + f.Unit, Seq: uint64((n + 1) * events)})
	}
	return successes, deliveries, cursors
}

// BenchmarkOutcomes saves groups of 640 fenced outcomes, and publishes 64 times 30 events of 450
// bytes after each ten groups: it reports how many outcomes are saved in the time of an event.
func BenchmarkOutcomes(b *testing.B) {
	data := []byte(fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 300)))
	for _, kind := range []string{"plain", "failing", "children", "effects"} {
		b.Run(kind, func(b *testing.B) {
			e := open(b, options{})
			var fences []spec.Fence
			for h := range 10 {
				name := fmt.Sprint("handler-", h)
				fences = append(fences, spec.Fence{Unit: name, Epoch: take(b, e, name)})
			}
			var saving, publishing time.Duration
			outcomes, published := 0, 0
			for n := range b.N {
				successes, deliveries, cursors := group(b, kind, n, fences)
				began := time.Now()
				saved, fenced, err := e.SaveDeliveries(b.Context(), fences, successes, deliveries, cursors)
				if err != nil || len(fenced)+len(saved.Refused)+len(saved.Conflicts) > 0 {
					b.Fatal(saved, fenced, err)
				}
				saving += time.Since(began)
				outcomes += 640
				if n%10 != 0 {
					continue
				}
				var wg sync.WaitGroup
				began = time.Now()
				for p := range 64 {
					wg.Go(func() {
						for i := range 30 {
							ev := logtest.Make(b, event.Draft{IdempotencyKey: fmt.Sprint("published-", n, p, i), Data: data})
							if _, err := e.Append(b.Context(), []*event.Event{ev}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				publishing += time.Since(began)
				published += 64 * 30
			}
			rate, events := float64(outcomes)/saving.Seconds(), float64(published)/publishing.Seconds()
			b.ReportMetric(rate, "outcomes/s")
			b.ReportMetric(events, "events/s")
			b.ReportMetric(rate/events, "outcomes/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}
