package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// engine is the memory engine for a dispatcher. Some of its writes fail: before they are
// done, or after, so that only the response is lost.
type engine struct {
	*bus.Memory
	*bus.Bus
	mu   sync.Mutex
	fate func() (before, after bool)
}

func (e *engine) Subscribe(from uint64) delivery.Reader { return e.Bus.Subscribe(from) }
func (e *engine) Last() uint64                          { return e.Memory.Last() }
func (e *engine) Close() error                          { return e.Memory.Close() }

func (e *engine) SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, stored []event.Delivery, cursors []event.Cursor) (event.Saved, []spec.Fence, error) {
	e.mu.Lock()
	before, after := e.fate()
	e.mu.Unlock()
	if before {
		return event.Saved{}, nil, errors.New("not written")
	}
	saved, fenced, err := e.Memory.SaveDeliveries(ctx, fences, successes, stored, cursors)
	if after {
		return event.Saved{}, nil, errors.New("written, and the answer lost")
	}
	return saved, fenced, err
}

func newEngine(t interface{ Fatal(...any) }) (e *engine, stop func()) {
	m := bus.NewMemory(bus.MemoryConfig{})
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	return &engine{Memory: m, Bus: b, fate: func() (bool, bool) { return false, false }}, func() {
		b.Close()
		_ = m.Close()
	}
}

func parentsOnly(ev *event.Event) bool { return ev.Type() == "parent" }

func makeEvent(t interface{ Fatal(...any) }, d event.Draft) *event.Event {
	ev, err := event.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// childrenOf returns the children that a guest emits for an attempt: like in the sandbox,
// their keys derive from the parent, and their ids are new.
func childrenOf(t interface{ Fatal(...any) }, a event.Attempt, n int) []*event.Event {
	list := make([]*event.Event, n)
	for i := range list {
		list[i] = makeEvent(t, event.Draft{Type: "child", IdempotencyKey: fmt.Sprintf("h/%s/%d", a.Event.ID(), i), Data: fmt.Appendf(nil, "%d", i)})
	}
	return list
}

// families are parents with children, and the faults of their deliveries.
type families struct {
	*engine
	parents, each int
	failEvery     int // the interval of failed attempts
	mu            sync.Mutex
	attempts      int
}

// newFamilies publishes the parents, from event 2 on.
func newFamilies(t *rapid.T, e *engine) *families {
	f := &families{engine: e, parents: rapid.IntRange(1, 20).Draw(t, "parents"), each: rapid.IntRange(1, 4).Draw(t, "children of each"),
		failEvery: rapid.IntRange(2, 5).Draw(t, "interval of failed attempts")}
	fates := rapid.SliceOfN(rapid.IntRange(0, 2), 0, 3).Draw(t, "first writes: 1 fails before, 2 after")
	e.fate = func() (before, after bool) {
		if len(fates) == 0 {
			return false, false
		}
		fate := fates[0]
		fates = fates[1:]
		return fate == 1, fate == 2
	}
	events := []*event.Event{makeEvent(t, event.Draft{Type: "other"})}
	for i := range f.parents {
		events = append(events, makeEvent(t, event.Draft{Type: "parent", IdempotencyKey: fmt.Sprint(i), Subject: fmt.Sprint(i % 3)}))
	}
	if _, err := e.Append(t.Context(), events[:1]); err != nil {
		t.Fatal(err)
	}
	if err := e.SetCursor(t.Context(), event.Cursor{Name: "handler/h", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Append(t.Context(), events[1:]); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestChildrenArePublishedOnce delivers events repeatedly: after failed attempts, failed
// writes of which some were done, and crashes. In the end each successful parent has its
// children once.
func TestChildrenArePublishedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, stop := newEngine(t)
		defer stop()
		f := newFamilies(t, e)
		lives := rapid.IntRange(1, 3).Draw(t, "lives")
		for life := range lives {
			f.live(t, life == lives-1)
		}
		f.check(t)
	})
}

// live delivers events until a close or a crash, in the last life all of them.
func (f *families) live(t *rapid.T, last bool) {
	judged := make(chan struct{}, 1)
	d := delivery.New(delivery.Config{Store: f.engine, Log: f.engine, Observer: func(event.Record, event.Delivery) {
		select {
		case judged <- struct{}{}:
		default:
		}
	}})
	h := open(t, d, "h", delivery.Policy{
		Takes: parentsOnly, Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 1000, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
	})
	stop := work(h, 3, func(a event.Attempt) event.Outcome {
		f.mu.Lock()
		defer f.mu.Unlock()
		o := event.Outcome{Children: childrenOf(t, a, f.each)}
		if f.attempts++; f.attempts%f.failEvery == 0 {
			o.Verdict, o.Class = event.Failed, event.ClassTrap
		}
		return o
	})
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if !last && rapid.Bool().Draw(t, "crash") {
		cancel() // unwritten outcomes are lost
	}
	for last && oldest(t, d) <= uint64(1+f.parents) {
		select {
		case <-judged:
		case <-ctx.Done():
			t.Fatal("not all events were delivered")
		}
	}
	stop()
	_ = d.Close(ctx)
}

// check checks that every parent is ok and each of its children was published once.
func (f *families) check(t *rapid.T) {
	records, err := f.Read(t.Context(), 1, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, rec := range records {
		if rec.Event.Type() == "child" {
			count[rec.Event.Metadata().IdempotencyKey]++
		}
	}
	if len(count) != f.parents*f.each {
		t.Fatalf("%d different children of %d parents, want %d of each", len(count), f.parents, f.each)
	}
	for key, n := range count {
		if n != 1 {
			t.Fatalf("%s was published %d times", key, n)
		}
	}
	for i := range f.parents {
		stored, err := f.Memory.Deliveries(t.Context(), uint64(2+i))
		if err != nil || len(stored) != 1 || stored[0].Status != event.StatusOK {
			t.Fatalf("parent %d: got %+v, %v", i, stored, err)
		}
	}
}

// TestConflictingChildIsDeadLetter: a key that was used with other content makes the
// delivery a dead letter with the reason; later events are delivered.
func TestConflictingChildIsDeadLetter(t *testing.T) {
	e, stop := newEngine(t)
	defer stop()
	taken := makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "h/own", Data: []byte(`"other"`)})
	if _, err := e.Append(t.Context(), []*event.Event{taken}); err != nil {
		t.Fatal(err)
	}
	observed := make(chan event.Delivery, 16)
	d := delivery.New(delivery.Config{Store: e, Log: e, Observer: func(_ event.Record, d event.Delivery) { observed <- d }})
	defer func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	h := open(t, d, "h", delivery.Policy{Takes: parentsOnly, Key: bySubject})
	for _, key := range []string{"one", "two"} {
		if _, err := e.Append(t.Context(), []*event.Event{makeEvent(t, event.Draft{Type: "parent", IdempotencyKey: key, Subject: "same"})}); err != nil {
			t.Fatal(err)
		}
	}
	defer work(h, 1, func(a event.Attempt) event.Outcome {
		o := event.Outcome{Result: []byte(`1`), Children: childrenOf(t, a, 1)}
		if a.Seq == 2 {
			o.Children = append(o.Children, makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "h/own"}))
		}
		return o
	})()
	last := make(map[uint64]event.Delivery)
	for last[2].Status != event.StatusDead || last[3].Status != event.StatusOK {
		select {
		case d := <-observed:
			last[d.Seq] = d
			if d.Seq == 2 && d.Status == event.StatusOK {
				t.Error("a delivery that the store refuses was observed as ok")
			}
		case <-time.After(testTimeout):
			t.Fatalf("got %+v", last)
		}
	}
	if got := last[2]; got.ErrorClass != event.ClassConflict || !strings.Contains(got.ErrorMessage, `"h/own" was used before`) || got.Result != "" {
		t.Errorf("got %+v", got)
	}
	dead, _, err := e.DeadLetters(t.Context(), event.DeadFilter{Handler: "h"}, "", 10)
	if err != nil || len(dead) != 1 || dead[0].Seq != 2 {
		t.Errorf("dead letters: got %+v, %v", dead, err)
	}
	h.AwaitWritten(t.Context(), t.Fatal) // parents count once they are written
	if s := h.Stats(); s.Delivered != 1 || s.Failed != 1 {
		t.Errorf("got %+v", s)
	}
	records, err := e.Read(t.Context(), 1, 100)
	if err != nil || len(records) != 4 { // taken, two parents, the child of the second
		t.Errorf("the log has %d events, %v", len(records), err)
	}
}

// TestUnwrittenChildrenDelayAttempts: while the store refuses writes, the children in memory
// are bounded.
func TestUnwrittenChildrenDelayAttempts(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.store.mu.Lock()
	f.store.refuse = errors.New("disk full")
	f.store.mu.Unlock()
	child := makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "k", Data: []byte(`"` + strings.Repeat("x", 1<<20-1000) + `"`)})
	const bound = 64<<20/(1<<20-1000) + 1
	for range bound + 1 {
		f.log.publish(t, "")
	}
	quit, retire := make(chan struct{}), make(chan struct{})
	for range bound {
		a, _ := h.Next(quit, retire)
		h.Done(a.Attempt, event.Outcome{Children: []*event.Event{child}})
	}
	got := make(chan bool)
	next := func() { _, ok := h.Next(quit, retire); got <- ok }
	go next()
	retire <- struct{}{} // taken by one that waits
	if <-got {
		t.Fatal("an attempt started while too many children wait")
	}
	go next()
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	if !<-got {
		t.Error("no attempt started after the children were written")
	}
}
