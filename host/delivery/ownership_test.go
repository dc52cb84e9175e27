package delivery_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// twoHosts are two hosts with the handler h, of which none owns it yet.
type twoHosts struct {
	*cluster
	a, b   *delivery.Dispatcher
	ha, hb *delivery.Source
	logged *records
}

// records are log lines.
type records struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func hosts(t *testing.T, policy delivery.Policy) *twoHosts {
	t.Helper()
	c, stop := newCluster(t)
	t.Cleanup(stop)
	x := &twoHosts{cluster: c, logged: &records{}}
	x.a = c.host(delivery.Config{Logger: slog.New(slog.NewTextHandler(x.logged, nil)), Owner: func(string) string { return "b" }})
	x.b = c.host(delivery.Config{})
	closing(t, x.a)
	closing(t, x.b)
	policy.Key = bySubject
	x.ha, x.hb = open(t, x.a, "h", policy).Source, open(t, x.b, "h", policy).Source
	return x
}

// own gives the handler to a host.
func (x *twoHosts) own(t *testing.T, d *delivery.Dispatcher) *lease {
	t.Helper()
	l := x.take("h")
	if err := d.Own(t.Context(), "h", l); err != nil {
		t.Fatal(err)
	}
	return l
}

// await waits until ok returns true.
func await(t interface{ Fatalf(string, ...any) }, what string, ok func() bool) {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(testTimeout); !ok(); <-look.C {
		if time.Now().After(end) {
			t.Fatalf("timeout: waiting for: %s", what)
		}
	}
}

// next starts an attempt.
func next(t *testing.T, x *delivery.Lease) event.Attempt {
	t.Helper()
	taken, ok := x.NextBuffered()
	if !ok {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		if taken, ok = x.Next(ctx.Done(), nil); !ok {
			t.Fatal("no attempt starts")
		}
	}
	return taken.Attempt
}

func standby(s *delivery.Source) bool { return s.Condition().State == wire.Standby }

func TestHandlerWithoutTenureReadsNothing(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k", "k")
	if n := x.backlogsLoaded(); n > 1 { // of the first claim
		t.Errorf("%d backlogs were loaded", n)
	}
	if c := x.ha.Condition(); c.State != wire.Standby || c.Reason != "the host b runs it" || c.Since.IsZero() {
		t.Errorf("the condition is %+v", c)
	}
	if c := x.hb.Condition(); c.Reason != "no host runs it yet; its events wait" {
		t.Errorf("the condition is %+v", c)
	}
	if _, ok := x.ha.TryNext(); ok {
		t.Error("an attempt started")
	}
	if s := x.ha.Stats(); s.Open != 0 || s.Lag != 0 {
		t.Errorf("got %+v", s)
	}
	if f, err := x.a.Figures(t.Context(), "h"); err != nil || f.Lag != 2 || f.Oldest != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
	if !x.a.IsOpen("h") || x.a.Runs("h") {
		t.Error("it is not open, or runs")
	}
	if at, name := x.a.Stuck(); at != "" || name != "" {
		t.Errorf("it is stuck at %s", at)
	}
}

func TestMoveDeliversEachEventOnce(t *testing.T) {
	x := hosts(t, delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}})
	x.publish(t, "k", "k", "l")
	x.own(t, x.a)
	a := x.ha.Lease()
	first := next(t, a)
	if f, fenced := spec.FenceOf(a.Context()); !fenced || f != (spec.Fence{Unit: "h", Epoch: 1}) {
		t.Errorf("the attempt has the fence %+v", f)
	}
	given := make(chan error, 1)
	go func() { given <- x.a.Disown(t.Context(), "h") }()
	a.Done(&event.Outcome{Verdict: event.Retry, Class: event.ClassRetry})
	a.Close()
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	if !standby(x.ha) || x.a.Runs("h") {
		t.Error("it goes on")
	}
	if d := x.stored(t, "h", first.Seq); d.Status != event.StatusRetrying {
		t.Errorf("%d is %q", first.Seq, d.Status)
	}
	x.own(t, x.b)
	b := x.hb.Lease()
	defer b.Close()
	got := map[uint64]int{}
	for range 3 {
		taken := next(t, b)
		got[taken.Seq] = taken.Number
		b.Done(&event.Outcome{})
	}
	if got[first.Seq] != 2 || len(got) != 3 {
		t.Errorf("the attempts are %v", got)
	}
}

func TestTenureIsUsedByHandlerOpenedLater(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k")
	l := x.take("late")
	if err := x.a.Own(t.Context(), "late", l); err != nil {
		t.Fatal(err)
	}
	late := open(t, x.a, "late", delivery.Policy{}).Source
	x.publish(t, "k")
	s := late.Lease()
	next(t, s)
	s.Done(&event.Outcome{})
	s.Close()
	if err := late.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late = open(t, x.a, "late", delivery.Policy{}).Source; standby(late) {
		t.Error("the next version has no tenure")
	}
	if err := x.a.Disown(t.Context(), "late"); err != nil || !standby(late) {
		t.Errorf("%v, %+v", err, late.Condition())
	}
	if err := x.a.Disown(t.Context(), "late"); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// TestDisownCancelsAttempts: an attempt that does not end in time is cancelled, and is none.
func TestDisownCancelsAttempts(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k", "k")
	x.own(t, x.a)
	a := x.ha.Lease()
	next(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() { given <- x.a.Disown(ctx, "h") }()
	cancel()
	<-a.Context().Done()
	a.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	a.Close()
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	x.own(t, x.b)
	b := x.hb.Lease()
	defer b.Close()
	if taken := next(t, b); taken.Seq != 1 || taken.Number != 1 {
		t.Errorf("got %+v", taken)
	}
	b.Done(&event.Outcome{})
}

// TestLostTenureDiscardsOutcomes: when the lease ends, what is not written never is.
func TestLostTenureDiscardsOutcomes(t *testing.T) {
	x := hosts(t, delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 3}})
	x.engine.fate = func() (bool, bool) { return true, false } // nothing can be written
	x.publish(t, "k", "l")
	l := x.own(t, x.a)
	a, other := x.ha.Lease(), x.ha.Lease()
	first := next(t, a)
	a.Done(&event.Outcome{Verdict: event.Retry, Class: event.ClassRetry})
	a.Close()
	second := next(t, other)
	close(l.done)
	<-other.Context().Done()
	other.Done(&event.Outcome{})
	other.Close()
	await(t, "it is given up", func() bool { return standby(x.ha) })
	x.engine.mu.Lock()
	x.engine.fate = func() (bool, bool) { return false, false }
	x.engine.mu.Unlock()
	x.own(t, x.b)
	b := x.hb.Lease()
	defer b.Close()
	for range 2 {
		if taken := next(t, b); taken.Number != 1 || taken.Seq != first.Seq && taken.Seq != second.Seq {
			t.Errorf("got %+v", taken)
		}
		b.Done(&event.Outcome{})
	}
	await(t, "all are stored", func() bool {
		return x.stored(t, "h", 1).Status == event.StatusOK && x.stored(t, "h", 2).Status == event.StatusOK
	})
	if wrong := x.fault(); wrong != "" {
		t.Error(wrong)
	}
}

func TestFencedWriteGivesHandlerUp(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k", "k", "l")
	x.own(t, x.a)
	a, other := x.ha.Lease(), x.ha.Lease()
	next(t, a)
	next(t, other)
	x.own(t, x.b) // the host a does not notice
	a.Done(&event.Outcome{Children: []*event.Event{makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "c"})}})
	a.Close()
	<-other.Context().Done()
	other.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	other.Close()
	await(t, "it is given up", func() bool { return standby(x.ha) })
	if d := x.stored(t, "h", 1); d.Status != "" {
		t.Errorf("the outcome is stored: %+v", d)
	}
	if last := x.Last(); last != 3 {
		t.Errorf("the child is published: the last event is %d", last)
	}
	await(t, "it is logged", func() bool { return strings.Contains(x.logged.String(), "does not own the handler") })
	if text := x.logged.String(); strings.Count(text, "does not own the handler") != 1 || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log is %s", text)
	}
	if s := x.ha.Stats(); s.Open != 0 {
		t.Errorf("it has %d events", s.Open)
	}
	if err := x.ha.Close(t.Context()); err != nil { // does not wait for the child to be published
		t.Error(err)
	}
}

// TestRefusedHostCallGivesHandlerUp: the store refuses a write of a guest.
func TestRefusedHostCallGivesHandlerUp(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k")
	x.own(t, x.a)
	a := x.ha.Lease()
	next(t, a)
	x.take("h")
	a.Fenced()
	if a.Context().Err() == nil {
		t.Error("the attempt goes on")
	}
	a.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	a.Close()
	await(t, "it is given up", func() bool { return standby(x.ha) })
}

func TestNoAttemptBeginsWhileTenureIsInvalid(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	subjects := make([]string, 40)
	for i := range subjects {
		subjects[i] = string(rune('A' + i))
	}
	x.publish(t, subjects...)
	l := x.own(t, x.a)
	await(t, "the events are read", func() bool { return x.ha.Stats().Open == 40 })
	a := x.ha.Lease()
	defer a.Close()
	next(t, a) // with others, which are buffered
	a.Done(&event.Outcome{})
	l.invalid.Store(true)
	if taken, ok := begin(a); ok {
		t.Errorf("%d started", taken.Seq)
	}
	if taken, ok := x.ha.TryNext(); ok {
		t.Errorf("%d started", taken.Seq)
	}
	l.invalid.Store(false)
	next(t, a) // by itself
	a.Done(&event.Outcome{})
}

// TestSameHostOwnsHandlerAgain: the write of the former tenure, whose result is not known, does
// not concern the present one.
func TestSameHostOwnsHandlerAgain(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k")
	refused := make(chan struct{}, 100)
	x.engine.fate = func() (bool, bool) { refused <- struct{}{}; return true, false }
	l := x.own(t, x.a)
	a := x.ha.Lease()
	next(t, a)
	a.Done(&event.Outcome{})
	a.Close()
	<-refused // the recorder repeats the write
	close(l.done)
	await(t, "it is given up", func() bool { return standby(x.ha) })
	x.own(t, x.a)
	a = x.ha.Lease()
	next(t, a)
	x.engine.mu.Lock()
	x.engine.fate = func() (bool, bool) { return false, false }
	x.engine.mu.Unlock()
	a.Done(&event.Outcome{Result: []byte(`"second"`)})
	a.Close()
	await(t, "it is stored", func() bool { return x.stored(t, "h", 1).Result == `"second"` })
	if standby(x.ha) {
		t.Error("the handler was given up")
	}
}

func TestActionsAreForTheOwner(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k", "k")
	x.own(t, x.a)
	a := x.ha.Lease()
	defer a.Close()
	next(t, a)
	a.Done(&event.Outcome{Verdict: event.Reject, Class: event.ClassRejected})
	next(t, a)
	a.Done(&event.Outcome{})
	ctx, all := t.Context(), event.DeadFilter{Handler: "h"}
	for name, act := range map[string]func(d *delivery.Dispatcher) error{
		"redrive": func(d *delivery.Dispatcher) error { _, err := d.Redrive(ctx, all); return err },
		"purge":   func(d *delivery.Dispatcher) error { _, err := d.Purge(ctx, all); return err },
		"requeue": func(d *delivery.Dispatcher) error { _, err := d.Requeue(ctx, "h", []uint64{1}); return err },
		"retry":   func(d *delivery.Dispatcher) error { _, err := d.RetryNow(ctx, "h", []uint64{1}); return err },
		"skip":    func(d *delivery.Dispatcher) error { return d.SkipEvent(ctx, "h", 1) },
		"replay":  func(d *delivery.Dispatcher) error { return d.Replay(ctx, "h", 1, 0) },
	} {
		if err := act(x.b); !errors.Is(err, delivery.ErrNotOwned) {
			t.Errorf("%s on another host: got %v", name, err)
		}
	}
	if _, err := x.a.Redrive(ctx, event.DeadFilter{}); !errors.Is(err, delivery.ErrNotOwned) {
		t.Errorf("a redrive of all handlers: got %v", err)
	}
	if n, err := x.a.Redrive(ctx, all); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if taken := next(t, a); taken.Seq != 1 || taken.Number != 1 {
		t.Errorf("got %+v", taken)
	}
	a.Done(&event.Outcome{})
	replayed := make(chan error, 1)
	go func() { replayed <- x.a.Replay(ctx, "h", 2, 2) }()
	if err := <-replayed; err != nil {
		t.Fatal(err)
	}
	if taken := next(t, a); taken.Seq != 2 {
		t.Errorf("got %+v", taken)
	}
	a.Done(&event.Outcome{})
	x.take("h")
	if _, err := x.a.Redrive(ctx, all); !errors.Is(err, spec.ErrFenced) {
		t.Errorf("with a past epoch: got %v", err)
	}
}

// TestDisownInterruptsReplay: a replay that waits for an attempt is not stored, or has begun; its
// caller goes to the next owner.
func TestDisownInterruptsReplay(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	x.publish(t, "k", "k")
	x.own(t, x.a)
	a := x.ha.Lease()
	next(t, a)
	replayed, given := make(chan error, 1), make(chan error, 1)
	go func() { replayed <- x.a.Replay(t.Context(), "h", 1, 1) }()
	await(t, "the replay has suspended it", func() bool { return x.ha.Suspended() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go func() { given <- x.a.Disown(ctx, "h") }()
	<-a.Context().Done() // the replay has ended: it had locked the handler
	a.Done(&event.Outcome{})
	a.Close()
	if err := <-given; err != nil {
		t.Error(err)
	}
	if err := <-replayed; !errors.Is(err, delivery.ErrNotOwned) {
		t.Errorf("got %v", err)
	}
	if d := x.stored(t, "h", 1); d.Status != event.StatusOK {
		t.Errorf("got %+v", d)
	}
}

func TestOwnReturnsErrorOfBacklog(t *testing.T) {
	x := hosts(t, delivery.Policy{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.a.Own(ctx, "h", x.take("h")); err == nil {
		t.Fatal("it runs")
	}
	if !standby(x.ha) {
		t.Error("it runs")
	}
	x.own(t, x.a)
	if standby(x.ha) {
		t.Error("it does not run")
	}
}

// TestOneClaimWins: hosts that claim a position at once agree on one.
func TestOneClaimWins(t *testing.T) {
	c, stop := newCluster(t)
	t.Cleanup(stop)
	var first, second sync.WaitGroup
	first.Add(2)
	starts := make(chan uint64, 2)
	starts <- 7
	starts <- 3
	start := func(context.Context, string) (uint64, error) {
		first.Done()
		first.Wait() // both have found no position
		return <-starts, nil
	}
	for range 2 {
		d := c.host(delivery.Config{Start: start})
		closing(t, d)
		second.Go(func() {
			if err := d.Claim(t.Context(), "h"); err != nil {
				t.Error(err)
			}
		})
	}
	second.Wait()
	before, found, err := c.Cursor(t.Context(), "handler/h")
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	d := c.host(delivery.Config{})
	closing(t, d)
	if err := d.Claim(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	if after, _, _ := c.Cursor(t.Context(), "handler/h"); after != before {
		t.Errorf("the position moved from %d to %d", before, after)
	}
}

func TestOwnAfterCloseIsRefused(t *testing.T) {
	c, stop := newCluster(t)
	defer stop()
	d := c.host(delivery.Config{})
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Own(t.Context(), "h", c.take("h")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}
