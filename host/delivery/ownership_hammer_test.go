package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// executions are the attempts of all hosts, as guests would log them outside.
type executions struct {
	mu    sync.Mutex
	busy  map[string]string // by handler and key: the event whose attempt is open
	last  map[string]uint64 // by handler and key: the last success
	times map[key]int       // successes
	done  map[string]int    // by handler: events
	wrong string
}

func newExecutions() *executions {
	return &executions{busy: make(map[string]string), last: make(map[string]uint64), times: make(map[key]int), done: make(map[string]int)}
}

// run is an attempt: it succeeds, or asks for another one.
func (e *executions) run(handler string, a event.Attempt) event.Outcome {
	k := handler + "/" + bySubject(a.Event)
	name := fmt.Sprint(a.Seq)
	e.mu.Lock()
	if other := e.busy[k]; other != "" && e.wrong == "" {
		e.wrong = fmt.Sprintf("%s: the attempts at %s and %s overlap", k, other, name)
	}
	if last := e.last[k]; last >= a.Seq && e.wrong == "" {
		e.wrong = fmt.Sprintf("%s: %d is delivered after %d", k, a.Seq, last)
	}
	e.busy[k] = name
	e.mu.Unlock()
	retry := a.Number < 3 && rand.IntN(10) == 0
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, k)
	if retry {
		return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
	}
	e.last[k] = a.Seq
	if e.times[key{handler, a.Seq}]++; e.times[key{handler, a.Seq}] == 1 {
		e.done[handler]++
	}
	return event.Outcome{}
}

// TestHandoversUnderLoad moves handlers between hosts all the time while their instances work:
// each event is delivered once, in the order of its key.
func TestHandoversUnderLoad(t *testing.T) {
	const events, handlers, moves = 3000, 3, 30
	c, stop := newCluster(t)
	t.Cleanup(stop)
	e := newExecutions()
	var list []*delivery.Dispatcher
	for range 3 {
		d := c.host(delivery.Config{})
		closing(t, d)
		list = append(list, d)
		for i := range handlers {
			name := fmt.Sprint("h", i)
			h := open(t, d, name, delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}})
			defer workLeases(h, 2, func(a event.Attempt) event.Outcome { return e.run(name, a) })()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range events {
			c.publish(t, fmt.Sprint("k", i%17))
		}
	})
	for i := range handlers {
		wg.Go(func() {
			name := fmt.Sprint("h", i)
			for n := range moves {
				d := list[(i+n)%len(list)]
				if err := d.Own(context.Background(), name, c.take(name)); err != nil {
					t.Error(err)
				}
				if n == moves-1 {
					return
				}
				before := e.count(name)
				await(t, "some progress", func() bool { return e.count(name) >= min(before+events/moves, events) })
				if err := d.Disown(context.Background(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	await(t, "all are delivered", func() bool { return e.count("h0")+e.count("h1")+e.count("h2") >= events*handlers })
	for i := range handlers {
		name := fmt.Sprint("h", i)
		if err := list[(i+moves-1)%len(list)].Disown(t.Context(), name); err != nil {
			t.Error(err)
		}
		for seq := range uint64(events) {
			if n := e.times[key{name, seq + 1}]; n != 1 {
				t.Errorf("%s succeeded %d times at %d", name, n, seq+1)
			}
			if d := c.stored(t, name, seq+1); d.Status != event.StatusOK {
				t.Fatalf("%s has %d stored as %q", name, seq+1, d.Status)
			}
		}
	}
	if e.wrong != "" {
		t.Error(e.wrong)
	}
	if wrong := c.fault(); wrong != "" {
		t.Error(wrong)
	}
}

func (e *executions) count(handler string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.done[handler]
}

// TestSeizuresUnderLoad takes a handler from hosts that do not know it, while answers of the store
// get lost: each event is stored as final once, whatever the former owners go on to do.
func TestSeizuresUnderLoad(t *testing.T) {
	const events, seizures = 1500, 40
	c, stop := newCluster(t)
	t.Cleanup(stop)
	var opened atomic.Bool // to open a handler is not what is tried
	c.engine.fate = func() (before, after bool) {
		n := rand.IntN(20)
		return n == 0 && opened.Load(), n == 1 && opened.Load()
	}
	var list []*delivery.Dispatcher
	for range 3 {
		d := c.host(delivery.Config{})
		closing(t, d)
		list = append(list, d)
		h := open(t, d, "h", delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}})
		defer workLeases(h, 3, func(event.Attempt) event.Outcome {
			if rand.IntN(8) == 0 {
				return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
			}
			return event.Outcome{}
		})()
	}
	opened.Store(true)
	var last *lease
	for n := range seizures {
		for range events / seizures {
			c.publish(t, fmt.Sprint("k", rand.IntN(9)))
		}
		former := last
		last = c.take("h")
		if err := list[n%len(list)].Own(t.Context(), "h", last); err != nil {
			t.Fatal(err)
		}
		if former != nil && n%2 == 0 {
			close(former.done)
		}
	}
	published := c.engine.Last()
	await(t, "all are final", func() bool {
		for seq := uint64(1); seq <= published; seq++ {
			if !c.stored(t, "h", seq).Status.Final() {
				return false
			}
		}
		return true
	})
	if wrong := c.fault(); wrong != "" {
		t.Error(wrong)
	}
}
