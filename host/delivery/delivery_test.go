package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFailingHandlerDelaysNoOther(t *testing.T) {
	f := setUp(t)
	good, bad := f.open(t, "good", delivery.Policy{}), f.open(t, "bad", delivery.Policy{Retry: spec.RetryPolicy{Backoff: time.Hour, MaxBackoff: time.Hour}})
	defer work(good, 2, ok)()
	defer work(bad, 1, func(event.Attempt) event.Outcome {
		return event.Outcome{Verdict: event.Failed, Class: event.ClassTrap, Message: "boom"}
	})()
	const n = 50
	for range n {
		f.log.publish(t, "o-1")
	}
	f.store.await(t, "all delivered to good", func() bool { return f.store.finals("good") == n })
	f.store.await(t, "bad waits for a retry", func() bool { return len(f.store.deliveries) >= n+1 })
	got, err := f.d.Deliveries(t.Context(), f.log.records[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Plugin != "bad" || got[0].Status != "retrying" || got[0].Attempts != 1 ||
		got[0].Error == nil || got[0].Error.Class != "trap" || got[0].Error.Message != "boom" {
		t.Errorf("bad: %+v", got)
	}
	if got[1].Plugin != "good" || got[1].Status != "ok" || string(got[1].Result) != `{"ok":true}` || got[1].Error != nil {
		t.Errorf("good: %+v", got[1])
	}
}

func TestAttemptsAreBoundedAndRejectIsFinal(t *testing.T) {
	tests := []struct {
		verdict  event.Verdict
		attempts int
	}{{event.Failed, 3}, {event.Retry, 3}, {event.Reject, 1}}
	for _, tt := range tests {
		f := setUp(t)
		h := f.open(t, "h", delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}})
		var seen []int
		stop := work(h, 1, func(a event.Attempt) event.Outcome {
			seen = append(seen, a.Number)
			return event.Outcome{Verdict: tt.verdict, Class: event.ClassTrap, Message: "no"}
		})
		seq := f.log.publish(t, "")
		f.store.await(t, "dead", func() bool { return f.store.deliveries[key{"h", seq}].Status == event.StatusDead })
		stop()
		if d := f.store.deliveries[key{"h", seq}]; d.Attempts != tt.attempts || len(seen) != tt.attempts || seen[len(seen)-1] != tt.attempts {
			t.Errorf("verdict %d: %d attempts recorded, seen %v; want %d", tt.verdict, d.Attempts, seen, tt.attempts)
		}
	}
}

func TestOrderPerKeyHoldsAcrossRetries(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 100, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}})
	var mu sync.Mutex
	finished := make(map[string][]uint64)
	otherDone := make(chan struct{})
	stop := work(h, 4, func(a event.Attempt) event.Outcome {
		subject := a.Event.Metadata().Subject
		if subject == "slow" {
			select {
			case <-otherDone: // the other key is through: let this one succeed
			default:
				return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		finished[subject] = append(finished[subject], a.Seq)
		if subject == "other" && len(finished[subject]) == 20 {
			close(otherDone)
		}
		return event.Outcome{}
	})
	for range 20 {
		f.log.publish(t, "slow")
		f.log.publish(t, "other")
	}
	f.store.await(t, "all final", func() bool {
		return f.store.finals("h") == 40 || f.store.deliveries[key{"h", 1}].Status == event.StatusDead
	})
	stop()
	for subject, seqs := range finished {
		if !slices.IsSorted(seqs) {
			t.Errorf("%s was handled in the order %v", subject, seqs)
		}
	}
}

func TestCancelledAttemptIsNotCounted(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.log.publish(t, "")
	quit := make(chan struct{})
	a, _ := h.Next(quit, nil)
	h.Done(a.Attempt, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	b, _ := h.Next(quit, nil)
	if b.Seq != a.Seq || b.Number != 1 {
		t.Errorf("got %d attempt %d, want %d attempt 1", b.Seq, b.Number, a.Seq)
	}
	h.Done(b.Attempt, event.Outcome{})
	h.Done(b.Attempt, event.Outcome{}) // a second time changes nothing
	f.store.await(t, "ok", func() bool { return f.store.deliveries[key{"h", 1}].Attempts == 1 })
}

func TestStatusBeforeOutcome(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.log.publish(t, "")
	quit := make(chan struct{})
	a, _ := h.Next(quit, nil)
	status := func() string {
		got, err := f.d.Deliveries(t.Context(), f.log.records[0])
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		return got[0].Status
	}
	if got := status(); got != "delivering" {
		t.Errorf("got %s, want delivering", got)
	}
	h.Done(a.Attempt, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	if got := status(); got != "pending" {
		t.Errorf("got %s, want pending", got)
	}
	b, _ := h.Next(quit, nil)
	f.store.mu.Lock()
	f.store.refuse = errors.New("disk full")
	f.store.mu.Unlock()
	h.Done(b.Attempt, event.Outcome{})
	if got := status(); got != "ok" {
		t.Errorf("an outcome that is not written yet: got %s, want ok", got)
	}
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	f.store.await(t, "written after the store recovered", func() bool { return f.store.finals("h") == 1 })
}

func TestFilteredEventsMoveCursorAndLagIsZero(t *testing.T) {
	f := setUp(t)
	f.store.took = func(uint64) bool { return false }
	h := f.open(t, "h", delivery.Policy{Takes: func(*event.Event) bool { return false }})
	for range 10 {
		f.log.publish(t, "")
	}
	f.store.await(t, "the cursor", func() bool { return f.store.cursors["handler/h"] == 10 })
	if s := h.Stats(); s.Lag != 0 || s.Delivered != 0 {
		t.Errorf("%+v", s)
	}
}

// TestNoEventIsLostInRestarts closes the dispatcher at arbitrary moments, while the store
// refuses some writes, and starts again from the store.
func TestNoEventIsLostInRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, s := newLog(), newStore()
		total := rapid.IntRange(1, 60).Draw(t, "events")
		keys := rapid.IntRange(1, 5).Draw(t, "keys")
		lives := rapid.IntRange(1, 4).Draw(t, "lives")
		failEvery := rapid.IntRange(2, 5).Draw(t, "failEvery")
		var mu sync.Mutex
		handled := make(map[uint64]int)
		last := make(map[string]uint64)
		calls := 0
		published := 0
		for life := range lives {
			d := delivery.New(delivery.Config{Store: s, Log: l})
			h := open(t, d, "h", delivery.Policy{
				Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 1000, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
			})
			var failure string
			stop := work(h, 3, func(a event.Attempt) event.Outcome {
				mu.Lock()
				defer mu.Unlock()
				calls++
				if calls%failEvery == 0 {
					return event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
				}
				subject := a.Event.Metadata().Subject
				if handled[a.Seq] == 0 && a.Seq < last[subject] {
					failure = fmt.Sprintf("%d of %s came first after %d", a.Seq, subject, last[subject])
				}
				handled[a.Seq]++
				last[subject] = max(last[subject], a.Seq)
				return event.Outcome{}
			})
			until := total
			if life < lives-1 {
				until = rapid.IntRange(published, total).Draw(t, "until")
			}
			for ; published < until; published++ {
				l.publish(t, fmt.Sprint(published%keys))
			}
			ctx := context.Background()
			if life == lives-1 {
				s.await(t, "every event final", func() bool { return s.finals("h") == total })
			} else if rapid.Bool().Draw(t, "crash") {
				// What the recorder has not written by now is forgotten.
				dead, cancel := context.WithCancel(ctx)
				cancel()
				ctx = dead
			}
			stop()
			_ = d.Close(ctx)
			if failure != "" {
				t.Fatal(failure)
			}
		}
		for seq := uint64(1); seq <= uint64(total); seq++ {
			if handled[seq] == 0 {
				t.Fatalf("event %d was never handled", seq)
			}
		}
		if s.wrong != "" {
			t.Fatal(s.wrong)
		}
	})
}
