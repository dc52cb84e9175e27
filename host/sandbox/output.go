package sandbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/berth-host/berth/host/sandbox/crash"
)

const (
	maxTail   = 8 << 10 // bytes kept of the end of a guest's output
	maxHead   = 2 << 10 // bytes kept in addition of a crash before that, see package crash
	maxOutput = 1 << 20 // bytes a guest may write for one event, to each of stdout and stderr
	maxRandom = 1 << 20 // random bytes a guest may have for one event
)

// output is what a guest writes to stdout and stderr.
type output struct {
	result io.Writer // stdout of a stdio guest; nil otherwise: stdout is added to stderr
	stderr tail
}

func (o *output) stdout() io.Writer {
	if o.result != nil {
		return o.result
	}
	return &o.stderr
}

// tail keeps the end of a guest's output for the error of a failed attempt, and the start
// of a crash before that, so that a long stack does not displace its cause. It refuses
// writes beyond its quota: the guest gets an error from fd_write, and a write of millions of
// pieces ends there. It belongs to the instance's goroutine.
type tail struct {
	buf     []byte // up to twice maxTail, so that it is scanned once per maxTail bytes
	head    string // of the last crash before buf
	written int
}

var errQuota = errors.New("the guest is over its quota")

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	if t.written += len(p); t.written > maxOutput {
		return 0, errQuota
	}
	for left := p; len(left) > 0; {
		if len(t.buf) == 2*maxTail {
			t.cut()
		}
		n := min(len(left), 2*maxTail-len(t.buf))
		t.buf, left = append(t.buf, left[:n]...), left[n:]
	}
	return len(p), nil
}

// cut drops all but the last maxTail bytes.
func (t *tail) cut() {
	drop := len(t.buf) - maxTail
	if drop <= 0 {
		return
	}
	text := string(t.buf)
	if headline, at := crash.Find(text); headline != "" && at < drop {
		t.head = text[at:min(at+maxHead, len(text))]
	}
	t.buf = append(t.buf[:0], t.buf[drop:]...)
}

func (t *tail) reset() { t.buf, t.head, t.written = t.buf[:0], "", 0 }

// text returns the kept output as UTF-8.
func (t *tail) text() string {
	t.cut()
	text := string(bytes.TrimSpace(t.buf))
	if t.head != "" {
		if headline, _ := crash.Find(text); headline == "" {
			text = t.head + "\n…\n" + text
		}
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

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

// decodeUTF16 reads little-endian UTF-16.
func decodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return string(utf16.Decode(units))
}
