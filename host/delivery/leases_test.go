package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// elapsed is a channel that is ready: with it as retire, Next does not wait.
var elapsed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// begin starts an attempt like an instance, without waiting.
func begin(x *delivery.Lease) (event.Attempt, bool) {
	taken, ok := x.NextBuffered()
	if !ok {
		taken, ok = x.Next(nil, elapsed)
	}
	return taken.Attempt, ok
}

// testInstance is an instance of a test.
type testInstance struct {
	*delivery.Lease
	open       *event.Attempt
	unrecorded int // successes that are not recorded
}

// deep opens a handler with enough events, of different keys, that a lease acquires several,
// and two leases of it.
func deep(t *testing.T, policy delivery.Policy) (f fixture, h *handler, a, b *delivery.Lease) {
	t.Helper()
	f = setUp(t)
	h = f.open(t, "h", policy)
	a, b = h.Lease(), h.Lease()
	for i := range 64 {
		f.log.publish(t, fmt.Sprint("o-", i))
	}
	f.awaitOpen(t, h, 64)
	if _, ok := begin(a); !ok {
		t.Fatal("no attempt")
	}
	return f, h, a, b
}

// awaitOpen waits until the handler has read so many events.
func (f fixture) awaitOpen(t *testing.T, h *handler, want uint64) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(testTimeout); h.Stats().Open != want; <-look.C {
		if time.Now().After(end) {
			t.Fatalf("it has %d events, want %d", h.Stats().Open, want)
		}
	}
}

// TestLeaseReturnsUnstartedAttempts: when its attempt runs long, and when it is revoked.
func TestLeaseReturnsUnstartedAttempts(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, h *handler, a, b *delivery.Lease){
		"its attempt runs long":     returnsOnFlush,
		"another finds nothing":     returnsToWaitingInstance,
		"a pause":                   returnsOnPause,
		"a breaker that opens":      returnsWhenBreakerOpens,
		"a success after a failure": recordsSuccessBeforeFailure,
		"its instance ends":         returnsOnClose,
	} {
		t.Run(name, func(t *testing.T) {
			policy := delivery.Policy{Key: bySubject, Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour}}
			f, h, a, b := deep(t, policy)
			delivering := 0
			for seq := range 64 {
				list, err := f.d.Deliveries(t.Context(), f.log.at(seq+1))
				if err != nil || len(list) != 1 {
					t.Fatalf("got %v, %v", list, err)
				}
				if list[0].Status == "delivering" {
					delivering++
				}
			}
			if delivering != 1 {
				t.Errorf("%d are delivering, want 1: the others have not started", delivering)
			}
			test(t, h, a, b)
		})
	}
}

func returnsOnFlush(t *testing.T, _ *handler, a, b *delivery.Lease) {
	a.Flush()
	for n := 63; n > 0; n-- { // all but the open one of a
		if _, ok := begin(b); !ok {
			t.Fatalf("%d are left, and b gets none of them", n)
		}
		b.Done(&event.Outcome{})
	}
	if _, ok := begin(b); ok {
		t.Error("b got the open attempt of a")
	}
}

func returnsToWaitingInstance(t *testing.T, _ *handler, a, b *delivery.Lease) {
	for {
		if _, ok := begin(b); !ok {
			break // it has looked, in vain
		}
		b.Done(&event.Outcome{})
	}
	a.Done(&event.Outcome{})
	if _, is := a.NextBuffered(); is {
		t.Error("a has started a revoked attempt")
	}
	if _, is := begin(b); !is {
		t.Error("b got nothing")
	}
	b.Done(&event.Outcome{})
}

func returnsOnPause(t *testing.T, h *handler, a, b *delivery.Lease) {
	h.Update(delivery.Policy{Key: bySubject, Paused: true})
	a.Done(&event.Outcome{})
	if _, is := begin(a); is {
		t.Error("an attempt has started")
	}
	if h.Update(delivery.Policy{Key: bySubject}); h.Stats().Delivered != 1 {
		t.Errorf("got %+v", h.Stats())
	}
}

func returnsWhenBreakerOpens(t *testing.T, _ *handler, a, b *delivery.Lease) {
	for range 2 {
		begin(b)
		o := trap()
		b.Done(&o)
	}
	a.Done(&event.Outcome{})
	if _, is := begin(a); is {
		t.Error("an attempt has started")
	}
}

func recordsSuccessBeforeFailure(t *testing.T, h *handler, a, b *delivery.Lease) {
	a.Flush()
	a.Done(&event.Outcome{})
	fail := func() {
		begin(b)
		o := trap()
		b.Done(&o)
	}
	fail()
	begin(a)
	a.Done(&event.Outcome{}) // recorded at once: the failures are not in a row
	fail()
	if c := h.Condition(); c.State != "" {
		t.Errorf("got %+v", c)
	}
}

func returnsOnClose(t *testing.T, h *handler, a, b *delivery.Lease) {
	a.Done(&event.Outcome{})
	a.NextBuffered()
	a.Done(&event.Outcome{})
	a.Close()
	if got := h.Stats(); got.Delivered != 2 || got.Open != 62 {
		t.Errorf("got %+v", got)
	}
	for range 62 {
		if _, is := begin(b); !is {
			t.Fatal("b did not get them all")
		}
		b.Done(&event.Outcome{})
	}
}
