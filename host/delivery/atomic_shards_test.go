package delivery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// TestLoneConflictOfAShardIsNoAttempt: another shard writes the key whenever the event runs alone.
// It runs again after a wait, in which events of other keys are delivered and those of its own are
// not, and never fails.
func TestLoneConflictOfAShardIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUpAtomicUnit(t, "h/0", delivery.Config{Random: func() float64 { return 0.999 }},
			delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 1}})
		f.log.publish(t, "x")
		longest := time.Duration(0)
		for run := range 300 {
			began := time.Now()
			one := f.begin(t, f.a, 1)
			waited := time.Since(began) // by the clock of the bubble
			if run <= event.MaxConflicts && waited > 0 || waited >= time.Second {
				t.Fatalf("run %d waits for %v", run, waited)
			}
			longest = max(longest, waited)
			one.increment("n")
			f.store.set("n", time.Duration(run).String())
			done(f.a, one.ok())
			f.h.AwaitWritten(t.Context(), t.Fatal)
			if d := f.store.deliveries[key{"h/0", 1}]; d.Status != event.StatusRetrying || d.Attempts != 0 || d.ErrorClass != event.ClassKVConflict {
				t.Fatalf("after run %d: %+v", run, d)
			}
		}
		if longest < time.Second/2 {
			t.Errorf("the longest wait is %v", longest)
		}

		f.log.publish(t, "y")
		f.log.publish(t, "x")
		two := f.begin(t, f.b, 2)
		f.none(t, f.a, "event 1 has its key")
		two.set("m", "1")
		done(f.b, two.ok())
		if n, err := f.d.RetryNow(t.Context(), "h/0", []uint64{1}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		f.store.set("n", "41")
		one := f.begin(t, f.a, 1)
		f.none(t, f.b, "event 1 runs alone")
		if wrong := f.h.Inconsistency(f.a, f.b); wrong != "" {
			t.Error(wrong)
		}
		one.increment("n")
		done(f.a, one.ok())
		three := f.begin(t, f.a, 3)
		three.increment("n")
		done(f.a, three.ok())
		f.awaitValue(t, "n", "43")
	})
}
