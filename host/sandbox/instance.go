package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// instance is one live guest. But for guard, all of it belongs to the
// goroutine that runs it.
type instance struct {
	pool    *Pool
	guard   guard
	memory  api.Memory
	stderr  tail
	started func(error) // called at the first next, then nil

	ended   bool          // next has answered END
	open    bool          // an attempt is open
	attempt event.Attempt // the open one
	begun   time.Time
	limit   time.Time // the open attempt's deadline
	refused string    // why finish did not take the result of the open attempt

	lastText  string // what last yields
	hasLast   bool
	errorText string
	trapped   *trap // why a host function stopped the guest
}

func newInstance(p *Pool, started func(error)) *instance {
	return &instance{pool: p, started: started}
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
	ctx, cancel := context.WithCancel(in.pool.ctx)
	defer cancel()
	in.guard.cancel = cancel
	defer in.guard.close()
	in.guard.begin(time.Now().Add(in.pool.cfg.StartTimeout))

	err := in.call(callContext{ctx, in})
	if in.open {
		in.done(in.failure(err))
	}
	if in.started == nil {
		return nil
	}
	o := in.failure(err)
	reason := &startError{o}
	in.started(reason)
	return reason
}

// startError is a start that failed, with the class of its cause.
type startError struct{ outcome event.Outcome }

// Error implements error.
func (e *startError) Error() string { return e.outcome.Message }

// Unwrap gives the failure its code.
func (e *startError) Unwrap() error { return fault.New(fault.Trap, "%s", e.outcome.Message) }

func classOf(err error) event.Class {
	var s *startError
	if errors.As(err, &s) {
		return s.outcome.Class
	}
	return event.ClassTrap
}

func (in *instance) call(ctx context.Context) error {
	m := in.pool.module
	guest, err := m.runtime.InstantiateModule(ctx, m.compiled, in.moduleConfig())
	if err != nil {
		return err
	}
	defer guest.Close(context.WithoutCancel(ctx))
	if m.shape.initialize {
		if _, err := guest.ExportedFunction(abi.InitializeExport).Call(ctx); err != nil {
			return fmt.Errorf("%s: %w", abi.InitializeExport, err)
		}
	}
	_, err = guest.ExportedFunction(m.shape.entry).Call(ctx)
	return err
}

func (in *instance) moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // a module that names itself "env" must not replace the host's
		WithStartFunctions().
		WithStdin(strings.NewReader("")).
		WithStdout(&in.stderr).
		WithStderr(&in.stderr).
		WithRandSource(rand.Reader).
		WithSysWalltime().
		WithSysNanotime().
		WithSysNanosleep()
}

// failure says how an attempt ended that the guest did not finish. It judges
// by what the host itself did, never by codes that a guest can forge.
func (in *instance) failure(err error) event.Outcome {
	o := event.Outcome{Verdict: event.Failed}
	var exit *sys.ExitError
	switch {
	case in.trapped != nil:
		o.Class, o.Message = in.trapped.class, in.trapped.text
	case in.guard.timedOut():
		limit := in.pool.cfg.Timeout
		if !in.open {
			limit = in.pool.cfg.StartTimeout
		}
		o.Class, o.Message = event.ClassTimeout, fmt.Sprintf("it ran longer than %v and was stopped", limit)
	case in.pool.ctx.Err() != nil:
		o.Class, o.Message = event.ClassCancelled, "the host stopped it"
	case errors.As(err, &exit):
		o.Class, o.Message = event.ClassExit, fmt.Sprintf("it exited with code %d", exit.ExitCode())
	case err != nil:
		o.Class, o.Message = event.ClassTrap, err.Error()
	case in.open:
		o.Class, o.Message = event.ClassExit, "it returned from its entry point with the event open"
	default:
		o.Class, o.Message = event.ClassExit, "it returned from its entry point without asking for an event"
	}
	if said := in.stderr.text(); said != "" {
		o.Message += "\n" + said
	}
	return o
}

// take asks the source for an attempt. It answers false when the guest shall end.
func (in *instance) take() bool {
	in.guard.end()
	if in.started != nil {
		in.started(nil)
		in.started = nil
	}
	a, more, ok := in.pool.cfg.Source.Next(in.pool.stop)
	if !ok {
		in.ended = true
		in.begunEnding()
		return false
	}
	if more {
		in.pool.wantMore()
	}
	in.stderr.reset()
	in.begun = time.Now()
	in.limit = in.begun.Add(in.pool.cfg.Timeout)
	in.attempt, in.open, in.refused = a, true, ""
	in.guard.begin(in.limit)
	return true
}

// begunEnding gives the guest one event's time to return after END.
func (in *instance) begunEnding() {
	in.guard.begin(time.Now().Add(in.pool.cfg.Timeout))
}

// done gives the open attempt back.
func (in *instance) done(o event.Outcome) {
	in.guard.end()
	o.Duration = time.Since(in.begun)
	a := in.attempt
	in.open, in.attempt = false, event.Attempt{}
	in.pool.done(a, o)
}
