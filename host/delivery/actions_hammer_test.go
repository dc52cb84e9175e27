package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// TestActionsHammer has operators skip, retry, requeue, redrive and replay events of a handler at
// once, which fails, is paused and is replaced meanwhile. No two attempts of a key are at once,
// and when all have ended, every event has an outcome and the lag is 0.
func TestActionsHammer(t *testing.T) {
	const events, keys = 1500, 7
	m := onMemory(t)
	var mu sync.Mutex
	busy, calm := make(map[string]uint64), false
	publishing := make(chan struct{}) // an event is published for each action and each attempt
	m.set(func(_ string, a event.Attempt) event.Outcome {
		key := a.Event.Subject()
		mu.Lock()
		if other, taken := busy[key]; taken {
			t.Errorf("%d started while %d of the same key is under way", a.Seq, other)
		}
		busy[key] = a.Seq
		mu.Unlock()
		<-publishing
		mu.Lock()
		defer mu.Unlock()
		delete(busy, key)
		if calm {
			return event.Outcome{}
		}
		return outcomes[rand.IntN(len(outcomes))]
	})
	policy := delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Millisecond}}
	h, stop := m.open("h", policy)
	m.publish("0")
	seq := func() uint64 { return 1 + rand.Uint64N(m.engine.Last()) }
	allowed := func(what string, err error) {
		if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := context.Background()
	var operators sync.WaitGroup
	operators.Go(func() {
		defer close(publishing)
		for i := range events - 1 {
			publishing <- struct{}{}
			m.publish(fmt.Sprint(i % keys))
		}
	})
	for what, act := range map[string]func() error{
		"skip":    func() error { return m.d.SkipEvent(ctx, "h", seq()) },
		"retry":   func() error { _, err := m.d.RetryNow(ctx, "h", []uint64{seq(), seq(), seq()}); return err },
		"requeue": func() error { _, err := m.d.Requeue(ctx, "h", []uint64{seq(), seq(), seq()}); return err },
		"redrive": func() error { _, err := m.d.Redrive(ctx, event.DeadFilter{Handler: "h"}); return err },
		"replay": func() error {
			from := seq()
			return m.d.Replay(ctx, "h", from, from+rand.Uint64N(20))
		},
		"figures": func() error { _, err := m.d.Figures(ctx, "h"); return err },
	} {
		operators.Go(func() {
			for range publishing {
				allowed(what, act())
			}
		})
	}
	operators.Go(func() {
		i := 0
		for range publishing {
			i++
			policy.Paused = i%3 == 1
			h.Update(policy)
			if i%5 == 4 { // it is replaced
				stop()
				if err := h.Close(ctx); err != nil {
					t.Error(err)
				}
				h, stop = m.open("h", policy)
			}
		}
	})
	operators.Wait()
	mu.Lock()
	calm = true
	mu.Unlock()
	policy.Paused = false
	h.Update(policy)
	m.await("a lag of 0", func() bool {
		f, err := m.d.Figures(ctx, "h")
		if err != nil {
			t.Fatal(err)
		}
		list, err := m.engine.Redriven(ctx, "h", 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		h.Probe()
		return f.Lag == 0 && len(list) == 0
	})
	stop()
	if wrong := h.Inconsistency(); wrong != "" {
		t.Error(wrong)
	}
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := m.engine.LoadBacklog(ctx, "h")
	if err != nil || len(b.Open) != 0 || b.Cursor != events {
		t.Fatalf("the store has %+v, %v", b, err)
	}
	if f, err := m.d.Figures(ctx, "h"); err != nil || f.Lag != 0 {
		t.Errorf("closed: %+v, %v", f, err)
	}
	if list, err := m.engine.Redriven(ctx, "h", 0, 1000); err != nil || len(list) != 0 {
		t.Errorf("pending: %+v, %v", list, err)
	}
}
