package joint_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout bounds every wait of these tests; only a hang exceeds it.
const testTimeout = time.Minute

// fatal is a *testing.T or a *rapid.T.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// cluster is a memory engine that several dispatchers share, with the epochs of the units.
type cluster struct {
	*bus.Memory
	*bus.Bus
	mu     sync.Mutex // held during writes
	epochs map[string]uint64
}

func newCluster(t fatal) (c *cluster, stop func()) {
	t.Helper()
	m := bus.NewMemory(bus.MemoryConfig{})
	b, err := bus.New(bus.Config{Log: m, Window: m.Window()})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{Memory: m, Bus: b, epochs: make(map[string]uint64)}, func() {
		b.Close()
		_ = m.Close()
	}
}

func (c *cluster) Subscribe(from uint64) delivery.Reader { return c.Bus.Subscribe(from) }
func (c *cluster) Last() uint64                          { return c.Memory.Last() }
func (c *cluster) Close() error                          { return c.Memory.Close() }

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
	saved, _, err := c.Memory.SaveDeliveries(ctx, translated, successes, list, cursors)
	return saved, stale, err
}

// claim stores a cursor unless there is one.
func (c *cluster) claim(ctx context.Context, first event.Cursor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found, err := c.Memory.Cursor(ctx, first.Name); found || err != nil {
		return err
	}
	_, _, err := c.Memory.SaveDeliveries(ctx, nil, nil, nil, []event.Cursor{first})
	return err
}

// setCursor stores the position of a unit.
func (c *cluster) setCursor(t fatal, unit string, seq uint64) {
	t.Helper()
	first := event.Cursor{Name: event.HandlerCursors(unit).Position, Seq: seq}
	if _, _, err := c.Memory.SaveDeliveries(context.Background(), nil, nil, nil, []event.Cursor{first}); err != nil {
		t.Fatal(err)
	}
}

// cursor returns the stored position of a unit.
func (c *cluster) cursor(t fatal, unit string) uint64 {
	t.Helper()
	seq, _, err := c.Memory.Cursor(context.Background(), event.HandlerCursors(unit).Position)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// publish publishes one event for each subject.
func (c *cluster) publish(t fatal, subjects ...string) {
	t.Helper()
	for _, s := range subjects {
		ev, err := event.New(event.Draft{Type: "t", Subject: s})
		if err == nil {
			_, err = c.Append(context.Background(), []*event.Event{ev})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tenure is a delivery.Tenure that is never lost.
type tenure struct {
	fence spec.Fence
	until uint64
}

func (x tenure) Fence() spec.Fence   { return x.fence }
func (tenure) Valid() bool           { return true }
func (tenure) Done() <-chan struct{} { return nil }
func (x tenure) Until() uint64       { return x.until }

// take begins the next epoch of a unit.
func (c *cluster) take(unit string) tenure {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs[unit]++
	return tenure{fence: spec.Fence{Unit: unit, Epoch: c.epochs[unit]}}
}

// host returns the dispatcher of another host.
func (c *cluster) host(cfg delivery.Config) *delivery.Dispatcher {
	cfg.Store, cfg.Log, cfg.Claim = c, c, c.claim
	cfg.Start = func(context.Context, string) (uint64, error) { return 0, nil }
	return delivery.New(cfg)
}

// alone returns the only host, which ends with the test.
func alone(t *testing.T, cfg delivery.Config) (*cluster, *delivery.Dispatcher) {
	c, stop := newCluster(t)
	d := c.host(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
		stop()
	})
	return c, d
}

func bySubject(ev *event.Event) string { return ev.Subject() }

// shardOf is the shard of an event.
func shardOf(rec event.Record, shards int) int {
	key := bySubject(rec.Event)
	if key == "" {
		return int(rec.Seq % uint64(shards))
	}
	h := fnv.New64a()
	h.Write([]byte(key))
	return int(h.Sum64() % uint64(shards))
}

// policy returns the policy of a shard.
func policy(shard, shards int, p delivery.Policy) delivery.Policy {
	p.Key = bySubject
	p.Mine = func(rec event.Record) bool { return shardOf(rec, shards) == shard }
	return p
}

// open opens the shards of the plugin p.
func open(t fatal, d *delivery.Dispatcher, shards int, p delivery.Policy) *joint.Source {
	t.Helper()
	var list []*delivery.Source
	for i, unit := range spec.Units("p", shards) {
		s, err := d.Open(context.Background(), unit, "", policy(i, shards, p))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return joint.New(list)
}

// await waits until ok returns true.
func await(t fatal, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(testTimeout); !ok(); <-look.C {
		if time.Now().After(end) {
			t.Fatalf("timeout: waiting for: %s", what)
		}
	}
}

// executions are the attempts of all hosts, as guests would log them outside.
type executions struct {
	mu    sync.Mutex
	busy  map[string]uint64 // by key: the event whose attempt is open
	last  map[string]uint64 // by key: the last success
	times map[uint64]int    // successes
	grown chan struct{}     // closed and replaced at each success
	wrong string
}

func newExecutions() *executions {
	return &executions{busy: make(map[string]uint64), last: make(map[string]uint64), times: make(map[uint64]int), grown: make(chan struct{})}
}

// begin notes an attempt.
func (e *executions) begin(a event.Attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := bySubject(a.Event)
	if k == "" {
		return
	}
	if other := e.busy[k]; other != 0 && e.wrong == "" {
		e.wrong = fmt.Sprintf("key %s: the attempts at %d and %d overlap", k, other, a.Seq)
	}
	if last := e.last[k]; last >= a.Seq && e.wrong == "" {
		e.wrong = fmt.Sprintf("key %s: %d is delivered after %d", k, a.Seq, last)
	}
	e.busy[k] = a.Seq
}

// end notes how it ended.
func (e *executions) end(a event.Attempt, o event.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := bySubject(a.Event)
	delete(e.busy, k)
	if o.Verdict != event.OK {
		return
	}
	e.last[k] = a.Seq
	e.times[a.Seq]++
	close(e.grown)
	e.grown = make(chan struct{})
}

// awaitAll waits until the events up to a Seq have succeeded.
func (e *executions) awaitAll(t fatal, seq uint64) {
	t.Helper()
	timeout := time.NewTimer(testTimeout)
	defer timeout.Stop()
	for {
		e.mu.Lock()
		n, grown := len(e.times), e.grown
		e.mu.Unlock()
		if uint64(n) >= seq {
			return
		}
		select {
		case <-grown:
		case <-timeout.C:
			t.Fatalf("timeout: %d of %d events are done", n, seq)
		}
	}
}

// check checks that each event up to a Seq has succeeded once, in the order of its key.
func (e *executions) check(t *testing.T, seq uint64) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wrong != "" {
		t.Error(e.wrong)
	}
	for i := range seq {
		if n := e.times[i+1]; n != 1 {
			t.Errorf("event %d has succeeded %d times", i+1, n)
		}
	}
}
