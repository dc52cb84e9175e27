package sandbox

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/children"
	"github.com/berth-host/berth/host/sandbox/logquota"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/simulation"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// Source provides attempts. It is safe for concurrent use.
type Source interface {
	// Lease returns the lease of one instance.
	Lease() Lease
	// TryNext starts an attempt without a lease, if one is ready.
	TryNext() (a event.Attempt, ok bool)
	// Done completes an attempt of TryNext.
	Done(a event.Attempt, o event.Outcome)
	// Demand yields a token when an attempt is ready and no instance waits in Lease.Next.
	Demand() <-chan struct{}
}

// Lease is where one instance gets its attempts, for one goroutine. It may buffer a few
// attempts and outcomes; Flush clears both buffers.
type Lease interface {
	// NextBuffered starts a buffered attempt. It returns false when there is none, or
	// when Next has to be called.
	NextBuffered() (event.Taken, bool)
	// Next waits for an attempt and starts it. It returns false once stop is closed, or
	// when it waits and gets a token from retire.
	Next(stop, retire <-chan struct{}) (event.Taken, bool)
	// Done completes the open attempt. The caller may reuse what o points to afterwards.
	Done(o *event.Outcome)
	// TraceParent returns the span of the open attempt (W3C Trace Context), for what the guest
	// causes; "" when the host does not trace it.
	TraceParent() string
	// Flush records buffered outcomes and returns buffered attempts; an open attempt
	// stays open. It is called when the open attempt may take long, and when the guest
	// does anything else than ask for the next event.
	Flush()
	// Close ends the lease; no attempt is open.
	Close()
}

// BatchLease is a Lease that provides batches. An instance of a plugin with batches whose
// lease is none gets each event alone.
type BatchLease interface {
	Lease
	// NextBatch waits for attempts as Next does, then for more of them until there are max
	// or wait is over, and starts them: in log order, first attempts only unless it is one,
	// of at most abi.MaxBatchBytes together. The list belongs to the lease until DoneBatch.
	NextBatch(max int, wait time.Duration, stop, retire <-chan struct{}) ([]event.Attempt, bool)
	// DoneBatch completes them, in the same order. The caller may reuse the outcomes
	// afterwards, and what they point to, except for their Effects.
	DoneBatch(outcomes []event.Outcome)
}

// Uncommitted is a Lease that knows what finished deliveries of its handler do to keys until
// the store shows it, see overlay.Base. Without it, instances read what is stored.
type Uncommitted interface {
	Pending(key string) (w event.EffectWrite, ok bool)
	PendingKeys(prefix, after string, limit int) []event.EffectWrite
}

// PoolConfig configures a pool. The zero value of a field selects its default.
type PoolConfig struct {
	Name   string // of the handler, for logs
	Source Source // nil: the instances wait for Attach
	Entry  string // what the manifest names as extism.entry; default handle
	// Limits of the instances. Defaults: a timeout of 5s, a stack of 1 MiB, a concurrency of 4.
	// Memory has no effect: it is a limit of the module, see Options.
	spec.Limits
	StartTimeout time.Duration // until the first next; default 10s
	StartFuel    uint64        // until the first next; default 0: StartTimeout is the only bound
	IdleAfter    time.Duration // after which an instance without work ends, except for the last one; default 1m
	Settings     string        // the handler's config as JSON; default {}
	Capabilities Capabilities  // default none
	Logger       *slog.Logger  // for the log lines of guests; default discards them
	Log          GuestLog      // likewise; default discards them
	Logs         spec.LogPolicy
	State        spec.StateMode     // default direct
	Batch        spec.BatchPolicy   // default one event at a time
	Simulate     *simulation.Config // for tests of handlers; nil: guests have the real clocks, random bytes and log quota
}

const defaultStack = 1 << 20

func (c *PoolConfig) defaults() {
	if c.Concurrency <= 0 {
		c.Concurrency = 4
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.StartTimeout <= 0 {
		c.StartTimeout = 10 * time.Second
	}
	if c.Stack <= 0 {
		c.Stack = defaultStack
	}
	if c.IdleAfter <= 0 {
		c.IdleAfter = time.Minute
	}
	if c.Settings == "" {
		c.Settings = "{}"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("plugin", c.Name)
	if c.Log == nil {
		c.Log = noLog{}
	}
}

// Backoff between instances that fail before their first next.
const (
	startBackoffMin = 100 * time.Millisecond
	startBackoffMax = 10 * time.Second
)

// Backoff between instances that fail events, one after the other. It is short, because
// the handler's retries have their own backoff; but a new instance for each attempt costs
// memory that is cleared and collected, and processor time of others.
const (
	restartBackoffMin = 2 * time.Millisecond
	restartBackoffMax = 100 * time.Millisecond
)

// Pool runs between one and Concurrency instances of a module, by demand, and replaces
// discarded ones. It is safe for concurrent use.
type Pool struct {
	module   *Module
	entry    string // the export that is called
	cfg      PoolConfig
	maker    children.Maker
	memory   *memory.Budget  // of its instances
	lines    *logquota.Quota // nil: no quota
	source   Source          // once attached is closed
	killed   atomic.Bool     // instances are trapped
	life     context.Context // ends then
	end      context.CancelFunc
	stop     chan struct{} // closed when next returns END
	attached chan struct{} // closed when source is set
	retire   chan struct{} // a token: an instance that waits ends
	once     sync.Once
	epoch    time.Time     // the start of the instances' clock
	grow     chan struct{} // a token: start another instance, within Concurrency
	exits    chan exit     // from instances
	wg       sync.WaitGroup

	live      atomic.Int64 // instances
	parked    atomic.Int64 // instances that wait for an event
	minParked atomic.Int64 // the minimum of parked since the supervisor reset it
	succeeded atomic.Bool  // an attempt was successful since the supervisor reset it
	started   atomic.Int64 // instances, live or not

	logLevel slog.LevelVar // of lines that are kept
	keepLogs atomic.Bool   // of successful attempts
}

// NewPool starts the first instance and returns when it waits for an event. A module that
// cannot start is an error: fault.Trap with the reason, and fault.Invalid if it lacks the
// entry that its manifest names. ctx bounds that wait only.
func (m *Module) NewPool(ctx context.Context, cfg PoolConfig) (*Pool, error) {
	cfg.defaults()
	entry, err := m.checkEntry(cfg.Entry)
	if err != nil {
		return nil, err
	}
	if cfg.Batch.MaxEvents > 0 {
		if err := m.shape.CheckBatch(); err != nil {
			return nil, fault.New(fault.Invalid, "%w", err)
		}
	}
	p := &Pool{
		module:   m,
		maker:    children.Maker{Plugin: cfg.Name, May: cfg.Capabilities.Emit, Check: cfg.Capabilities.Check, Batch: cfg.Batch.MaxEvents > 0},
		memory:   m.memory.Part(),
		entry:    entry,
		cfg:      cfg,
		lines:    logquota.New(),
		epoch:    time.Now(),
		stop:     make(chan struct{}),
		retire:   make(chan struct{}),
		attached: make(chan struct{}),
		grow:     make(chan struct{}, 1),
		exits:    make(chan exit),
	}
	p.SetLogs(cfg.Logs)
	if cfg.Simulate != nil {
		p.lines = nil
	}
	if cfg.Source != nil {
		p.source = cfg.Source
		close(p.attached)
	}
	p.life, p.end = context.WithCancel(context.Background())
	ready := make(chan error, 1)
	p.start(func(err error) { ready <- err })
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = fault.New(fault.Timeout, "start the first instance: %w", ctx.Err())
	}
	if err != nil {
		p.kill()
		close(p.stop)
		p.wg.Wait()
		return nil, err
	}
	if cfg.Source != nil {
		p.wg.Add(1)
		go p.supervise()
	}
	return p, nil
}

// SetLogs changes which lines of the guest are kept.
func (p *Pool) SetLogs(policy spec.LogPolicy) {
	p.logLevel.Set(policy.Level.Level())
	p.keepLogs.Store(policy.Kept == spec.LogsOfAll)
}

// Instances returns the number of live instances.
func (p *Pool) Instances() int { return int(p.live.Load()) }

// Memory returns the bytes that the instances have, with their call stacks.
func (p *Pool) Memory() int64 { return p.memory.Used() }

// Drain returns END to every instance that asks for an event, and waits until all have
// ended. When ctx ends first, it traps the others; their attempts are cancelled.
func (p *Pool) Drain(ctx context.Context) error {
	p.once.Do(func() { close(p.stop) })
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		p.end()
		return nil
	case <-ctx.Done():
	}
	p.kill()
	<-done
	return fault.New(fault.Timeout, "handler %s: its open events were cancelled: %w", p.cfg.Name, ctx.Err())
}

// stopping reports whether Drain was called.
func (p *Pool) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// kill traps every instance at its next look at the clock.
func (p *Pool) kill() {
	p.killed.Store(true)
	p.end()
}

// start runs one more instance. started is called once: with nil when the instance waits
// for its first event, or with the reason why it failed before.
func (p *Pool) start(started func(error)) {
	p.live.Add(1)
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		end := p.runOne(started)
		p.live.Add(-1)
		select {
		case p.exits <- end:
		case <-p.stop:
		}
	}()
}

// exit is the end of an instance.
type exit struct {
	start  error // why it did not start
	failed bool  // it failed an event
}

// runOne runs one instance; for a stdio module, one instance after the other, each of
// which serves one event.
func (p *Pool) runOne(started func(error)) exit {
	lease := p.lease()
	defer lease.Close()
	if p.module.shape.Style != vet.Stdio {
		in := newInstance(p, lease, started)
		err := in.run()
		return exit{err, in.failed}
	}
	var pause backoff
	for in := newInstance(p, lease, started); in.take(); in = newInstance(p, lease, nil) {
		in.runStdio()
		if !in.failed {
			pause = 0
		} else if wait := pause.next(restartBackoffMin, restartBackoffMax); wait > 0 {
			lease.Flush()
			select {
			case <-time.After(wait):
			case <-p.stop:
			}
		}
	}
	return exit{}
}

// backoff is the previous wait.
type backoff time.Duration

// next doubles it within bounds.
func (b *backoff) next(lower, upper time.Duration) time.Duration {
	*b = backoff(min(max(2*time.Duration(*b), lower), upper))
	return time.Duration(*b)
}

// supervise starts instances on demand, and replaces the last one. It retires idle ones.
func (p *Pool) supervise() {
	defer p.wg.Done()
	var starts, restarts backoff
	var wait <-chan time.Time // set during a backoff
	nothing := func(error) {}
	idle := time.NewTicker(p.cfg.IdleAfter)
	defer idle.Stop()
	for {
		demand := p.source.Demand()
		if wait != nil {
			demand = nil
		}
		select {
		case <-p.stop:
			return
		case <-demand:
			p.tryStart(nothing)
		case <-p.grow:
			if wait == nil {
				p.tryStart(nothing)
			}
		case <-idle.C:
			p.shrink()
		case <-wait:
			wait = nil
			p.tryStart(nothing)
		case end := <-p.exits:
			if p.succeeded.Swap(false) || !end.failed {
				restarts = 0
			}
			if end.start == nil {
				starts = 0
				switch {
				case wait != nil:
				case end.failed:
					wait = time.After(restarts.next(restartBackoffMin, restartBackoffMax))
				case p.live.Load() == 0:
					p.tryStart(nothing)
				}
				continue
			}
			p.cfg.Logger.Warn("instance not started", "error", event.Headline(end.start.Error(), maxLogged))
			if p.live.Load() == 0 {
				p.failOne(end.start)
			}
			wait = time.After(starts.next(startBackoffMin, startBackoffMax))
		}
	}
}

// unpark counts an instance that no longer waits, and updates minParked.
func (p *Pool) unpark() {
	for idle := p.parked.Add(-1); ; {
		lowest := p.minParked.Load()
		if idle >= lowest || p.minParked.CompareAndSwap(lowest, idle) {
			return
		}
	}
}

// shrink retires the instances that were idle since the last call, except for one.
func (p *Pool) shrink() {
	unneeded := p.minParked.Swap(p.parked.Load())
	for unneeded = min(unneeded, p.live.Load()-1); unneeded > 0; unneeded-- {
		select {
		case p.retire <- struct{}{}:
		default:
			return
		}
	}
}

func (p *Pool) tryStart(started func(error)) {
	if p.live.Load() < int64(p.cfg.Concurrency) {
		p.start(started)
	}
}

// failOne fails the next attempt because no instance starts: otherwise the events of a
// module that no longer starts would wait for ever.
func (p *Pool) failOne(err error) {
	a, ok := p.source.TryNext()
	if !ok {
		return
	}
	o := event.Outcome{Verdict: event.Failed, Class: classOf(err), Message: "no instance could be started: " + err.Error()}
	p.source.Done(a, o)
}

// wantMore is called by an instance that left attempts for others.
func (p *Pool) wantMore() {
	if p.live.Load() < int64(p.cfg.Concurrency) {
		select {
		case p.grow <- struct{}{}:
		default:
		}
	}
}
