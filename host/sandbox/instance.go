package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/wasi"
)

// instance is one live guest. All of it belongs to the goroutine that runs it.
type instance struct {
	pool    *Pool
	lease   Lease
	memory  api.Memory
	linear  linearMemory
	stack   callStack
	fuel    tank
	process wasi.Process
	output  output
	random  randomQuota
	started func(error)   // called at the first next, then nil
	born    time.Duration // as now counts
	served  uint64        // events

	span     time.Duration // how long the guest may run now
	deadline time.Duration // when that is over, as now counts
	yielded  time.Duration // when others were let run last, as now counts

	turn      turn          // that it has now
	turnBegun time.Duration // as now counts

	ended    bool          // next has answered END
	open     bool          // an attempt is open
	failed   bool          // it ended with an attempt open
	attempt  event.Attempt // the open one
	begun    time.Duration // as now counts
	finished time.Duration // when the attempt before ended
	rested   bool          // since then, because the guest took its time
	outcome  event.Outcome // of the attempt that is being ended
	wall     time.Time     // the time of day at wallAt, which is as now counts
	wallAt   time.Duration
	refused  string // why finish did not take the result of the open attempt

	children   []*event.Event // that the guest emitted for the open attempt
	childBytes int            // of their envelopes

	lastText  string // what last yields
	hasLast   bool
	errorText string
	trapped   *trap // why the host stopped the guest
}

func newInstance(p *Pool, lease Lease, started func(error)) *instance {
	in := &instance{pool: p, lease: lease, started: started}
	in.born = in.now()
	in.linear = linearMemory{budget: p.module.memory, limit: p.module.limit, mover: in}
	in.stack = callStack{budget: p.module.memory, limit: p.cfg.Stack}
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

// trap is what a host function panics with: wazero unwinds the guest and
// returns it from the call.
type trap struct {
	class event.Class
	text  string
}

// Error implements error.
func (t *trap) Error() string { return t.text }

// run instantiates the guest and stays in its entry point until it ends. The
// error says why it never came to ask for an event; an instance that did is no
// error, however it ended.
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

// logFailure tells of a failure that no event can tell of: after finish, or after END.
func (in *instance) logFailure(err error) {
	var exit *sys.ExitError
	if err == nil || in.trapped == nil && errors.As(err, &exit) && exit.ExitCode() == abi.ExitOK {
		return
	}
	if o := in.failure(err); o.Class != event.ClassCancelled && in.pool.lines.allow(len(o.Message)) {
		in.pool.cfg.Logger.Warn("an instance failed while it had no event", "class", o.Class, "error", event.Headline(o.Message, maxLogged))
	}
}

// startError is a start that failed, with the class of its cause.
type startError struct{ outcome event.Outcome }

// Error implements error.
func (e *startError) Error() string { return e.outcome.Message }

// Unwrap gives the failure its code.
func (e *startError) Unwrap() error {
	if e.outcome.Class == event.ClassMemory {
		return fault.New(fault.Exhausted, "%s", e.outcome.Message)
	}
	return fault.New(fault.Trap, "%s", e.outcome.Message)
}

func classOf(err error) event.Class {
	var s *startError
	if errors.As(err, &s) {
		return s.outcome.Class
	}
	return event.ClassTrap
}

// now is the time since the pool began. It reads the monotonic clock only,
// which is half the work of time.Now, several times an event.
func (in *instance) now() time.Duration { return time.Since(in.pool.epoch) }

// allow gives the guest time and fuel from now on.
func (in *instance) allow(now, span time.Duration, fuel uint64) {
	in.span, in.deadline = span, now+span
	in.fuel.begin(fuel)
}

// call runs the guest from its instantiation to its end.
func (in *instance) call(stdin string) (err error) {
	m := in.pool.module
	in.process = wasi.New(wasi.Config{Host: processHost{in}, Args: []string{in.pool.cfg.Name}, Stdin: stdin,
		Stdout: in.output.stdout(), Stderr: &in.output.stderr, Random: &in.random})
	if err := in.linear.reserve(m.shape.Memory); err != nil {
		return err
	}
	defer in.linear.release()
	defer in.stack.release()
	defer in.endTurn()
	defer func() {
		if r := recover(); r != nil { // a defect of the host's; the guest must not gain by it
			err = fmt.Errorf("the host panicked: %v", r)
		}
	}()
	background := context.Background()
	ctx := callContext{experimental.WithMemoryAllocator(background, &in.linear), in}
	starting := ctx
	starting.Context = experimental.WithSnapshotter(starting.Context) // lets the start function's stack be measured
	guest, err := m.code.Runtime.InstantiateModule(starting, m.code.Module, in.moduleConfig())
	if err != nil {
		return err
	}
	defer guest.Close(background)
	if m.shape.Initialize {
		if err := in.callExport(ctx, guest, abi.InitializeExport); err != nil {
			return fmt.Errorf("%s: %w", abi.InitializeExport, err)
		}
	}
	return in.callExport(ctx, guest, m.shape.Entry)
}

func (in *instance) callExport(ctx context.Context, guest api.Module, name string) error {
	fn := guest.ExportedFunction(name)
	if err := in.stack.run(fn); err != nil {
		return err
	}
	_, err := fn.Call(ctx)
	return err
}

func (in *instance) moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName("").               // a module that names itself "env" must not replace the host's
		WithRandSource(&in.random). // without one the engine seeds a generator of 5 KiB for each instance
		WithStartFunctions()
}

// failure says how an attempt ended that the guest did not finish. It judges
// by what the host itself did, never by codes that a guest can forge.
func (in *instance) failure(err error) event.Outcome {
	o := event.Outcome{Verdict: event.Failed}
	written := in.output.stderr.text()
	var exit *sys.ExitError
	switch {
	case in.trapped != nil:
		o.Class, o.Message = in.trapped.class, in.trapped.text
		if in.trapped.class == event.ClassTrap || in.trapped.class == event.ClassStack {
			o.Message += stackOf(err)
		}
	case in.linear.refused != refusedNone:
		o.Class, o.Message = event.ClassMemory, in.linear.refusedBecause()
		if err != nil && err.Error() != o.Message {
			o.Message += ": " + err.Error()
		}
	case errors.As(err, &exit):
		o.Class, o.Message = event.ClassExit, explain(fmt.Sprintf("it exited with code %d", exit.ExitCode()), written)
		return o
	case err != nil:
		o.Class, o.Message = event.ClassTrap, explain(err.Error(), written)
		return o
	case in.open:
		o.Class, o.Message = event.ClassExit, explain("it returned from its entry point with the event open", written)
		return o
	default:
		o.Class, o.Message = event.ClassExit, explain("it returned from its entry point without asking for an event", written)
		return o
	}
	o.Message = line([]byte(o.Message)) // the names in a stack are the guest's
	if written != "" {
		o.Message += "\n" + written
	}
	return o
}

// stackOf is the guest's stack in the error of a call, from its own line on.
func stackOf(err error) string {
	if err == nil {
		return ""
	}
	if _, stack, ok := strings.Cut(err.Error(), "wasm stack trace:"); ok {
		return "\nwasm stack trace:" + stack
	}
	return ""
}

// spentUp reports whether the instance shall make room for a fresh one.
func (in *instance) spentUp() bool {
	cfg := &in.pool.cfg
	return cfg.FreshPerEvent() && in.served > 0 ||
		cfg.RecycleEvents > 0 && in.served >= cfg.RecycleEvents ||
		cfg.RecycleAge > 0 && in.now()-in.born >= cfg.RecycleAge
}

// take asks the hand for an attempt. It answers false when the guest shall end.
func (in *instance) take() bool {
	p := in.pool
	in.endTurn()
	if in.started != nil {
		in.started(nil)
		in.started = nil
	}
	ok := false
	if !in.spentUp() && !p.stopping() {
		var taken event.Taken
		if taken, ok = in.lease.NextBuffered(); !ok {
			in.stack.accountAlways()
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
			if taken.Waited || in.served == 0 || in.rested {
				in.begun = in.now()
			} else {
				in.begun = in.finished // one look at the clock an event is enough
			}
			in.attempt, in.open = taken.Attempt, true
		}
	}
	if !ok {
		in.ended = true
		in.rest()
		in.allow(in.now(), p.cfg.Timeout, p.cfg.Fuel) // to return from its entry point
		return false
	}
	in.output.stderr.reset()
	in.random.reset()
	in.linear.refused = refusedNone
	in.refused = ""
	in.served++
	in.allow(in.begun, p.cfg.Timeout, p.cfg.Fuel)
	return true
}

// done ends the open attempt.
func (in *instance) done(o event.Outcome) {
	now := in.now() // the only look at the clock of an event, when they come one after another
	used := in.fuel.used()
	in.outcome = o
	end := &in.outcome
	end.At = in.wallTime(now)
	end.Duration, in.finished = now-in.begun, now
	end.Fuel = in.fuel.spent(used)
	if end.Verdict == event.OK {
		end.Children = in.children
	}
	in.children, in.childBytes = nil, 0
	in.open, in.attempt = false, event.Attempt{}
	if end.Verdict == event.OK && !in.pool.succeeded.Load() {
		in.pool.succeeded.Store(true)
	}
	in.lease.Done(end)
	*end = event.Outcome{} // the result is the guest's memory
	// What the guest does until it asks for the next event is not the event's,
	// but it must come to an end.
	in.rested = false
	in.span, in.deadline = in.pool.cfg.Timeout, now+in.pool.cfg.Timeout
	in.fuel.beginAt(used, in.pool.cfg.Fuel)
}

// rest lets go of everything but the open attempt, because the guest waits, perhaps for long.
func (in *instance) rest() {
	in.endTurn()
	in.flush()
}

// flush lets go of what others may need before the open attempt ends.
func (in *instance) flush() {
	in.rested = true
	in.stack.accountAlways()
	in.lease.Flush()
}

// wallEvery is for how long the wall clock is reckoned from the monotonic one.
const wallEvery = 10 * time.Millisecond

// wallTime is the time of day at a moment that has just been.
func (in *instance) wallTime(now time.Duration) time.Time {
	if in.wall.IsZero() || now-in.wallAt > wallEvery {
		in.wall = time.Now()
		in.wallAt = in.wall.Sub(in.pool.epoch)
	}
	return in.wall.Add(now - in.wallAt)
}
