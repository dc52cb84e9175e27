package vet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// bench is a queue whose shares end when a test says so, with tickets by name.
type bench struct {
	t *testing.T
	queue
	tickets map[string]*ticket
	ctxs    map[string]context.Context
	now     time.Time
}

func newBench(t *testing.T, slots int) *bench {
	never := func(time.Duration, func()) *time.Timer { return time.NewTimer(1000 * time.Hour) }
	return &bench{t: t, queue: queue{slots: slots, after: never}, tickets: map[string]*ticket{}, ctxs: map[string]context.Context{},
		now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (b *bench) enter(name string, size, tries int) {
	b.tickets[name] = b.queue.enter(size, tries, b.now)
}

// wants compares the names of the tickets that run, and of those whose child is
// being stopped.
func (b *bench) wants(when, running, ending string) {
	b.t.Helper()
	var runs, ends []string
	for name, t := range b.tickets {
		if slices.Contains(b.running, t) {
			runs = append(runs, name)
			select {
			case <-t.ready:
			default:
				b.t.Errorf("%s: %s got no signal", when, name)
			}
		}
		if t.ending {
			ends = append(ends, name)
		}
	}
	slices.Sort(runs)
	slices.Sort(ends)
	if got, got2 := strings.Join(runs, " "), strings.Join(ends, " "); got != running || got2 != ending {
		b.t.Fatalf("%s: %q run and %q are being stopped; want %q and %q", when, got, got2, running, ending)
	}
}

func (b *bench) leave(name string) {
	b.tickets[name].leave()
	delete(b.tickets, name)
}

func TestSmallModulesComeFirst(t *testing.T) {
	b := newBench(t, 1)
	b.enter("first", 1, 0)
	b.enter("large", 4<<20, 0)
	b.enter("medium", 2<<20, 0)
	b.enter("small", 1<<10, 0)
	b.enter("again", 1, 1)
	for _, next := range []string{"first", "small", "medium", "large", "again"} {
		b.wants("next", next, "")
		b.leave(next)
	}
}

// TestLargeModulesAreNotStarved: after its delay, a large module precedes every later
// one.
func TestLargeModulesAreNotStarved(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int
		tries int
		after time.Duration
	}{
		{"1 MiB", 1 << 20, 0, 4 * time.Second},
		{"2.5 MiB", 5 << 19, 0, 10 * time.Second},
		{"64 MiB", 64 << 20, 0, 10 * time.Second},
		{"stopped once", 0, 1, 20 * time.Second},
		{"stopped three times", 64 << 20, 3, 70 * time.Second},
		{"stopped often", 64 << 20, 100, 70 * time.Second},
	} {
		for _, late := range []time.Duration{-1, 1} {
			b := newBench(t, 1)
			b.enter("runs", 0, 0)
			b.enter("waits", tt.size, tt.tries)
			b.now = b.now.Add(tt.after + late)
			b.enter("small", 0, 0)
			b.leave("runs")
			want := map[bool]string{true: "waits", false: "small"}[late > 0]
			b.wants(tt.name, want, "")
		}
	}
}

// TestNewModulesDoNotWaitForSlowOnes: eight modules that take for ever hold a new
// one up for no longer than a share.
func TestNewModulesDoNotWaitForSlowOnes(t *testing.T) {
	b := newBench(t, 2)
	for _, name := range []string{"b1", "b2", "b3", "b4"} {
		b.enter(name, 1000, 0)
	}
	b.wants("two slots", "b1 b2", "")
	b.expire(b.tickets["b1"])
	b.wants("its share is over and others wait", "b1 b2", "b1")
	b.tickets["b1"].requeue(true)
	b.wants("the next begins", "b2 b3", "")
	b.expire(b.tickets["b2"])
	b.tickets["b2"].requeue(true)
	b.expire(b.tickets["b3"])
	b.wants("nothing new waits", "b3 b4", "")
	b.enter("good", 1000, 0)
	b.wants("a new one comes when a share is over", "b3 b4", "b3")
	b.tickets["b3"].requeue(true)
	b.wants("it begins", "b4 good", "")
	b.leave("good")
	b.expire(b.tickets["b4"])
	b.wants("one that was stopped runs again", "b1 b4", "")
	b.leave("b4")
	b.wants("two run again, as nothing new waits", "b1 b2", "")
	b.enter("good", 1000, 0)
	b.wants("one of the two makes room, the other stays", "b1 b2", "b2")
	b.enter("good2", 1000, 0)
	b.wants("the other stays still", "b1 b2", "b2")
	b.tickets["b2"].requeue(true)
	b.wants("the new one begins", "b1 good", "")
	b.leave("good")
	b.wants("and the next", "b1 good2", "")
	b.leave("good2")
	b.wants("then those that were stopped", "b1 b3", "")
}

// TestStoppedModulesKeepAllSlotsButOne: however long they have waited, they do not
// take the last slot from a new one, and are not stopped in a circle.
func TestStoppedModulesKeepAllSlotsButOne(t *testing.T) {
	b := newBench(t, 3)
	for _, name := range []string{"r1", "r2", "r3", "r4"} {
		b.enter(name, 0, 3)
	}
	b.wants("nothing new", "r1 r2 r3", "")
	b.now = b.now.Add(time.Hour)
	b.enter("new", 64<<20, 0)
	b.wants("a new one", "r1 r2 r3", "r3")
	b.tickets["r3"].requeue(true)
	b.wants("it begins, though others are due", "new r1 r2", "")
	b.leave("r1")
	b.wants("its slot goes to one of them", "new r2 r4", "")
	one := newBench(t, 1)
	one.enter("r", 0, 1)
	one.enter("new", 0, 0)
	one.wants("with one slot it runs to its end", "r", "")
}

// TestStarvedModuleIsStillNew: a lack of CPU time costs a module no priority.
func TestStarvedModuleIsStillNew(t *testing.T) {
	b := newBench(t, 2)
	for _, name := range []string{"r1", "r2", "r3"} {
		b.enter(name, 0, 1)
	}
	b.enter("good", 3<<20, 0)
	b.tickets["r2"].requeue(true)
	b.wants("it runs", "good r1", "")
	for range 3 {
		b.tickets["good"].requeue(false)
		b.wants("and again", "good r1", "")
	}
}

func TestStoppedChildKnowsWhy(t *testing.T) {
	b := newBench(t, 1)
	b.enter("a", 0, 0)
	ctx, err := b.tickets["a"].wait(t.Context())
	if err != nil || ctx.Err() != nil {
		t.Fatal(err)
	}
	b.expire(b.tickets["a"])
	if ctx.Err() != nil {
		t.Error("it was stopped though none waits")
	}
	b.enter("b", 0, 0)
	if !errors.Is(context.Cause(ctx), errPreempted) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
	b.tickets["a"].requeue(true)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.tickets["a"].wait(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// One that is stopped before it asks learns it then.
	b.expire(b.tickets["b"])
	b.enter("c", 0, 0)
	ctx, err = b.tickets["b"].wait(t.Context())
	if err != nil || !errors.Is(context.Cause(ctx), errPreempted) {
		t.Errorf("%v, the cause is %v", err, context.Cause(ctx))
	}
	for _, name := range []string{"a", "b", "c"} {
		b.leave(name)
	}
	if len(b.running)+len(b.waiting) > 0 {
		t.Errorf("%d run and %d wait", len(b.running), len(b.waiting))
	}
}

func TestShareGrowsWithSize(t *testing.T) {
	for size, want := range map[int]time.Duration{0: time.Second, 1 << 20: 2 * time.Second, 64 << 20: 65 * time.Second} {
		if got := share(size); got != want {
			t.Errorf("%d bytes: %v, want %v", size, got, want)
		}
	}
}
