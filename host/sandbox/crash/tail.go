package crash

import (
	"bytes"
	"errors"
	"strings"
)

const (
	maxTail   = 8 << 10 // bytes kept of the end of a guest's output
	maxHead   = 2 << 10 // bytes kept in addition of a crash before that
	maxOutput = 1 << 20 // bytes a guest may write until Reset
)

var errOutput = errors.New("the guest has written more than its quota")

// Tail keeps the end of a guest's output for the error of a failed attempt, and the start
// of a crash before that, so that a long stack does not displace its cause. It refuses
// writes beyond its quota: the guest gets an error from fd_write, and a write of millions of
// pieces ends there. It is for one goroutine. The zero value is empty.
type Tail struct {
	buf     []byte // up to twice maxTail, so that it is scanned once per maxTail bytes
	head    string // of the last crash before buf
	written int
}

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	if t.written += len(p); t.written > maxOutput {
		return 0, errOutput
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
func (t *Tail) cut() {
	drop := len(t.buf) - maxTail
	if drop <= 0 {
		return
	}
	text := string(t.buf)
	if headline, at := Find(text); headline != "" && at < drop {
		t.head = text[at:min(at+maxHead, len(text))]
	}
	t.buf = append(t.buf[:0], t.buf[drop:]...)
}

// Reset forgets what was written.
func (t *Tail) Reset() { t.buf, t.head, t.written = t.buf[:0], "", 0 }

// Text returns the kept output as UTF-8.
func (t *Tail) Text() string {
	t.cut()
	text := string(bytes.TrimSpace(t.buf))
	if t.head != "" {
		if headline, _ := Find(text); headline == "" {
			text = t.head + "\n…\n" + text
		}
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
