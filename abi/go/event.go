package berth

import (
	"time"
	"unsafe"

	"github.com/berth-host/berth/abi/go/internal/wire"
)

// Event is the event being handled, or one of a Batch. Call its methods only until the
// handler returns.
type Event struct {
	envelope []byte // buffer, reused; the first size bytes are the event
	size     int
	field    []byte // buffer, reused
	texts    []byte // the latest texts of Field, in a block that they share; the block is not reused

	batched bool
	index   int    // within the batch
	pointer []byte // buffer: the pointer to this event within the batch, and after it a pointer into the event
	prefix  int    // bytes of the former
}

// The texts of Field are made in blocks of textBlock bytes, which costs an allocation for a
// block and not for a text; a block is begun when less than usualText bytes are free.
const (
	textBlock = 1024
	usualText = 64
)

// next waits for an event, and reports false when there are no more.
func (e *Event) next() bool {
	n := wire.Next(e.envelope)
	if n == int32(ErrEnd) {
		return false
	}
	if n < 0 {
		panic(callError("next", n).Error())
	}
	e.envelope = refill(e.envelope, n)
	e.size = int(n)
	return true
}

// ask has the host extract a value of the event.
func (e *Event) ask(pointer string, buf []byte) int32 {
	if !e.batched || pointer != "" && pointer[0] != '/' { // the latter is malformed
		return wire.Field(pointer, buf)
	}
	e.pointer = append(e.pointer[:e.prefix], pointer...)
	return wire.Field(unsafe.String(unsafe.SliceData(e.pointer), len(e.pointer)), buf)
}

// refill returns the buffer with the n bytes that a call has yielded: buf if they
// fit, otherwise a larger one, filled by asking for them again.
func refill(buf []byte, n int32) []byte {
	if int(n) <= len(buf) {
		return buf
	}
	buf = make([]byte, max(int(n), 2*len(buf)))
	if m := wire.Last(buf); m != n {
		panic(callError("last", m).Error())
	}
	return buf
}

// Raw returns the whole envelope as JSON, as it was published. It is valid
// until the handler returns and must not be changed.
func (e *Event) Raw() []byte { return e.envelope[:e.size:e.size] }

// Field returns the value at a JSON Pointer (RFC 6901) into the envelope, such
// as "/data/status", and whether there is one. A string comes as its text, any
// other value as JSON: a null is "null". It panics when the pointer is
// malformed: when it is neither empty nor begins with "/", or has a "~" that
// is not in "~0" or "~1".
func (e *Event) Field(pointer string) (string, bool) {
	if cap(e.texts)-len(e.texts) < usualText {
		e.texts = make([]byte, 0, textBlock)
	}
	free := e.texts[len(e.texts):cap(e.texts)]
	n := e.ask(pointer, free)
	switch {
	case n < 0:
		return "", present(pointer, n)
	case int(n) <= len(free):
		e.texts = e.texts[:len(e.texts)+int(n)]
	default:
		free = refill(nil, n)
	}
	return unsafe.String(unsafe.SliceData(free), int(n)), true // its bytes are never written again
}

// present returns false for a field that is not there, and panics for a malformed pointer.
func present(pointer string, n int32) bool {
	if n != int32(ErrNotFound) {
		panic(callError("field "+pointer, n).Error())
	}
	return false
}

// FieldBytes is Field without a copy: the bytes are valid until the next call
// of Field, FieldBytes, Int or Bool.
func (e *Event) FieldBytes(pointer string) ([]byte, bool) {
	n := e.ask(pointer, e.field)
	if n < 0 {
		return nil, present(pointer, n)
	}
	e.field = refill(e.field, n)
	return e.field[:n:n], true
}

// Int returns the whole number at a JSON Pointer. It reports false when there
// is nothing, something else, a fraction or exponent, or a number beyond an
// int64. A string of digits is read as a number.
func (e *Event) Int(pointer string) (int64, bool) {
	b, ok := e.FieldBytes(pointer)
	if !ok {
		return 0, false
	}
	return parseInt(b)
}

// parseInt is strconv.ParseInt for bytes, without making a string of them.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 { // 19 digits fit a uint64
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return int64(-n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}

// Bool returns the true or false at a JSON Pointer. It reports false for ok
// when there is nothing or something else there.
func (e *Event) Bool(pointer string) (value, ok bool) {
	b, ok := e.FieldBytes(pointer)
	if !ok {
		return false, false
	}
	switch string(b) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// Type returns the event's type, such as "order_status_changed".
func (e *Event) Type() string { return e.text("/event_type") }

// ID returns the event's id, which no other event has.
func (e *Event) ID() string { return e.text("/metadata/event_id") }

// IdempotencyKey returns the key that is the same each time this event is
// delivered, and the same for an event that was published twice.
func (e *Event) IdempotencyKey() string { return e.text("/metadata/idempotency_key") }

// Subject returns the event's subject, such as an order's id, or "".
func (e *Event) Subject() string { return e.text("/metadata/subject") }

func (e *Event) text(pointer string) string {
	s, _ := e.Field(pointer)
	return s
}

// Attempt returns 1 on the first delivery of the event, 2 on the second.
func (e *Event) Attempt() int { return int(wire.Attempt()) }

// Remaining returns the time until the event's deadline, in whole milliseconds.
// The host ends an instance that exceeds it.
func (e *Event) Remaining() time.Duration {
	return time.Duration(wire.Remaining()) * time.Millisecond
}
