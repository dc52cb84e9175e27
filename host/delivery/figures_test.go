package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// TestLagCountsEventsThatAreNotFinal publishes, pauses, disables (closes), enables (opens),
// redrives and replays in random order. After each step the lag is the number of events
// that are not final for the handler, whether it is open or not.
func TestLagCountsEventsThatAreNotFinal(t *testing.T) {
	for seed := range uint64(60) {
		e, stop := newEngine(t)
		m := newMemory(t, e)
		f := &figures{t: t, m: m, random: rand.New(rand.NewPCG(7, seed)), waits: make(map[uint64]bool), again: make(map[uint64]bool), dead: make(map[uint64]bool)}
		m.set(func(_ string, a event.Attempt) event.Outcome {
			if f.dies(a.Seq) {
				return reject("", a)
			}
			return event.Outcome{}
		})
		f.openOrClose()
		for range 14 {
			f.step()
			f.check(fmt.Sprintf("seed %d, %v", seed, f.steps))
		}
		if f.h != nil {
			f.openOrClose()
		}
		m.close(t)
		stop()
	}
}

// figures is one handler and its expected state: last is the log's end, waits has the events
// that were published or redriven and are not final, again those of the last replay, and
// dead those that can be redriven.
type figures struct {
	t      *testing.T
	m      *memory
	random *rand.Rand
	h      *handler
	stop   func()
	last   uint64
	waits  map[uint64]bool
	again  map[uint64]bool
	dead   map[uint64]bool
	steps  []string
}

// dies reports whether the guest rejects the event.
func (f *figures) dies(seq uint64) bool { return seq%3 == 0 }

func (f *figures) openOrClose() {
	if f.h == nil {
		f.h, f.stop = f.m.open("h", delivery.Policy{Paused: true})
		return
	}
	f.stop()
	if err := f.h.Close(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	f.h = nil
}

func (f *figures) step() {
	ctx := f.t.Context()
	note := func(format string, args ...any) { f.steps = append(f.steps, fmt.Sprintf(format, args...)) }
	switch n := f.random.IntN(10); {
	case n < 3 || f.last == 0:
		k := 1 + f.random.IntN(9)
		note("publish %d", k)
		for range k {
			f.last++
			f.m.publish(fmt.Sprint("s", f.random.IntN(4)))
			f.waits[f.last] = true
		}
	case n < 5 && f.h != nil:
		note("run")
		f.h.Update(delivery.Policy{Key: bySubject})
		f.m.await("everything is final", func() bool { return f.lag() == 0 })
		f.h.Update(delivery.Policy{Key: bySubject, Paused: true})
		for _, set := range []map[uint64]bool{f.waits, f.again} {
			for seq := range set {
				f.dead[seq] = f.dies(seq)
			}
			clear(set)
		}
		// What is final may still be on its way to the store.
		f.m.await("it is written", func() bool { return f.h.Idle(ctx, func(args ...any) { f.t.Fatal(args...) }) })
	case n < 7:
		note("open or close")
		f.openOrClose()
	case n < 8:
		note("redrive")
		got, err := f.m.d.Redrive(ctx, event.DeadFilter{Handler: "h"})
		want := 0
		for seq, is := range f.dead {
			if is {
				want++
				f.waits[seq], f.dead[seq] = true, false
			}
		}
		if err != nil || got != want {
			f.t.Fatalf("%v: redriven %d, %v, want %d", f.steps, got, err, want)
		}
	default:
		from := 1 + f.random.Uint64N(f.last)
		to := from + f.random.Uint64N(f.last-from+1)
		note("replay %d to %d", from, to)
		if err := f.m.d.Replay(ctx, "h", from, to); err != nil {
			f.t.Fatalf("%v: %v", f.steps, err)
		}
		clear(f.again) // it replaces the previous replay
		for seq := from; seq <= to; seq++ {
			f.again[seq] = true
		}
	}
}

func (f *figures) lag() int {
	s, err := f.m.d.Figures(f.t.Context(), "h")
	if err != nil {
		f.t.Fatal(err)
	}
	if s.Open > s.Lag {
		f.t.Fatalf("%v: %d are open, and the lag is %d", f.steps, s.Open, s.Lag)
	}
	return int(s.Lag)
}

func (f *figures) check(what string) {
	f.t.Helper()
	want := len(f.waits)
	for seq := range f.again {
		if !f.waits[seq] {
			want++
		}
	}
	f.m.await(fmt.Sprintf("a lag of %d after %s", want, what), func() bool { return f.lag() == want })
}

// TestLagCountsRedrivenEventsOfBlockedFeeder: at once after the redrive, after a restart, and
// when the handler is closed.
func TestLagCountsRedrivenEventsOfBlockedFeeder(t *testing.T) {
	const events = 2500 // the feeder takes up 2,048 at a time
	m := onMemory(t)
	m.set(reject)
	h, stop := m.open("h", delivery.Policy{})
	subjects := make([]string, events)
	for i := range subjects {
		subjects[i] = fmt.Sprint("s", i)
	}
	m.publish(subjects...)
	lag := func() uint64 {
		t.Helper()
		f, err := m.d.Figures(t.Context(), "h")
		if err != nil {
			t.Fatal(err)
		}
		if f.Open != f.Lag || f.Lag > 0 && f.Oldest != 1 {
			t.Fatalf("%d are open from %d on, and the lag is %d", f.Open, f.Oldest, f.Lag)
		}
		return f.Lag
	}
	m.await("all are dead", func() bool {
		counts, err := m.engine.DeadCounts(t.Context())
		return err == nil && counts["h"] == events && h.Stats().Lag == 0
	})
	h.Update(delivery.Policy{Key: bySubject, Paused: true})
	if n, err := m.d.Redrive(t.Context(), event.DeadFilter{Handler: "h"}); n != events || err != nil {
		t.Fatalf("redriven %d, %v", n, err)
	}
	for range 100 { // while the feeder takes some up
		if got := lag(); got != events {
			t.Fatalf("open: the lag is %d, want %d", got, events)
		}
	}
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lag(); got != events {
		t.Errorf("closed: the lag is %d, want %d", got, events)
	}
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	h, stop = m.open("h", delivery.Policy{Paused: true})
	defer stop()
	if got := lag(); got != events {
		t.Errorf("opened again: the lag is %d, want %d", got, events)
	}
	h.Update(delivery.Policy{Key: bySubject})
	m.await("all are delivered", func() bool { return h.Idle(t.Context(), func(args ...any) { t.Fatal(args...) }) })
	if got := h.Stats().Lag; got != 0 {
		t.Errorf("in the end the lag is %d", got)
	}
}
