package delivery_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestWatcherSeesWhatAHandKept holds that who comes to watch is told of each outcome
// that was not there to be seen when he came: what a hand has kept is delivering
// until then.
func TestWatcherSeesWhatAHandKept(t *testing.T) {
	for name, handIn := range map[string]func(x *delivery.Hand){
		"rest":  (*delivery.Hand).Rest,
		"close": (*delivery.Hand).Close,
		"next": func(x *delivery.Hand) {
			for n := 0; n < 2; { // until it has had to ask the queue
				if _, ok := x.Held(); !ok {
					x.Next(nil, elapsed)
					n = 2
				}
				x.Done(&event.Outcome{})
			}
		},
		"done": func(x *delivery.Hand) {
			x.Held()
			x.Done(&event.Outcome{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var watched atomic.Bool
			var seen []string // of this goroutine: nobody else ends attempts
			f := setUpWith(t, delivery.Config{Watched: watched.Load, Observer: func(rec event.Record, d event.Delivery) {
				seen = append(seen, fmt.Sprint(rec.Seq, d.Seq, " ", d.Status, " ", d.Result))
			}})
			h := f.open(t, "h", delivery.Policy{})
			x := h.Hand()
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
				if x.Done(&event.Outcome{Result: []byte(fmt.Sprint(a.Seq))}) {
					t.Fatal("it was handed in: nothing is kept")
				}
				want = append(want, fmt.Sprint(a.Seq, a.Seq, " ok ", a.Seq))
			}
			watched.Store(true)
			list, err := f.d.Deliveries(t.Context(), f.log.at(1))
			if err != nil || len(list) != 1 || list[0].Status != "delivering" {
				t.Fatalf("got %+v, %v: it is kept", list, err)
			}
			handIn(x)
			if len(seen) < 3 || !slices.Equal(seen[:3], want) {
				t.Errorf("the watcher saw %q, want %q first", seen, want)
			}
			if name != "close" {
				x.Close()
			}
		})
	}
}
