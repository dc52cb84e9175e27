package delivery_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// failing fails every event of the key "stuck".
func failing(a event.Attempt) event.Outcome {
	if bySubject(a.Event) == "stuck" {
		return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: "not now"}
	}
	return ok(a)
}

func stuckPolicy() delivery.Policy {
	return delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{Backoff: time.Hour, MaxBackoff: time.Hour}}
}

func TestRetriedKeyDoesNotDelayOtherKeys(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", stuckPolicy())
	defer work(h, 2, failing)()
	const behind = 10_000 // more than the window has room for
	f.log.publish(t, "stuck")
	for range behind {
		f.log.publish(t, "stuck")
	}
	free := f.log.publish(t, "free")
	f.store.await(t, "the event of the other key", func() bool { return f.store.deliveries[key{"h", free}].Status == event.StatusOK })
	if s := h.Stats(); s.Lag != behind+1 || s.Delivered != 1 {
		t.Errorf("%+v", s)
	}
}

func TestEventsBehindRetryAreBounded(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", stuckPolicy())
	defer work(h, 1, failing)()
	const limit = 16 * 4096 // maxAhead
	for range limit + 5000 {
		f.log.publish(t, "stuck")
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); h.Stats().Open < limit && time.Now().Before(deadline); {
		<-tick.C
	}
	if open := h.Stats().Open; open < limit || open > limit+1 {
		t.Errorf("%d events are open, want %d and the one that waits for its retry", open, limit)
	}
}

func TestRedrivenEventsAreDeliveredBesideBusyKey(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	h, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("mended")
	m.await("a dead letter", func() bool {
		list, _, err := m.d.DeadLetters(t.Context(), event.DeadFilter{}, "", 10)
		return err == nil && len(list) == 1
	})
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if bySubject(a.Event) == "busy" {
			<-release
		}
		return event.Outcome{}
	})
	defer close(release) // before stop, which waits for it
	for range 5000 {
		m.publish("busy")
	}
	m.await("as much of the busy key as it takes ahead", func() bool { return h.Stats().Open >= 4096 })
	m.redrive(event.DeadFilter{}, 1)
	m.await("the redriven one", func() bool { return len(m.sequence("h")) == 2 })
}
