package sandbox

import (
	"bytes"
	"unicode/utf16"
)

// maxTail is how much of what a guest wrote last is kept, in bytes.
const maxTail = 8 << 10

// tail keeps the last of what a guest writes to stderr and stdout, for the
// error of the attempt it fails. It belongs to the instance's goroutine.
type tail struct{ buf []byte }

// Write implements io.Writer. It never fails.
func (t *tail) Write(p []byte) (int, error) {
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

func (t *tail) reset() { t.buf = t.buf[:0] }

func (t *tail) text() string {
	return string(bytes.ToValidUTF8(bytes.TrimSpace(t.buf), []byte("\uFFFD")))
}

// decodeUTF16 reads little-endian UTF-16.
func decodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return string(utf16.Decode(units))
}
