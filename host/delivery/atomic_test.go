package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// atomicFixture is an atomic handler with two leases.
type atomicFixture struct {
	fixture
	*guest
	h    *handler
	a, b *delivery.Lease
}

func setUpAtomic(t *testing.T) atomicFixture {
	return setUpAtomicWith(t, delivery.Policy{Key: bySubject})
}

func setUpAtomicWith(t *testing.T, policy delivery.Policy) atomicFixture {
	return setUpAtomicUnit(t, "h", delivery.Config{}, policy)
}

func setUpAtomicUnit(t *testing.T, unit string, cfg delivery.Config, policy delivery.Policy) atomicFixture {
	f := atomicFixture{fixture: setUpWith(t, cfg)}
	f.guest = &guest{get: f.store.get}
	f.h = f.open(t, unit, policy)
	f.a, f.b = f.h.Lease(), f.h.Lease()
	t.Cleanup(func() {
		f.a.Close()
		f.b.Close()
		f.h.AwaitWritten(context.Background(), t.Fatal)
		if n := f.unreleased.Load(); n != 0 {
			t.Errorf("the effects of %d runs are not released", n)
		}
	})
	return f
}

// begin starts an attempt at the event with this Seq.
func (f atomicFixture) begin(t *testing.T, x *delivery.Lease, seq uint64) *run {
	t.Helper()
	return f.beginAttempt(t, x, seq, 1)
}

func (f atomicFixture) beginAttempt(t *testing.T, x *delivery.Lease, seq uint64, attempt int) *run {
	t.Helper()
	taken, ok := x.Next(timedOut(t), nil)
	if !ok || taken.Seq != seq || taken.Number != attempt {
		t.Fatalf("got event %d, attempt %d (%v), want attempt %d at %d", taken.Seq, taken.Number, ok, attempt, seq)
	}
	return f.start(x)
}

// timedOut is closed when a wait of the test hangs.
func timedOut(t *testing.T) <-chan struct{} {
	stop := make(chan struct{})
	timer := time.AfterFunc(testTimeout, func() { close(stop) })
	t.Cleanup(func() { timer.Stop() })
	return stop
}

func (f atomicFixture) none(t *testing.T, x *delivery.Lease, why string) {
	t.Helper()
	if taken, ok := x.Next(nil, elapsed); ok {
		t.Fatalf("event %d started, although %s", taken.Seq, why)
	}
}

func done(x *delivery.Lease, o event.Outcome) { x.Done(&o) }

func (f atomicFixture) awaitValue(t *testing.T, key, want string) {
	t.Helper()
	f.store.await(t, key+" is "+want, func() bool { return f.store.kv[key] == want })
}

// refuse has the store refuse writes, or accept them again.
func (s *store) setRefuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

var errFull = errors.New("disk full")

// TestAttemptReadsUncommittedWrites: an attempt reads what a finished one has written, before
// the store has it, and both are committed in order.
func TestAttemptReadsUncommittedWrites(t *testing.T) {
	f := setUpAtomic(t)
	f.store.setRefuse(errFull)
	f.log.publish(t, "x")
	f.log.publish(t, "y")
	first := f.begin(t, f.a, 1)
	first.increment("n")
	done(f.a, first.ok())
	second := f.begin(t, f.a, 2)
	if value, found := second.get("n"); value != "1" || !found {
		t.Fatalf("the second reads %q (%v)", value, found)
	}
	second.set("n", "2")
	second.set("m", "1")
	done(f.a, second.ok())
	if list := f.a.PendingKeys("", "", 10); len(list) != 2 || list[0].Key != "m" || string(list[1].Value) != "2" {
		t.Errorf("pending: %+v", list)
	}
	f.store.setRefuse(nil)
	f.awaitValue(t, "n", "2")
	f.h.AwaitWritten(t.Context(), t.Fatal)
	if _, pending := f.a.Pending("n"); pending || len(f.a.PendingKeys("", "", 10)) != 0 {
		t.Error("writes are pending that the store shows")
	}
	if s := f.h.Stats(); s.Delivered != 2 || s.Failed != 0 || s.Lag != 0 {
		t.Errorf("got %+v", s)
	}
}

// TestCertainConflictRunsAgainAtOnce: of two attempts that have read the same value the
// second to finish runs again at once, before younger events. It counts as no attempt, and
// nothing of it is stored.
func TestCertainConflictRunsAgainAtOnce(t *testing.T) {
	f := setUpAtomic(t)
	for _, subject := range []string{"x", "y", "z"} {
		f.log.publish(t, subject)
	}
	f.awaitOpen(t, f.h, 3)
	first, second := f.begin(t, f.a, 1), f.begin(t, f.b, 2)
	first.increment("n")
	second.increment("n")
	f.store.setRefuse(errFull)
	done(f.a, first.ok())
	done(f.b, second.ok())
	list, err := f.d.Deliveries(t.Context(), f.log.at(2))
	if err != nil || len(list) != 1 || list[0].Status != "retrying" || list[0].Attempts != 0 || list[0].Error == nil ||
		list[0].Error.Class != "kv_conflict" || !strings.Contains(list[0].Error.Message, "run 1 of 8") || len(list[0].History) != 0 {
		t.Errorf("it is shown as %+v, %v", list, err)
	}
	second = f.begin(t, f.b, 2)
	second.increment("n")
	done(f.b, second.ok())
	f.store.setRefuse(nil)
	f.awaitValue(t, "n", "2")
	third := f.begin(t, f.b, 3)
	third.increment("n")
	done(f.b, third.ok())
	f.awaitValue(t, "n", "3")
	f.h.AwaitWritten(t.Context(), t.Fatal)
	if s := f.h.Stats(); s.Delivered != 3 || s.Failed != 0 {
		t.Errorf("got %+v", s)
	}
	if counts := f.d.Measure("h").Versions[0].Counts; counts.Conflicts != 1 || counts.Retries != 0 || counts.Duration.Count() != 3 {
		t.Errorf("got %d conflicts, %d retries, %d attempts", counts.Conflicts, counts.Retries, counts.Duration.Count())
	}
}

// TestConflictInStoreRunsAgain: a value that a person changed while an attempt ran is a
// conflict that the store finds. The next event of the key waits for the second run.
func TestConflictInStoreRunsAgain(t *testing.T) {
	f := setUpAtomic(t)
	f.log.publish(t, "x")
	f.log.publish(t, "x")
	first := f.begin(t, f.a, 1)
	first.increment("n")
	f.store.set("n", "10")
	done(f.a, first.ok())
	f.store.await(t, "the conflict is stored", func() bool {
		d := f.store.deliveries[key{"h", 1}]
		return d.Status == event.StatusRetrying && d.Attempts == 0 && d.ErrorClass == event.ClassKVConflict
	})
	again := f.begin(t, f.a, 1)
	f.none(t, f.b, "the one before it in its key runs again")
	again.increment("n")
	done(f.a, again.ok())
	f.awaitValue(t, "n", "11")
	second := f.begin(t, f.a, 2)
	second.increment("n")
	done(f.a, second.ok())
	f.awaitValue(t, "n", "12")
}

// TestKeyWaitsForCommit: the next event of a key starts when the effects of the one before are
// written; until then that one is shown as delivering and cannot be skipped.
func TestKeyWaitsForCommit(t *testing.T) {
	f := setUpAtomic(t)
	f.log.publish(t, "x")
	f.log.publish(t, "x")
	f.awaitOpen(t, f.h, 2)
	f.store.setRefuse(errFull)
	first := f.begin(t, f.a, 1)
	first.increment("n")
	done(f.a, first.ok())
	f.none(t, f.a, "the one before it in its key is not written")
	list, err := f.d.Deliveries(t.Context(), f.log.at(1))
	if err != nil || len(list) != 1 || list[0].Status != "delivering" || list[0].Result != nil {
		t.Errorf("it is shown as %+v, %v", list, err)
	}
	if err := f.d.SkipEvent(t.Context(), "h", 1); !fault.Is(err, fault.Conflict) {
		t.Errorf("skip: %v", err)
	}
	if wrong := f.h.Inconsistency(f.a, f.b); wrong != "" {
		t.Error(wrong)
	}
	f.store.setRefuse(nil)
	second := f.begin(t, f.a, 2)
	second.increment("n")
	done(f.a, second.ok())
	f.awaitValue(t, "n", "2")
}

// TestRunsAloneAfterConflicts: after event.MaxConflicts runs in conflict, a delivery waits until
// no attempt is open and everything is written, and nothing else starts until it has ended.
func TestRunsAloneAfterConflicts(t *testing.T) {
	f := setUpAtomic(t)
	for _, subject := range []string{"x", "y", "z"} {
		f.log.publish(t, subject)
	}
	f.awaitOpen(t, f.h, 3)
	one := f.begin(t, f.a, 1)
	for n := range event.MaxConflicts {
		one.increment("n")
		f.store.set("n", fmt.Sprint(10*n))
		if n == event.MaxConflicts-1 {
			break
		}
		done(f.a, one.ok())
		f.h.AwaitWritten(t.Context(), t.Fatal)
		one = f.begin(t, f.a, 1)
	}
	two := f.begin(t, f.b, 2)
	done(f.a, one.ok())
	f.store.await(t, "the last conflict is stored", func() bool { return f.store.deliveries[key{"h", 1}].ErrorClass == event.ClassKVConflict })
	f.h.AwaitWritten(t.Context(), t.Fatal)
	f.none(t, f.a, "event 1 waits to run alone, and 2 is open")
	f.store.setRefuse(errFull)
	two.set("m", "1")
	done(f.b, two.ok())
	f.none(t, f.b, "event 1 waits to run alone, and 2 is not written")
	f.store.setRefuse(nil)
	one = f.begin(t, f.a, 1)
	f.none(t, f.b, "event 1 runs alone")
	if wrong := f.h.Inconsistency(f.a, f.b); wrong != "" {
		t.Error(wrong)
	}
	one.increment("n")
	done(f.a, one.ok())
	three := f.begin(t, f.b, 3)
	three.increment("n")
	done(f.b, three.ok())
	f.awaitValue(t, "n", "72")
}

// TestLoneRunsInConflictAreAFailedAttempt: a delivery that is in conflict also when it runs alone
// fails after event.MaxLoneConflicts of these runs, is retried, and becomes a dead letter.
func TestLoneRunsInConflictAreAFailedAttempt(t *testing.T) {
	const attempts = 2
	f := setUpAtomicWith(t, delivery.Policy{Key: bySubject,
		Retry: spec.RetryPolicy{MaxAttempts: attempts, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}})
	f.log.publish(t, "x")
	f.awaitOpen(t, f.h, 1)
	values := 0
	for attempt := 1; attempt <= attempts; attempt++ {
		for range event.MaxConflicts + event.MaxLoneConflicts {
			one := f.beginAttempt(t, f.a, 1, attempt)
			one.increment("n")
			values++
			f.store.set("n", fmt.Sprint(1000*values))
			done(f.a, one.ok())
			f.h.AwaitWritten(t.Context(), t.Fatal)
		}
		f.store.await(t, "a failed attempt is stored", func() bool {
			d := f.store.deliveries[key{"h", 1}]
			return d.Attempts == attempt && d.ErrorClass == event.ClassKVConflict && strings.Contains(d.ErrorMessage, "8 ran alone") &&
				(d.Status == event.StatusDead) == (attempt == attempts)
		})
		if wrong := f.h.Inconsistency(f.a, f.b); wrong != "" {
			t.Error(wrong)
		}
	}
	f.log.publish(t, "y")
	two := f.begin(t, f.b, 2)
	two.increment("n")
	done(f.b, two.ok())
	f.awaitValue(t, "n", fmt.Sprint(1000*values+1))
}

// TestCancelledLoneRunComesAgainAlone: a run that the host stops comes again alone.
func TestCancelledLoneRunComesAgainAlone(t *testing.T) {
	f := setUpAtomic(t)
	f.log.publish(t, "x")
	f.log.publish(t, "y")
	f.awaitOpen(t, f.h, 2)
	for n := range event.MaxConflicts {
		one := f.begin(t, f.a, 1)
		one.increment("n")
		f.store.set("n", fmt.Sprint(10*n))
		done(f.a, one.ok())
		f.h.AwaitWritten(t.Context(), t.Fatal)
	}
	one := f.begin(t, f.a, 1)
	one.failed()
	done(f.a, event.Outcome{Class: event.ClassCancelled, Verdict: event.Failed})
	one = f.begin(t, f.a, 1)
	f.none(t, f.b, "event 1 runs alone")
	done(f.a, one.ok())
	two := f.begin(t, f.b, 2)
	done(f.b, two.ok())
}

// TestSkipOfLoneRunFreesOthers: when an operator skips the event that waits to run alone, others
// start.
func TestSkipOfLoneRunFreesOthers(t *testing.T) {
	f := setUpAtomic(t)
	f.log.publish(t, "x")
	f.log.publish(t, "y")
	f.awaitOpen(t, f.h, 2)
	one := f.begin(t, f.a, 1)
	for n := range event.MaxConflicts - 1 {
		one.increment("n")
		f.store.set("n", fmt.Sprint(10*n))
		done(f.a, one.ok())
		f.h.AwaitWritten(t.Context(), t.Fatal)
		one = f.begin(t, f.a, 1)
	}
	two := f.begin(t, f.b, 2)
	one.increment("n")
	f.store.set("n", "-1")
	done(f.a, one.ok())
	f.h.AwaitWritten(t.Context(), t.Fatal)
	f.log.publish(t, "z")
	f.awaitOpen(t, f.h, 3)
	f.none(t, f.a, "event 1 waits to run alone")
	if err := f.d.SkipEvent(t.Context(), "h", 1); err != nil {
		t.Fatal(err)
	}
	three := f.begin(t, f.a, 3)
	done(f.a, three.ok())
	done(f.b, two.ok())
}

// TestRefusedEffectsEndAsDeadLetter: the class of the store's refusal is counted and shown.
func TestRefusedEffectsEndAsDeadLetter(t *testing.T) {
	f := setUpAtomic(t)
	f.store.children["h/own"] = makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "h/own", Data: []byte(`1`)})
	f.log.publish(t, "x")
	f.log.publish(t, "x")
	one := f.begin(t, f.a, 1)
	one.increment("n")
	o := one.ok()
	o.Children = []*event.Event{makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "h/own", Data: []byte(`2`)})}
	done(f.a, o)
	two := f.begin(t, f.a, 2)
	done(f.a, two.ok())
	f.h.AwaitWritten(t.Context(), t.Fatal)
	counts := f.d.Measure("h").Versions[0].Counts
	if counts.OK != 1 || counts.Dead != 1 || counts.Failures[event.ClassConflict] != 1 || counts.Conflicts != 0 {
		t.Errorf("got %+v", counts)
	}
	if d := f.store.deliveries[key{"h", 1}]; d.Status != event.StatusDead {
		t.Errorf("stored: %+v", d)
	}
}

// TestUnwrittenEffectsAreReleasedOnClose: a handler that closes while the store refuses writes
// drops the effects, and releases their memory once.
func TestUnwrittenEffectsAreReleasedOnClose(t *testing.T) {
	f := setUpAtomic(t)
	f.log.publish(t, "x")
	f.log.publish(t, "y")
	f.store.setRefuse(fault.New(fault.Exhausted, "disk full"))
	for seq := range uint64(2) {
		one := f.begin(t, f.a, seq+1)
		one.set(fmt.Sprint(seq), "1")
		done(f.a, one.ok())
	}
	if err := f.h.Close(t.Context()); !fault.Is(err, fault.Exhausted) {
		t.Errorf("close: %v", err)
	}
	if n := f.unreleased.Load(); n != 0 {
		t.Errorf("the effects of %d runs are not released", n)
	}
	f.store.setRefuse(nil)
	f.h = f.open(t, "h", delivery.Policy{Key: bySubject})
	f.a.Close()
	f.a = f.h.Lease()
	f.log.publish(t, "z")
	for last := uint64(0); last < 3; { // the first two run again unless the recorder had them
		taken, ok := f.a.Next(timedOut(t), nil)
		if !ok || taken.Seq <= last {
			t.Fatalf("got event %d after %d", taken.Seq, last)
		}
		last = taken.Seq
		one := f.start(f.a)
		one.set(fmt.Sprint(last-1), "1")
		done(f.a, one.ok())
	}
	for seq := range 3 {
		f.awaitValue(t, fmt.Sprint(seq), "1")
	}
}
