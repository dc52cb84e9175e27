package delivery_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestLateObserverSeesBufferedOutcomes: an observer registered after attempts completed is
// notified of the outcomes that a lease still buffers; until then they are delivering.
func TestLateObserverSeesBufferedOutcomes(t *testing.T) {
	for name, submit := range map[string]func(x *delivery.Lease){
		"flush": (*delivery.Lease).Flush,
		"close": (*delivery.Lease).Close,
		"next": func(x *delivery.Lease) {
			for n := 0; n < 2; { // until it has called Next
				if _, ok := x.NextBuffered(); !ok {
					x.Next(nil, elapsed)
					n = 2
				}
				x.Done(&event.Outcome{})
			}
		},
		"done": func(x *delivery.Lease) {
			x.NextBuffered()
			x.Done(&event.Outcome{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var watched atomic.Bool
			var seen []string // of this goroutine, the only one that completes attempts
			f := setUpWith(t, delivery.Config{Watched: watched.Load, Observer: func(rec event.Record, d event.Delivery) {
				seen = append(seen, fmt.Sprint(rec.Seq, d.Seq, " ", d.Status, " ", d.Result))
			}})
			h := f.open(t, "h", delivery.Policy{})
			x := h.Lease()
			for range 64 {
				f.log.publish(t, "")
			}
			f.awaitOpen(t, h, 64)
			var want []string
			for range 3 {
				a, ok := begin(x)
				if !ok {
					t.Fatal("no attempt")
				}
				if x.Done(&event.Outcome{Result: []byte(fmt.Sprint(a.Seq))}); x.Recorded() {
					t.Fatal("the outcome is recorded already")
				}
				want = append(want, fmt.Sprint(a.Seq, a.Seq, " ok ", a.Seq))
			}
			watched.Store(true)
			list, err := f.d.Deliveries(t.Context(), f.log.at(1))
			if err != nil || len(list) != 1 || list[0].Status != "delivering" {
				t.Fatalf("got %+v, %v; want delivering", list, err)
			}
			submit(x)
			if len(seen) < 3 || !slices.Equal(seen[:3], want) {
				t.Errorf("the observer saw %q, want %q first", seen, want)
			}
			if name != "close" {
				x.Close()
			}
		})
	}
}
