package sandbox

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"

	"github.com/berth-host/berth/host/sandbox/crash"
)

const maxRandom = 1 << 20 // random bytes a guest may have for one event

// output is what a guest writes to stdout and stderr.
type output struct {
	result io.Writer // stdout of a stdio guest; nil otherwise: stdout is added to stderr
	stderr crash.Tail
}

// stderr is the guest's output to stderr. It keeps the end for the message of a failure, and
// the lines of an attempt.
type stderr struct{ in *instance }

// Write implements io.Writer.
func (w stderr) Write(p []byte) (int, error) {
	in := w.in
	n, err := in.output.stderr.Write(p)
	if in.open && err == nil && in.pool.logLevel.Level() <= slog.LevelInfo {
		in.lines.Write(in.wallNow(), p)
	}
	return n, err
}

func (in *instance) stdout() io.Writer {
	if in.output.result != nil {
		return in.output.result
	}
	return stderr{in}
}

var errQuota = errors.New("the guest is over its quota")

// randomQuota is the guest's random source. It belongs to the instance's
// goroutine.
type randomQuota struct {
	taken  int
	source io.Reader // nil: the system's
}

// Read implements io.Reader.
func (r *randomQuota) Read(p []byte) (int, error) {
	if r.taken += len(p); r.taken > maxRandom {
		return 0, errQuota
	}
	if r.source != nil {
		return r.source.Read(p)
	}
	return rand.Read(p)
}

func (r *randomQuota) reset() { r.taken = 0 }
