package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/crash"
	"github.com/berth-host/berth/host/sandbox/resultcheck"
)

// runStdio runs a WASI command for the open attempt: the envelope is its stdin, its stdout
// the result. Exit code 0 is ok, 75 requests a retry, and any other rejects the event; the
// reason is its crash, or the last line that it wrote to stderr.
func (in *instance) runStdio() {
	result := &limited{limit: abi.MaxResult}
	in.output.result = result
	err := in.call(in.attempt.Event.Envelope())
	for text := range strings.Lines(in.output.stderr.Text()) {
		in.publish(slog.LevelInfo, strings.TrimRight(text, "\r\n")) // the log of the attempt has them already
	}
	o := in.stdioOutcome(err, result)
	in.failed = o.Verdict == event.Failed
	in.done(o)
}

func (in *instance) stdioOutcome(err error, result *limited) event.Outcome {
	var exit *sys.ExitError
	exited := errors.As(err, &exit) && in.trapped == nil
	if err != nil && !exited {
		return in.failure(err)
	}
	code := uint32(0)
	if exited {
		code = exit.ExitCode()
	}
	reason := fmt.Sprintf("it exited with code %d", code)
	if written := in.output.stderr.Text(); written != "" {
		reason = crash.ExplainExit(written)
	}
	switch code {
	case abi.ExitOK:
	case abi.ExitRetry:
		return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: reason}
	default:
		return event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Message: reason}
	}
	answer := []byte(strings.TrimSpace(string(result.buf)))
	if result.over {
		return event.Outcome{Verdict: event.Failed, Class: event.ClassBadResult,
			Message: fmt.Sprintf("its result is over the limit of %d bytes", abi.MaxResult)}
	}
	if reason := resultcheck.Bad(answer); reason != "" {
		return event.Outcome{Verdict: event.Failed, Class: event.ClassBadResult, Message: "its result (stdout) " + reason}
	}
	return event.Outcome{Verdict: event.OK, Result: answer}
}

// limited keeps writes up to a limit, and refuses more.
type limited struct {
	limit int
	buf   []byte
	over  bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if len(l.buf)+len(p) > l.limit {
		l.over = true
		return 0, errQuota
	}
	l.buf = append(l.buf, p...)
	return len(p), nil
}
