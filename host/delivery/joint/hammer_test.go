package joint_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// pool starts instances on demand, as that of the sandbox does, and retires others.
type pool struct {
	source      *joint.Source
	concurrency int64
	handle      func(event.Attempt) event.Outcome
	batch       int
	quit        chan struct{}
	retire      chan struct{}
	grow        chan struct{}
	exits       chan struct{}
	live        atomic.Int64
	wg          sync.WaitGroup
}

func startPool(s *joint.Source, concurrency, batch int, handle func(event.Attempt) event.Outcome) *pool {
	p := &pool{source: s, concurrency: int64(concurrency), batch: batch, handle: handle, quit: make(chan struct{}), retire: make(chan struct{}),
		grow: make(chan struct{}, 1), exits: make(chan struct{})}
	p.wg.Go(func() {
		for {
			limit := p.concurrency
			select {
			case <-p.quit:
				return
			case <-s.Demand():
			case <-p.grow:
			case <-p.exits:
				limit = 1 // the demand may have come while it was ending
			}
			if p.live.Load() < limit {
				p.live.Add(1)
				p.wg.Go(p.instance)
			}
		}
	})
	return p
}

func (p *pool) stop() {
	close(p.quit)
	p.wg.Wait()
}

func (p *pool) instance() {
	defer func() {
		p.live.Add(-1)
		select {
		case p.exits <- struct{}{}:
		case <-p.quit:
		}
	}()
	x := p.source.Lease()
	defer x.Close()
	for n := 0; ; n++ {
		if p.batch > 0 {
			if !p.runBatch(x) {
				return
			}
			continue
		}
		taken, ok := x.NextBuffered()
		if !ok {
			taken, ok = x.Next(p.quit, p.retire)
		}
		if !ok {
			return
		}
		if taken.More && p.live.Load() < p.concurrency {
			select {
			case p.grow <- struct{}{}:
			default:
			}
		}
		if n%7 == 3 {
			x.Flush()
		}
		o := p.handle(taken.Attempt)
		x.Done(&o)
	}
}

func (p *pool) runBatch(x *joint.Lease) bool {
	list, ok := x.NextBatch(p.batch, 50*time.Microsecond, p.quit, p.retire)
	if !ok {
		return false
	}
	outcomes := make([]event.Outcome, len(list))
	for i, a := range list {
		outcomes[i] = p.handle(a)
	}
	x.DoneBatch(outcomes)
	return true
}

// retireInstances has an instance that waits end now and then, until quit is closed.
func (p *pool) retireInstances(quit <-chan struct{}) {
	look := time.NewTicker(100 * time.Microsecond)
	defer look.Stop()
	for {
		select {
		case <-quit:
			return
		case <-look.C:
		}
		select {
		case p.retire <- struct{}{}:
		default:
		}
	}
}

// run is an attempt: it succeeds, or asks for another one.
func (e *executions) run(a event.Attempt) event.Outcome {
	e.begin(a)
	var o event.Outcome
	if a.Number < 3 && rand.IntN(10) == 0 {
		o = event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
	}
	e.end(a, o)
	return o
}

var quickRetry = spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}

// TestNoWakeupIsLost publishes events one at a time, each when the one before is done, while
// instances wait, start on demand and are retired: each event of any shard wakes one.
func TestNoWakeupIsLost(t *testing.T) {
	for _, tt := range []struct{ shards, concurrency, batch, burst int }{
		{1, 1, 0, 1}, {2, 1, 0, 1}, {8, 3, 0, 1}, {64, 4, 0, 1}, {8, 3, 4, 1}, {8, 1, 0, 5}, {16, 4, 0, 20}, {16, 2, 4, 20},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			c, d := alone(t, delivery.Config{})
			e := newExecutions()
			s := open(t, d, tt.shards, delivery.Policy{Retry: quickRetry})
			p := startPool(s, tt.concurrency, tt.batch, e.run)
			quit := make(chan struct{})
			var retiring sync.WaitGroup
			retiring.Go(func() { p.retireInstances(quit) })
			published := uint64(0)
			for published < 600 {
				for range tt.burst {
					published++
					c.publish(t, []string{"", fmt.Sprint("k", rand.IntN(40))}[published%2])
				}
				e.awaitAll(t, published)
			}
			close(quit)
			retiring.Wait()
			p.stop()
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			e.check(t, published)
		})
	}
}

// TestPausesUnderLoad pauses and resumes all shards while instances work.
func TestPausesUnderLoad(t *testing.T) {
	const events = 3000
	c, d := alone(t, delivery.Config{})
	e := newExecutions()
	s := open(t, d, 8, delivery.Policy{Retry: quickRetry})
	p := startPool(s, 4, 0, e.run)
	var wg sync.WaitGroup
	quit := make(chan struct{})
	wg.Go(func() {
		for i := range events {
			c.publish(t, fmt.Sprint("k", i%37))
		}
	})
	wg.Go(func() {
		for paused := true; ; paused = !paused {
			s.Update(func(p *delivery.Policy) { p.Paused = paused })
			select {
			case <-quit:
				s.Update(func(p *delivery.Policy) { p.Paused = false })
				return
			default:
			}
			s.Probe()
			_ = s.Stats()
		}
	})
	await(t, "most are done", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.times) > events/2
	})
	close(quit)
	wg.Wait()
	e.awaitAll(t, events)
	p.stop()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	e.check(t, events)
}

// TestHandoversUnderLoad moves shards between hosts while the instances of each wait and work:
// each event is delivered once, in the order of its key.
func TestHandoversUnderLoad(t *testing.T) {
	const shards, hosts, moves = 6, 3, 25
	c, stop := newCluster(t)
	defer stop()
	e := newExecutions()
	var list []*delivery.Dispatcher
	for range hosts {
		d := c.host(delivery.Config{Shared: true})
		list = append(list, d)
		s := open(t, d, shards, delivery.Policy{Retry: quickRetry})
		p := startPool(s, 2, 0, e.run)
		defer func() {
			p.stop()
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if err := d.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
	}
	quit := make(chan struct{})
	var published atomic.Uint64
	var publishing, owning sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
			}
			c.publish(t, fmt.Sprint("k", rand.IntN(50)))
			e.awaitAll(t, max(published.Add(1), 100)-100)
		}
	})
	for i, unit := range spec.Units("p", shards) {
		owning.Go(func() {
			for n := range moves {
				d := list[(i+n)%hosts]
				if err := d.Own(context.Background(), unit, c.take(unit)); err != nil {
					t.Error(err)
				}
				if n == moves-1 {
					return
				}
				e.mu.Lock()
				grown := e.grown
				e.mu.Unlock()
				<-grown // all shards are owned again and again, so that publishing goes on
				if err := d.Disown(context.Background(), unit); err != nil {
					t.Error(err)
				}
			}
		})
	}
	owning.Wait()
	close(quit)
	publishing.Wait()
	e.awaitAll(t, published.Load())
	e.check(t, published.Load())
}
