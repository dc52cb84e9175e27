package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// cluster is a memory engine that several dispatchers share, with the epochs of their handlers. It
// notes when an outcome replaces a final one.
type cluster struct {
	*engine
	mu     sync.Mutex // held during writes
	epochs map[string]uint64
	finals map[key]string
	wrong  string
	loads  int // of backlogs
}

func newCluster(t interface{ Fatal(...any) }) (c *cluster, stop func()) {
	e, stop := newEngine(t)
	return &cluster{engine: e, epochs: make(map[string]uint64), finals: make(map[key]string)}, stop
}

// lease is a Tenure of a test.
type lease struct {
	fence   spec.Fence
	invalid atomic.Bool
	done    chan struct{}
	until   uint64
}

func (l *lease) Fence() spec.Fence     { return l.fence }
func (l *lease) Valid() bool           { return !l.invalid.Load() }
func (l *lease) Done() <-chan struct{} { return l.done }
func (l *lease) Until() uint64         { return l.until }

// take begins the next epoch of a handler: no write of the one before is stored any more.
func (c *cluster) take(handler string) *lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs[handler]++
	return &lease{fence: spec.Fence{Unit: handler, Epoch: c.epochs[handler]}, done: make(chan struct{})}
}

func (c *cluster) LoadBacklog(ctx context.Context, handler string) (event.Backlog, error) {
	c.mu.Lock()
	c.loads++
	c.mu.Unlock()
	return c.engine.LoadBacklog(ctx, handler)
}

func (c *cluster) backlogsLoaded() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loads
}

// SaveDeliveries checks the fences in the write, as an engine of several hosts does.
func (c *cluster) SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, list []event.Delivery, cursors []event.Cursor) (
	event.Saved, []spec.Fence, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stale := spec.Stale(fences, func(unit string) uint64 { return c.epochs[unit] })
	translated := make([]spec.Fence, len(fences)) // the engine knows epoch 0 only
	for i, f := range fences {
		translated[i] = spec.Fence{Unit: f.Unit}
		if spec.Names(stale, f.Unit) {
			translated[i].Epoch = 1
		}
	}
	saved, _, err := c.engine.SaveDeliveries(ctx, translated, successes, list, cursors)
	for i := range successes {
		for j := range successes[i].List {
			c.note(key{successes[i].Handler, successes[i].List[j].Seq})
		}
	}
	for _, d := range list {
		c.note(key{d.Handler, d.Seq})
	}
	return saved, stale, err
}

// note notes what is stored after a write: a final outcome does not change.
func (c *cluster) note(k key) {
	list, err := c.Deliveries(context.Background(), k.seq)
	if err != nil {
		c.wrong = err.Error()
	}
	for _, d := range list {
		if d.Handler != k.handler {
			continue
		}
		text := fmt.Sprint(d.Attempts, d.Status, d.At.UnixNano())
		if before := c.finals[k]; before != "" && before != text {
			c.wrong = fmt.Sprintf("%v is final (%s) and becomes %s", k, before, text)
		}
		if d.Status.Final() {
			c.finals[k] = text
		}
	}
}

func (c *cluster) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	if err := c.check(ctx); err != nil {
		return 0, err
	}
	return c.engine.Redrive(ctx, f)
}

func (c *cluster) StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	return c.engine.StartReplay(ctx, handler, from, to, at)
}

// check is the fence of a context.
func (c *cluster) check(ctx context.Context) error {
	f, found := spec.FenceOf(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !found || f.Epoch != c.epochs[f.Unit] {
		return fmt.Errorf("fence %v: %w", f, spec.ErrFenced)
	}
	return nil
}

// claim stores a cursor unless there is one.
func (c *cluster) claim(ctx context.Context, first event.Cursor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found, err := c.engine.Cursor(ctx, first.Name); found || err != nil {
		return err
	}
	_, _, err := c.engine.SaveDeliveries(ctx, nil, nil, nil, []event.Cursor{first})
	return err
}

func (c *cluster) fault() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong
}

// host returns a dispatcher of another host.
func (c *cluster) host(cfg delivery.Config) *delivery.Dispatcher {
	cfg.Store, cfg.Log, cfg.Shared, cfg.Claim = c, c, true, c.claim
	return delivery.New(cfg)
}

// closing closes a dispatcher at the end of a test.
func closing(t *testing.T, d *delivery.Dispatcher) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// publish publishes events.
func (c *cluster) publish(t interface{ Fatal(...any) }, subjects ...string) {
	for _, s := range subjects {
		if _, err := c.Append(context.Background(), []*event.Event{makeEvent(t, event.Draft{Type: "t", Subject: s})}); err != nil {
			t.Fatal(err)
		}
	}
}

// stored returns what is stored of an event.
func (c *cluster) stored(t interface{ Fatal(...any) }, handler string, seq uint64) event.Delivery {
	list, err := c.Deliveries(context.Background(), seq)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Handler == handler {
			return d
		}
	}
	return event.Delivery{}
}
