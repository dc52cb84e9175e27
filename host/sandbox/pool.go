package sandbox

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
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
	// Flush records buffered outcomes and returns buffered attempts; an open attempt
	// stays open. It is called when the open attempt may take long, and when the guest
	// does anything else than ask for the next event.
	Flush()
	// Close ends the lease; no attempt is open.
	Close()
}

// PoolConfig configures a pool. The zero value of a field selects its default.
type PoolConfig struct {
	Name   string // of the handler, for logs
	Source Source // nil: the instances wait for Attach
	// Limits of the instances. Defaults: a timeout of 5s, a stack of 1 MiB, a concurrency of 4.
	// Memory has no effect: it is a limit of the module, see Options.
	spec.Limits
	StartTimeout time.Duration // until the first next; default 10s
	StartFuel    uint64        // until the first next; default 0: StartTimeout is the only bound
	IdleAfter    time.Duration // after which an instance without work ends, except for the last one; default 1m
	Settings     string        // the handler's config as JSON; default {}
	Capabilities Capabilities  // default none
	Logger       *slog.Logger  // for the log lines of guests; default discards them
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
}

// Backoff between instances that fail before their first next.
const (
	startBackoffMin = 100 * time.Millisecond
	startBackoffMax = 10 * time.Second
)

// Backoff between instances that fail at events, one after the other. It is short: what
// fails is tried again as the handler's own retries say, but a fresh instance for each
// attempt costs memory that is zeroed and collected, and the processor's time of others.
const (
	restartBackoffMin = 2 * time.Millisecond
	restartBackoffMax = 100 * time.Millisecond
)

// Pool keeps between one and Concurrency instances of a module, more when there
// is demand, and a new one for each that is discarded. It is safe for
// concurrent use.
type Pool struct {
	module   *Module
	cfg      PoolConfig
	lines    *lines
	source   Source          // once attached is closed
	killed   atomic.Bool     // instances must be stopped at once
	life     context.Context // ends then
	end      context.CancelFunc
	stop     chan struct{} // closed when instances must finish through END
	attached chan struct{} // closed when source is set
	retire   chan struct{} // a token: one that waits may end
	once     sync.Once
	epoch    time.Time     // what instances count time from
	grow     chan struct{} // a token: start another instance if there is room
	exits    chan exit     // from instances
	wg       sync.WaitGroup

	live      atomic.Int64 // instances
	parked    atomic.Int64 // instances that wait for an event
	minParked atomic.Int64 // the minimum of parked since the supervisor reset it
	succeeded atomic.Bool  // an attempt was successful since the supervisor reset it
}

// NewPool starts the first instance and returns when it waits for an event, so
// that a module which cannot start fails here: fault.Trap with the reason. ctx
// bounds that wait only.
func (m *Module) NewPool(ctx context.Context, cfg PoolConfig) (*Pool, error) {
	cfg.defaults()
	p := &Pool{
		module:   m,
		cfg:      cfg,
		lines:    newLines(),
		epoch:    time.Now(),
		stop:     make(chan struct{}),
		retire:   make(chan struct{}),
		attached: make(chan struct{}),
		grow:     make(chan struct{}, 1),
		exits:    make(chan exit),
	}
	if cfg.Source != nil {
		p.source = cfg.Source
		close(p.attached)
	}
	p.life, p.end = context.WithCancel(context.Background())
	ready := make(chan error, 1)
	p.start(func(err error) { ready <- err })
	var err error
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

// Instances returns the number of live instances.
func (p *Pool) Instances() int { return int(p.live.Load()) }

// Drain answers END to every instance that asks for an event and waits until
// all have finished. When ctx ends first, the rest are stopped; their attempts
// come back as cancelled.
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
	return fault.New(fault.Timeout, "handler %s: its open events were stopped: %w", p.cfg.Name, ctx.Err())
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

// kill stops every instance at its next look at the clock.
func (p *Pool) kill() {
	p.killed.Store(true)
	p.end()
}

// start runs one more instance. started is called once, when the instance waits
// for its first event (nil) or has failed before that.
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

// exit is how an instance ended.
type exit struct {
	start  error // why it did not start
	failed bool  // with an event that it failed
}

// runOne is the life of one instance; of a stdio module, of one place for the
// instances that each serve one event.
func (p *Pool) runOne(started func(error)) exit {
	lease := p.lease()
	defer lease.Close()
	if p.module.shape.Style == vet.Loop {
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

// backoff is how long was waited last.
type backoff time.Duration

// next doubles it within bounds.
func (b *backoff) next(least, most time.Duration) time.Duration {
	*b = backoff(min(max(2*time.Duration(*b), least), most))
	return time.Duration(*b)
}

// supervise starts instances: on demand, and in place of the last one.
func (p *Pool) supervise() {
	defer p.wg.Done()
	var starts, restarts backoff
	var wait <-chan time.Time // set while starting is held back
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
			p.cfg.Logger.Warn("an instance did not start", "error", event.Headline(end.start.Error(), maxLogged))
			if p.live.Load() == 0 {
				p.failOne(end.start)
			}
			wait = time.After(starts.next(startBackoffMin, startBackoffMax))
		}
	}
}

// unpark counts an instance that no longer waits, and remembers how few do.
func (p *Pool) unpark() {
	for idle := p.parked.Add(-1); ; {
		least := p.minParked.Load()
		if idle >= least || p.minParked.CompareAndSwap(least, idle) {
			return
		}
	}
}

// shrink lets the instances end that nobody needed since it was called last,
// but for one.
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

// failOne charges a failed start to the event that waits for it: otherwise a
// module that no longer starts would hold its events for ever.
func (p *Pool) failOne(err error) {
	a, ok := p.source.TryNext()
	if !ok {
		return
	}
	o := event.Outcome{Verdict: event.Failed, Class: classOf(err), Message: "no instance could be started: " + err.Error()}
	p.source.Done(a, o)
}

// wantMore is called by an instance that saw more waiting than it took.
func (p *Pool) wantMore() {
	if p.live.Load() < int64(p.cfg.Concurrency) {
		select {
		case p.grow <- struct{}{}:
		default:
		}
	}
}
