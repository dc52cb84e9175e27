package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// counter is an atomic handler that counts its events with a plain get and set: all in one key,
// and each in a key of its own.
type counter struct {
	*engine
	guest
	events, workers int
	failEvery       int // the interval of failed runs; 0: none
	batch           int // 1: no batches
}

func newCounter(t interface{ Fatal(...any) }, e *engine, events, subjects int) *counter {
	c := &counter{engine: e, events: events, batch: 1}
	c.guest.get = func(key string) (string, bool) {
		value, found, err := e.KVGet(context.Background(), "h", key)
		if err != nil {
			t.Fatal(err)
		}
		return string(value), found
	}
	list := []*event.Event{makeEvent(t, event.Draft{Type: "other"})}
	for i := range events {
		list = append(list, makeEvent(t, event.Draft{Type: "parent", IdempotencyKey: fmt.Sprint(i), Subject: fmt.Sprint(i % subjects)}))
	}
	if _, err := e.Append(context.Background(), list[:1]); err != nil {
		t.Fatal(err)
	}
	if err := e.SetCursor(context.Background(), event.Cursor{Name: "handler/h", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Append(context.Background(), list[1:]); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *counter) open(t interface {
	Helper()
	Fatalf(string, ...any)
}) (*delivery.Dispatcher, *handler) {
	d := delivery.New(delivery.Config{Store: c.engine, Log: c.engine})
	return d, open(t, d, "h", delivery.Policy{
		Takes: parentsOnly, Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 1000, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
		Fair: &fair.Policy{By: "/id", Value: byID, Window: 8},
	})
}

// work takes attempts until quit is closed.
func (c *counter) work(h *handler, quit <-chan struct{}) {
	x := h.Lease()
	defer x.Close()
	for c.batch > 1 {
		list, ok := x.NextBatch(c.batch, 100*time.Microsecond, quit, nil)
		if !ok {
			return
		}
		r := c.start(x)
		results := make([]event.Outcome, len(list))
		for i, a := range list {
			c.count(r, a)
			results[i] = event.Outcome{Effects: r.e}
		}
		if c.fails() {
			failed := r.failed()
			for i := range results {
				results[i] = failed
			}
		}
		x.DoneBatch(results)
	}
	for c.batch <= 1 {
		taken, ok := x.NextBuffered()
		if !ok {
			if taken, ok = x.Next(quit, nil); !ok {
				return
			}
		}
		r := c.start(x)
		c.count(r, taken.Attempt)
		o := r.ok()
		if c.fails() {
			o = r.failed()
		}
		x.Done(&o)
	}
}

func (c *counter) fails() bool { return c.failEvery > 0 && rand.IntN(c.failEvery) == 0 }

func (c *counter) count(r *run, a event.Attempt) {
	r.increment("n")
	r.increment(fmt.Sprint("seq/", a.Seq))
	before, _ := r.get("last/" + a.Event.Metadata().Subject)
	if last, _ := strconv.Atoi(before); last >= int(a.Seq) {
		r.set("disorder", fmt.Sprintf("%d after %d", a.Seq, last))
	}
	r.set("last/"+a.Event.Metadata().Subject, fmt.Sprint(a.Seq))
}

// live runs the handler until everything is ok, or until the host crashes after some runs.
func (c *counter) live(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, crashAfter int64) {
	d, h := c.open(t)
	quit := make(chan struct{})
	var workers sync.WaitGroup
	for range c.workers {
		workers.Go(func() { c.work(h, quit) })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*testTimeout)
	defer cancel()
	from := c.runs.Load()
	for crashAfter < 0 && h.Stats().Lag > 0 || crashAfter >= 0 && c.runs.Load()-from < crashAfter && h.Stats().Lag > 0 {
		if ctx.Err() != nil {
			t.Fatalf("not all events were delivered: %+v", h.Stats())
		}
		h.AwaitWritten(ctx, t.Fatal)
	}
	if crashAfter >= 0 {
		cancel()
	}
	close(quit)
	workers.Wait()
	_ = d.Close(ctx)
	if n := c.unreleased.Load(); n != 0 {
		t.Fatalf("the effects of %d runs are not released", n)
	}
}

func (c *counter) check(t interface{ Fatalf(string, ...any) }) {
	if n, _ := c.guest.get("n"); n != fmt.Sprint(c.events) {
		t.Fatalf("it has counted %s events, want %d", n, c.events)
	}
	if disorder, found := c.guest.get("disorder"); found {
		t.Fatalf("out of order: %s", disorder)
	}
	for i := range c.events {
		if n, _ := c.guest.get(fmt.Sprint("seq/", i+2)); n != "1" {
			t.Fatalf("event %d has counted %s times", i+2, n)
		}
	}
}

// TestEffectsAreAppliedOnce counts events across failed runs, conflicts, writes that fail or
// whose answer is lost, and crashes: each event has counted once, in the order of its key.
func TestEffectsAreAppliedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, stop := newEngine(t)
		defer stop()
		c := newCounter(t, e, rapid.IntRange(1, 60).Draw(t, "events"), rapid.IntRange(1, 8).Draw(t, "subjects"))
		c.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		c.failEvery = rapid.SampledFrom([]int{0, 3, 10}).Draw(t, "interval of failed runs")
		c.batch = rapid.SampledFrom([]int{1, 1, 5}).Draw(t, "batch")
		fates := rapid.SliceOfN(rapid.IntRange(0, 2), 0, 3).Draw(t, "first writes: 1 fails before, 2 after")
		e.fate = func() (before, after bool) {
			if len(fates) == 0 {
				return false, false
			}
			fate := fates[0]
			fates = fates[1:]
			return fate == 1, fate == 2
		}
		for range rapid.IntRange(0, 2).Draw(t, "crashes") {
			c.live(t, rapid.Int64Range(0, 40).Draw(t, "runs before the crash"))
		}
		c.live(t, -1)
		c.check(t)
	})
}

// TestCounterOfOneKey increments one key 10,000 times with eight workers.
func TestCounterOfOneKey(t *testing.T) {
	e, stop := newEngine(t)
	defer stop()
	c := newCounter(t, e, 10_000, 50)
	c.workers = 8
	c.live(t, -1)
	c.check(t)
	t.Logf("%d events took %d runs", c.events, c.runs.Load())
}
