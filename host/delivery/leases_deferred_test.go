package delivery_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestBusyLeaseDefersRecorder: while attempts are ready, a lease records its successes and
// leaves it to a later one to notify the recorder. It notifies the recorder when the
// instance takes long, waits or ends, when an attempt fails, and when there are many.
func TestBusyLeaseDefersRecorder(t *testing.T) {
	for name, notify := range map[string]func(x *delivery.Lease){
		"it takes long": (*delivery.Lease).Flush,
		"it ends": func(x *delivery.Lease) {
			x.Done(&event.Outcome{})
			x.Close()
		},
		"it waits": func(x *delivery.Lease) {
			for more := true; more; _, more = begin(x) {
				x.Done(&event.Outcome{})
			}
		},
		"it fails": func(x *delivery.Lease) { x.Done(&event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}) },
		"it is cancelled": func(x *delivery.Lease) {
			x.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
		},
		"it has many": func(x *delivery.Lease) {
			for range delivery.MaxDeferred + delivery.MaxLease {
				x.Done(&event.Outcome{})
				begin(x)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, h := withWaitingRecorder(t)
			x := h.Lease()
			for !h.Unnotified() {
				if _, is := begin(x); !is {
					t.Fatal("no attempt is ready, and nothing was deferred")
				}
				if h.Unnotified() {
					break
				}
				x.Done(&event.Outcome{})
			}
			if notify(x); h.Unnotified() {
				t.Error("the recorder is not notified of the outcomes")
			}
			f.refuse(nil)
		})
	}
}

// withWaitingRecorder opens a handler with many ready events, whose recorder waits for the
// store: it collects nothing until the store accepts again.
func withWaitingRecorder(t *testing.T) (fixture, *handler) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{Key: bySubject})
	const events = 4 * delivery.MaxDeferred
	for i := range events + 1 {
		f.log.publish(t, fmt.Sprint("o-", i))
	}
	f.awaitOpen(t, h, events+1)
	f.refuse(errors.New("too slow"))
	h.Done(take(t, h), event.Outcome{})
	f.store.await(t, "a refused write", func() bool { return f.store.refused > 0 })
	return f, h
}
