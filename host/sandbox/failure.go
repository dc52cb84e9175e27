package sandbox

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/sys"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	frames "github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/crash"
	"github.com/berth-host/berth/host/sandbox/guesttext"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/source"
)

// maxLogged bounds the logged part of an instance's error, in bytes.
const maxLogged = 1000

// failure returns the outcome of an attempt that the guest did not finish. It depends on
// actions of the host, never on codes that a guest can forge. It may wait for the source
// lines of the guest's stack.
func (in *instance) failure(err error) event.Outcome {
	o := event.Outcome{Verdict: event.Failed}
	written := in.output.stderr.Text()
	var exit *sys.ExitError
	switch {
	case in.trapped != nil:
		o.Class, o.Message = in.trapped.class, in.trapped.text
		if in.trapped.class == event.ClassTrap || in.trapped.class == event.ClassStack {
			stack := in.stackOf(err)
			stack.Reported = in.trapped.at
			o.Message += stack.Text()
		}
	case in.linear.Refused != memory.NotRefused:
		o.Class, o.Message = event.ClassMemory, in.linear.Reason()
		if stack := in.stackOf(err); stack.Cause != "" {
			o.Message += ": " + stack.Headline() + stack.Text()
		} else if err != nil && err.Error() != o.Message {
			o.Message += ": " + err.Error()
		}
	case errors.As(err, &exit):
		o.Class, o.Message = event.ClassExit, crash.Explain(fmt.Sprintf("it exited with code %d", exit.ExitCode()), "", written)
		return o
	case err != nil:
		o.Class = event.ClassTrap
		if stack := in.stackOf(err); stack.Cause != "" {
			report, _ := crash.Find(written)
			stack.Reported.File, stack.Reported.Line = frames.Location(report)
			o.Message = crash.Explain(stack.Headline()+stack.Text(), stack.Location(), written)
		} else {
			o.Message = crash.Explain(err.Error(), "", written)
		}
		return o
	case in.open:
		o.Class, o.Message = event.ClassExit, crash.Explain("it returned from its entry point with the event open", "", written)
		return o
	default:
		o.Class, o.Message = event.ClassExit, crash.Explain("it returned from its entry point without asking for an event", "", written)
		return o
	}
	o.Message = guesttext.Line([]byte(o.Message)) // the names in a stack are the guest's
	if written != "" {
		o.Message += "\n" + written
	}
	return o
}

// stackOf returns the guest's stack in the error of a call, with its source lines if they
// are found in time.
func (in *instance) stackOf(err error) source.Stack {
	if err == nil {
		return source.Stack{}
	}
	m := in.pool.module
	stack, ok := source.Parse(err.Error(), m.imports)
	if ok {
		begun := in.now()
		m.locator.Locate(in.pool.life, &stack, in.beforeWait)
		in.begun += in.now() - begun // the attempt does not include this
	}
	return stack
}

// logFailure logs a failure without an open event: after finish, or after END.
func (in *instance) logFailure(err error) {
	var exit *sys.ExitError
	if err == nil || in.trapped == nil && errors.As(err, &exit) && exit.ExitCode() == abi.ExitOK {
		return
	}
	if o := in.failure(err); o.Class != event.ClassCancelled && in.pool.lines.Allow(len(o.Message)) {
		in.pool.cfg.Logger.Warn("instance failed without an event", "class", o.Class, "error", event.Headline(o.Message, maxLogged))
	}
}

// startError is a failed start, with the class of its cause.
type startError struct{ outcome event.Outcome }

// Error implements error.
func (e *startError) Error() string { return e.outcome.Message }

// Unwrap gives the error its code.
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
