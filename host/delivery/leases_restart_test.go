package delivery_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// TestLeasesAcrossRestarts drives leases step by step through redrives, purges, replays,
// pauses, breakers, backoffs and restarts, with children and keys. After every step the
// counters match the contents, and no key is in flight twice or out of order; in the end
// each event that was not purged is ok.
func TestLeasesAcrossRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, stopEngine := newEngine(t)
		defer stopEngine()
		l := &lives{engine: e, inFlight: map[string]int{}, last: map[string]uint64{}, redriven: map[uint64]bool{},
			handled: map[uint64]int{}, since: map[uint64]bool{}}
		ctx, cancel := context.WithTimeout(context.Background(), 2*testTimeout)
		defer cancel()
		watched := false
		d := delivery.New(delivery.Config{Store: l, Log: l, Observer: func(event.Record, event.Delivery) {}, Watched: func() bool { return watched }})
		defer func() { _ = d.Close(ctx) }()
		backoff := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Millisecond, time.Hour}).Draw(t, "backoff")
		policy := delivery.Policy{
			Takes:   parentsOnly,
			Key:     bySubject,
			Retry:   spec.RetryPolicy{MaxAttempts: rapid.IntRange(1, 3).Draw(t, "attempts"), Backoff: backoff, MaxBackoff: backoff},
			Breaker: spec.BreakerPolicy{Failures: rapid.IntRange(0, 3).Draw(t, "failures"), Cooldown: time.Microsecond, MaxCooldown: 10 * time.Microsecond},
		}
		var h *handler
		leases := make([]*testInstance, 3)
		openAll := func() {
			h = open(t, d, "h", policy)
			for i := range leases {
				leases[i] = &testInstance{Lease: h.Lease()}
			}
		}
		if err := d.Claim(ctx, "h"); err != nil {
			t.Fatal(err)
		}
		openAll()
		published := uint64(0)
		begins := func(x *testInstance) bool {
			if x.open == nil {
				if a, ok := begin(x.Lease); ok {
					l.begin(a)
					x.open = &a
				}
			}
			return x.open != nil
		}
		ends := func(x *testInstance, o event.Outcome) {
			if x.open == nil {
				return
			}
			l.end(*x.open, o.Verdict == event.OK)
			x.open = nil
			x.Done(&o)
		}
		pick := func(t *rapid.T) *testInstance { return leases[rapid.IntRange(0, 2).Draw(t, "lease")] }
		subjects := rapid.SampledFrom([]string{"", "", "", "a", "b", "c"})
		purged := false
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "events") {
					ev := makeEvent(t, event.Draft{Type: "parent", Subject: subjects.Draw(t, "key")})
					if _, err := e.Append(ctx, []*event.Event{ev}); err != nil {
						t.Fatal(err)
					}
				}
				published = e.Last()
				for range 200 {
					runtime.Gosched() // the reader may come by some of them
				}
			},
			"begin": func(t *rapid.T) { begins(pick(t)) },
			"end": func(t *rapid.T) {
				x, o := pick(t), rapid.SampledFrom(outcomes).Draw(t, "outcome")
				if x.open != nil && o.Verdict == event.OK && rapid.Bool().Draw(t, "with children") {
					o.Children = childrenOf(t, *x.open, 2)
				}
				ends(x, o)
			},
			"go on": func(t *rapid.T) {
				x := pick(t)
				for range rapid.IntRange(1, 20).Draw(t, "successes") {
					begins(x)
					ends(x, event.Outcome{})
				}
			},
			"flush": func(t *rapid.T) { pick(t).Flush() },
			"end and come back": func(t *rapid.T) {
				if x := pick(t); x.open == nil {
					x.Close()
					x.Lease = h.Lease()
				}
			},
			"policy": func(t *rapid.T) {
				policy.Paused = rapid.IntRange(0, 3).Draw(t, "paused") == 0
				policy.Breaker.Failures = rapid.IntRange(0, 3).Draw(t, "failures")
				h.Update(policy)
			},
			"probe": func(*rapid.T) { h.Probe() },
			"watch": func(*rapid.T) { watched = !watched },
			"redrive": func(t *rapid.T) {
				if _, err := d.Redrive(ctx, event.DeadFilter{}); err != nil {
					t.Fatal(err)
				}
				for range 200 {
					runtime.Gosched()
				}
			},
			"purge": func(t *rapid.T) {
				n, err := d.Purge(ctx, event.DeadFilter{})
				if err != nil {
					t.Fatal(err)
				}
				purged = purged || n > 0
			},
			"replay": func(t *rapid.T) {
				if published == 0 {
					return
				}
				from := rapid.Uint64Range(1, published).Draw(t, "from")
				to := rapid.Uint64Range(from, published).Draw(t, "to")
				replayed := make(chan error, 1)
				go func() { replayed <- d.Replay(ctx, "h", from, to) }()
				for started := false; !started; runtime.Gosched() {
					select {
					case err := <-replayed:
						if err != nil && !errors.Is(err, context.Canceled) {
							t.Fatal(err)
						}
						started = true
					default:
						for _, x := range leases { // as instances that are at work
							begins(x)
							ends(x, event.Outcome{})
						}
					}
				}
			},
			"restart": func(t *rapid.T) {
				for _, x := range leases {
					ends(x, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
					x.Close()
				}
				if wrong := h.Inconsistency(); wrong != "" {
					t.Fatal(wrong)
				}
				if err := h.Close(ctx); err != nil {
					t.Fatal(err)
				}
				l.mu.Lock()
				clear(l.last)
				l.mu.Unlock()
				openAll()
			},
			"": func(t *rapid.T) {
				if wrong := h.Inconsistency(leases[0].Lease, leases[1].Lease, leases[2].Lease); wrong != "" {
					t.Fatal(wrong)
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.wrong != "" {
					t.Fatal(l.wrong)
				}
			},
		})
		// Everything comes to its end when nothing is in the way. What waits for its
		// retry for hours comes at once after a restart with another policy.
		for _, x := range leases {
			ends(x, event.Outcome{})
			x.Close()
		}
		if err := h.Close(ctx); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		clear(l.last)
		l.mu.Unlock()
		policy = delivery.Policy{Takes: parentsOnly, Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 9, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}}
		openAll()
		for end := time.Now().Add(testTimeout); ; {
			for _, x := range leases {
				for begins(x) {
					ends(x, event.Outcome{})
				}
			}
			for _, x := range leases {
				x.Flush()
			}
			if h.Stats().Lag == 0 {
				if n, err := d.Redrive(ctx, event.DeadFilter{}); err != nil {
					t.Fatal(err)
				} else if n == 0 && h.Stats().Open == 0 && h.Idle(ctx, t.Fatal) {
					break
				}
			}
			if time.Now().After(end) {
				t.Fatalf("it does not finish: %+v; %s", h.Stats(), h.Inconsistency(leases[0].Lease, leases[1].Lease, leases[2].Lease))
			}
			runtime.Gosched()
		}
		if wrong := h.Inconsistency(leases[0].Lease, leases[1].Lease, leases[2].Lease); wrong != "" {
			t.Fatal(wrong)
		}
		for _, x := range leases {
			x.Close()
		}
		if l.wrong != "" {
			t.Fatal(l.wrong)
		}
		for seq := uint64(1); seq <= published; seq++ {
			stored, err := e.Deliveries(ctx, seq)
			rec, _ := e.Read(ctx, seq, 1)
			switch {
			case err != nil:
				t.Fatal(err)
			case !parentsOnly(rec[0].Event):
			case len(stored) != 1 || stored[0].Status != event.StatusOK && !(purged && stored[0].Status == event.StatusDead):
				t.Fatalf("event %d has %+v", seq, stored)
			}
		}
	})
}
