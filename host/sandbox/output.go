package sandbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"unicode/utf16"
)

const (
	maxTail   = 8 << 10 // bytes kept of what a guest wrote last
	maxOutput = 1 << 20 // bytes a guest may write for one event, to each of stdout and stderr
	maxRandom = 1 << 20 // random bytes a guest may have for one event
)

// output is what a guest writes to stdout and stderr.
type output struct {
	result io.Writer // stdout of a stdio guest; nil otherwise: stdout is then kept with stderr
	stderr tail
}

func (o *output) stdout() io.Writer {
	if o.result != nil {
		return o.result
	}
	return &o.stderr
}

// tail keeps the last of what a guest writes, for the error of the attempt it
// fails, and refuses to take more than its quota: the guest gets an error from
// fd_write, and a write of millions of pieces ends there. It belongs to the
// instance's goroutine.
type tail struct {
	buf     []byte
	written int
}

var errQuota = errors.New("the guest is over its quota")

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	if t.written += len(p); t.written > maxOutput {
		return 0, errQuota
	}
	n := len(p)
	if len(p) > maxTail {
		p = p[len(p)-maxTail:]
	}
	if over := len(t.buf) + len(p) - maxTail; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

func (t *tail) reset() { t.buf, t.written = t.buf[:0], 0 }

func (t *tail) text() string {
	return string(bytes.ToValidUTF8(bytes.TrimSpace(t.buf), []byte("\uFFFD")))
}

// randomQuota is the guest's random source. It belongs to the instance's
// goroutine.
type randomQuota struct{ taken int }

// Read implements io.Reader.
func (r *randomQuota) Read(p []byte) (int, error) {
	if r.taken += len(p); r.taken > maxRandom {
		return 0, errQuota
	}
	return rand.Read(p)
}

func (r *randomQuota) reset() { r.taken = 0 }

// decodeUTF16 reads little-endian UTF-16.
func decodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return string(utf16.Decode(units))
}
