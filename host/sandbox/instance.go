package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/attemptlog"
	"github.com/berth-host/berth/host/sandbox/callstack"
	"github.com/berth-host/berth/host/sandbox/children"
	"github.com/berth-host/berth/host/sandbox/extism"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/overlay"
	"github.com/berth-host/berth/host/sandbox/provisional"
	"github.com/berth-host/berth/host/sandbox/resultcheck"
	"github.com/berth-host/berth/host/sandbox/simulation"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/sandbox/wasi"
	"github.com/berth-host/berth/host/spec"
)

// instance is one live guest. It belongs to the goroutine that runs it.
type instance struct {
	pool   *Pool
	lease  Lease
	memory api.Memory
	linear memory.Linear
	stack  callstack.Stack
	// stackLeft is the stack left until the next check; nil until the first. The metered module
	// calls refill before the stack can have grown beyond it.
	stackLeft api.MutableGlobal
	fuel      tank
	process   wasi.Process
	kernel    kernel // of the Extism style
	output    output
	random    randomQuota
	sim       *simulation.State // nil: the clocks and the random source are real
	started   func(error)       // called at the first next, then nil
	born      time.Duration     // as now counts
	served    uint64            // events
	number    int               // among the pool's instances, from 1

	// These times are those of now.
	span     time.Duration // how long the guest may run
	deadline time.Duration // when that is over
	yielded  time.Duration // the last yieldCPU

	slot      cpuSlot
	slotSince time.Duration

	ended     bool          // next has returned END
	open      bool          // an attempt is open
	failed    bool          // it ended with an attempt open
	attempt   event.Attempt // the open one
	begun     time.Duration // when that started
	completed time.Duration // when the attempt before was completed
	flushed   bool          // since then, because the guest took long
	outcome   event.Outcome // of the attempt that is being completed
	wall      time.Time     // the time of day at wallAt
	wallAt    time.Duration
	refused   string // why finish refused the result of the open attempt
	results   resultcheck.Check

	reads    provisional.Reads
	children children.Set     // emitted for the open attempt
	overlay  *overlay.Overlay // of an atomic handler; otherwise nil
	usage    usage            // of its state
	requests int              // sent by the open attempt
	batches  batches

	lastText  string // for last
	hasLast   bool
	errorText string
	trapped   *trap // why the host stopped the guest

	lines attemptlog.Log // of the open attempt
}

func newInstance(p *Pool, lease Lease, started func(error)) *instance {
	in := &instance{pool: p, lease: lease, started: started, number: int(p.started.Add(1))}
	in.outcome.Instance = in.number
	in.born = in.now()
	in.linear = memory.Linear{Budget: p.memory, Limit: p.module.limit, Guest: guestMemory{in}}
	in.stack = callstack.Stack{Budget: p.memory}
	if p.cfg.State == spec.StateAtomic {
		in.overlay = overlay.New(p.cfg.Name, p.memory)
	}
	if in.sim = simulation.New(p.cfg.Simulate); in.sim != nil {
		in.random.source = in.sim.Random
	}
	if p.module.shape.Style == vet.Extism {
		in.kernel.Kernel = extism.New(kernelHost{in})
		in.kernel.blocks = memory.Linear{Budget: p.memory, Limit: p.module.limit, Beside: &in.linear, Guest: guestMemory{in}}
		in.linear.Beside = &in.kernel.blocks
	}
	return in
}

// callContext carries the instance to the host functions.
type callContext struct {
	context.Context
	in *instance
}

type instanceKey struct{}

// Value implements context.Context.
func (c callContext) Value(key any) any {
	if _, ok := key.(instanceKey); ok {
		return c.in
	}
	return c.Context.Value(key)
}

// trap is the value with which a host function panics: wazero unwinds the guest and
// returns it from the call.
type trap struct {
	class event.Class
	text  string
	at    source.Frame // where the guest says that it failed, if it does
}

// Error implements error.
func (t *trap) Error() string { return t.text }

// run instantiates the guest and runs its entry point until that returns. It returns an
// error if the guest never asked for an event; for any other it returns nil, however the
// guest ended.
func (in *instance) run() error {
	in.allow(in.now(), in.pool.cfg.StartTimeout, in.pool.cfg.StartFuel)
	err := in.call("")
	if in.open {
		in.failed = true
		in.done(in.failure(err))
	} else if in.started == nil {
		in.logFailure(err)
	}
	if in.started == nil {
		return nil
	}
	reason := &startError{in.failure(err)}
	in.started(reason)
	return reason
}

// now returns the time since the pool started. It only reads the monotonic clock, which
// costs half of time.Now; it is called several times per event.
func (in *instance) now() time.Duration { return time.Since(in.pool.epoch) }

// allow grants the guest time and fuel from now on.
func (in *instance) allow(now, span time.Duration, fuel uint64) {
	in.span, in.deadline = span, now+span
	in.sim.BeginSpan()
	in.fuel.begin(fuel)
}

// call runs the guest from its instantiation to its end.
func (in *instance) call(stdin string) (err error) {
	m := in.pool.module
	in.process = wasi.New(wasi.Config{Host: processHost{in}, Args: []string{in.pool.cfg.Name}, Stdin: stdin,
		Stdout: in.stdout(), Stderr: stderr{in}, Random: &in.random})
	if err := in.linear.Reserve(m.shape.Memory); err != nil {
		return err
	}
	defer in.linear.Release()
	defer in.kernel.release()
	defer in.stack.Release()
	defer in.releaseSlot()
	defer func() {
		if r := recover(); r != nil { // a defect of the host, from which the guest must not benefit
			err = fmt.Errorf("the host panicked: %v", r)
		}
	}()
	background := context.Background()
	ctx := callContext{experimental.WithMemoryAllocator(background, guestMemory{in}), in}
	starting := ctx
	starting.Context = experimental.WithSnapshotter(starting.Context) // to measure the stack of the start function
	guest, err := m.code.Runtime.InstantiateModule(starting, m.code.Module, in.moduleConfig())
	if err != nil {
		return err
	}
	defer guest.Close(background)
	for _, name := range m.shape.Setup {
		if name == abi.CtorsExport && in.pool.entry == abi.StartExport {
			continue // that calls it
		}
		if err := in.callExport(ctx, guest, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if m.shape.Style == vet.Extism {
		return in.serve(ctx, guest)
	}
	return in.callExport(ctx, guest, in.pool.entry)
}

// callExport calls an export with zeros as its arguments.
func (in *instance) callExport(ctx context.Context, guest api.Module, name string) error {
	fn := guest.ExportedFunction(name)
	if err := in.stack.Run(fn); err != nil {
		return err
	}
	_, err := fn.Call(ctx, make([]uint64, len(fn.Definition().ParamTypes()))...)
	return err
}

func (in *instance) moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName("").               // a module that names itself "env" must not replace the host's
		WithRandSource(&in.random). // without one the engine seeds a generator of 5 KiB for each instance
		WithStartFunctions()
}

// needsRecycling reports whether a new instance has to replace this one.
func (in *instance) needsRecycling() bool {
	cfg := &in.pool.cfg
	return cfg.FreshPerEvent() && in.served > 0 || in.reads.Lost ||
		cfg.RecycleEvents > 0 && in.served >= cfg.RecycleEvents ||
		cfg.RecycleAge > 0 && in.now()-in.born >= cfg.RecycleAge
}

// take starts the next attempt. It returns false when the guest has to end.
func (in *instance) take() bool {
	p := in.pool
	in.releaseSlot()
	if in.sim != nil && in.served > 0 {
		in.sim.UsedBetween(in.fuel.spent(in.fuel.used()))
	}
	if in.started != nil {
		in.started(nil)
		in.started = nil
	}
	ok := false
	if p.cfg.Batch.MaxEvents > 0 {
		ok = !in.needsRecycling() && !p.stopping() && in.takeBatch()
	} else if !in.needsRecycling() && !p.stopping() {
		var taken event.Taken
		if taken, ok = in.lease.NextBuffered(); !ok {
			in.stack.ChargeAlways()
			p.parked.Add(1)
			taken, ok = in.lease.Next(p.stop, p.retire)
			if u, late := in.lease.(*unattached); late && ok {
				in.lease = u.lease
			}
			p.unpark()
		}
		if ok {
			if taken.More {
				p.wantMore()
			}
			if taken.Waited || in.served == 0 || in.flushed {
				in.begun = in.now()
			} else {
				in.begun = in.completed // reading the clock once per event is enough
			}
			in.attempt, in.open = taken.Attempt, true
		}
	}
	if !ok {
		in.ended = true
		in.beforeWait()
		in.allow(in.now(), p.cfg.Timeout, p.cfg.Fuel) // to return from its entry point
		return false
	}
	in.output.stderr.Reset()
	in.random.reset()
	in.linear.Refused = memory.NotRefused
	in.refused = ""
	in.served += uint64(max(1, len(in.batches.open)))
	in.allow(in.begun, p.cfg.Timeout, p.cfg.Fuel)
	if in.sim != nil {
		in.sim.BeginEvent(in.attempt.Event.Metadata().Time)
	}
	return true
}

// done completes the open attempt.
func (in *instance) done(o event.Outcome) {
	if in.reads.Open() {
		o = in.confirm(o)
	}
	in.outcome = o
	in.outcome.Instance = in.number
	in.complete()
	in.outcome.Verdict, in.outcome.Class, in.outcome.Message = event.OK, "", ""
}

// succeed completes the open attempt as a success with a result, which is guest memory.
func (in *instance) succeed(result []byte) {
	if in.reads.Open() {
		in.done(event.Outcome{Verdict: event.OK, Result: result})
		return
	}
	in.outcome.Result = result
	in.complete()
}

// complete completes the open attempt with in.outcome. It leaves an outcome whose verdict
// is OK ready for succeed.
func (in *instance) complete() {
	now := in.now() // the only reading of the clock per event while events follow each other
	used := in.fuel.used()
	end := &in.outcome
	end.At = in.wallTime(now)
	end.Duration, in.completed = now-in.begun, now
	end.Fuel = in.fuel.spent(used)
	end.Memory = in.linear.Size() + in.kernel.blocks.Size()
	if in.overlay != nil {
		in.endOverlay(end)
	}
	logged := !in.lines.Empty()
	if logged && (end.Verdict != event.OK || in.pool.keepLogs.Load() || len(in.batches.ends.Failures) > 0) {
		end.Logs = in.lines.Lines(end.At)
	}
	if end.Verdict == event.OK {
		end.Children = in.children.Of(0)
		if !in.pool.succeeded.Load() {
			in.pool.succeeded.Store(true)
		}
	}
	in.reads.End()
	in.open, in.attempt = false, event.Attempt{}
	if in.batches.open != nil {
		in.completeBatch(end)
	} else {
		in.lease.Done(end)
	}
	in.children.Reset()
	end.Result, end.Children, end.Effects = nil, nil, nil // the result is guest memory
	if logged {
		end.Logs = nil
		in.lines.Reset()
	}
	// What the guest does before it asks for the next event does not count for this one,
	// but is bounded too.
	in.flushed = false
	in.span, in.deadline = in.pool.cfg.Timeout, now+in.pool.cfg.Timeout
	in.sim.BeginSpan()
	in.fuel.beginAt(used, in.pool.cfg.Fuel)
}

// beforeWait releases everything but the open attempt before a wait, which may be long.
func (in *instance) beforeWait() {
	in.releaseSlot()
	in.flush()
}

// flush flushes the lease, because the open attempt may take long.
func (in *instance) flush() {
	in.flushed = true
	in.stack.ChargeAlways()
	in.lease.Flush()
}

// wallEvery is how long the time of day is derived from the monotonic clock.
const wallEvery = 10 * time.Millisecond

// wallNow returns the time of day.
func (in *instance) wallNow() time.Time { return in.wallTime(in.now()) }

// wallTime returns the time of day at now.
func (in *instance) wallTime(now time.Duration) time.Time {
	if in.wall.IsZero() || now-in.wallAt > wallEvery {
		in.wall = time.Now()
		in.wallAt = in.wall.Sub(in.pool.epoch)
	}
	return in.wall.Add(now - in.wallAt)
}
