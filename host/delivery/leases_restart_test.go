package delivery_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// leaseLives are three leases of a handler that is restarted, replayed and redriven.
type leaseLives struct {
	*lives
	ctx       context.Context
	d         *delivery.Dispatcher
	policy    delivery.Policy
	h         *handler
	instances [3]testInstance
	watched   atomic.Bool
	purged    bool
	published uint64
}

func newLeaseLives(t *rapid.T, ctx context.Context, e *engine) *leaseLives {
	x := &leaseLives{lives: newLives(e), ctx: ctx}
	x.d = delivery.New(delivery.Config{Store: x.lives, Log: x.lives, Observer: func(event.Record, event.Delivery) {},
		Watched: x.watched.Load})
	backoff := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Millisecond, time.Hour}).Draw(t, "backoff")
	x.policy = delivery.Policy{
		Takes:   parentsOnly,
		Key:     bySubject,
		Retry:   spec.RetryPolicy{MaxAttempts: rapid.IntRange(1, 3).Draw(t, "attempts"), Backoff: backoff, MaxBackoff: backoff},
		Breaker: spec.BreakerPolicy{Failures: rapid.IntRange(0, 3).Draw(t, "failures"), Cooldown: time.Microsecond, MaxCooldown: 10 * time.Microsecond},
		Fair:    sharing(t),
	}
	if err := x.d.Claim(ctx, "h"); err != nil {
		t.Fatal(err)
	}
	x.openAll(t)
	return x
}

// TestLeasesAcrossRestarts drives leases step by step through redrives, purges, replays,
// pauses, breakers, backoffs and restarts, with children and keys. After every step the
// counters match the contents, and no key is in flight twice or out of order; in the end
// each event that was not purged is ok.
func TestLeasesAcrossRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, stopEngine := newEngine(t)
		defer stopEngine()
		ctx, cancel := context.WithTimeout(context.Background(), 2*testTimeout)
		defer cancel()
		x := newLeaseLives(t, ctx, e)
		defer func() { _ = x.d.Close(ctx) }()
		t.Repeat(map[string]func(*rapid.T){
			"publish": x.publish,
			"begin":   func(t *rapid.T) { x.begin(x.pick(t)) },
			"end":     x.endRandomly,
			"go on": func(t *rapid.T) {
				in := x.pick(t)
				for range rapid.IntRange(1, 20).Draw(t, "successes") {
					x.begin(in)
					x.end(in, event.Outcome{})
				}
			},
			"flush": func(t *rapid.T) { x.pick(t).Flush() },
			"replace": func(t *rapid.T) {
				if in := x.pick(t); in.open == nil {
					in.Close()
					in.Lease = x.h.Lease()
				}
			},
			"policy": func(t *rapid.T) {
				x.policy.Paused = rapid.IntRange(0, 3).Draw(t, "paused") == 0
				x.policy.Breaker.Failures = rapid.IntRange(0, 3).Draw(t, "failures")
				x.h.Update(x.policy)
			},
			"probe":   func(*rapid.T) { x.h.Probe() },
			"watch":   func(*rapid.T) { x.watched.Store(!x.watched.Load()) },
			"redrive": x.redrive,
			"purge":   x.purge,
			"replay":  x.replay,
			"restart": func(t *rapid.T) { x.restart(t, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}) },
			"":        x.check,
		})
		// Retries that wait for hours are due at once after a restart with another policy.
		x.policy = delivery.Policy{Takes: parentsOnly, Key: bySubject,
			Retry: spec.RetryPolicy{MaxAttempts: 9, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}}
		x.restart(t, event.Outcome{})
		x.completeAll(t)
		x.check(t)
		for i := range x.instances {
			x.instances[i].Close()
		}
		x.checkStored(t)
	})
}

func (x *leaseLives) openAll(t *rapid.T) {
	x.h = open(t, x.d, "h", x.policy)
	for i := range x.instances {
		x.instances[i] = testInstance{Lease: x.h.Lease()}
	}
}

func (x *leaseLives) pick(t *rapid.T) *testInstance {
	return &x.instances[rapid.IntRange(0, 2).Draw(t, "lease")]
}

func (x *leaseLives) begin(in *testInstance) (open bool) {
	if in.open == nil {
		if a, ok := begin(in.Lease); ok {
			x.lives.begin(a)
			in.open = &a
		}
	}
	return in.open != nil
}

func (x *leaseLives) end(in *testInstance, o event.Outcome) {
	if in.open == nil {
		return
	}
	x.lives.end(*in.open, o.Verdict == event.OK)
	in.open = nil
	in.Done(&o)
}

func (x *leaseLives) endRandomly(t *rapid.T) {
	in, o := x.pick(t), rapid.SampledFrom(outcomes).Draw(t, "outcome")
	if in.open != nil && o.Verdict == event.OK && rapid.Bool().Draw(t, "with children") {
		o.Children = childrenOf(t, *in.open, 2)
	}
	x.end(in, o)
}

func (x *leaseLives) publish(t *rapid.T) {
	subjects := rapid.SampledFrom([]string{"", "", "", "a", "b", "c"})
	for range rapid.IntRange(1, 60).Draw(t, "events") {
		ev := makeEvent(t, event.Draft{Type: "parent", Subject: subjects.Draw(t, "key")})
		if _, err := x.engine.Append(x.ctx, []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	x.published = x.engine.Last()
	letReadersRun()
}

// letReadersRun lets the reader and the feeder admit some events.
func letReadersRun() {
	for range 200 {
		runtime.Gosched()
	}
}

func (x *leaseLives) redrive(t *rapid.T) {
	if _, err := x.d.Redrive(x.ctx, event.DeadFilter{}); err != nil {
		t.Fatal(err)
	}
	letReadersRun()
}

func (x *leaseLives) purge(t *rapid.T) {
	n, err := x.d.Purge(x.ctx, event.DeadFilter{})
	if err != nil {
		t.Fatal(err)
	}
	x.purged = x.purged || n > 0
}

// replay starts a replay while the instances complete attempts.
func (x *leaseLives) replay(t *rapid.T) {
	if x.published == 0 {
		return
	}
	from := rapid.Uint64Range(1, x.published).Draw(t, "from")
	to := rapid.Uint64Range(from, x.published).Draw(t, "to")
	replayed := make(chan error, 1)
	go func() { replayed <- x.d.Replay(x.ctx, "h", from, to) }()
	for ; ; runtime.Gosched() {
		select {
		case err := <-replayed:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			return
		default:
			for i := range x.instances {
				x.begin(&x.instances[i])
				x.end(&x.instances[i], event.Outcome{})
			}
		}
	}
}

// restart ends the open attempts with an outcome, and closes and opens the handler.
func (x *leaseLives) restart(t *rapid.T, o event.Outcome) {
	for i := range x.instances {
		x.end(&x.instances[i], o)
		x.instances[i].Close()
	}
	if wrong := x.h.Inconsistency(); wrong != "" {
		t.Fatal(wrong)
	}
	if err := x.h.Close(x.ctx); err != nil {
		t.Fatal(err)
	}
	x.restarted()
	x.openAll(t)
}

func (x *leaseLives) inconsistency() string {
	return x.h.Inconsistency(x.instances[0].Lease, x.instances[1].Lease, x.instances[2].Lease)
}

func (x *leaseLives) check(t *rapid.T) {
	if wrong := x.inconsistency(); wrong != "" {
		t.Fatal(wrong)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.wrong != "" {
		t.Fatal(x.wrong)
	}
}

// completeAll completes and redrives events until all are ok or purged.
func (x *leaseLives) completeAll(t *rapid.T) {
	for end := time.Now().Add(testTimeout); ; runtime.Gosched() {
		for i := range x.instances {
			for x.begin(&x.instances[i]) {
				x.end(&x.instances[i], event.Outcome{})
			}
		}
		for i := range x.instances {
			x.instances[i].Flush()
		}
		if x.h.Stats().Lag == 0 {
			if n, err := x.d.Redrive(x.ctx, event.DeadFilter{}); err != nil {
				t.Fatal(err)
			} else if n == 0 && x.h.Stats().Open == 0 && x.h.Idle(x.ctx, t.Fatal) {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("it does not finish: %+v; %s", x.h.Stats(), x.inconsistency())
		}
	}
}

// checkStored checks that every event is stored as ok, or as dead if some were purged.
func (x *leaseLives) checkStored(t *rapid.T) {
	for seq := uint64(1); seq <= x.published; seq++ {
		stored, err := x.engine.Deliveries(x.ctx, seq)
		rec, _ := x.engine.Read(x.ctx, seq, 1)
		switch {
		case err != nil:
			t.Fatal(err)
		case !parentsOnly(rec[0].Event):
		case len(stored) != 1 || stored[0].Status != event.StatusOK && !(x.purged && stored[0].Status == event.StatusDead):
			t.Fatalf("event %d has %+v", seq, stored)
		}
	}
}
