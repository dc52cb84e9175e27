package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// Error is the position of a malformation, or the unsupported feature of a module.
type Error struct {
	Offset  int    // from the start of the module, in bytes
	Reason  string // what is wrong, without the offset
	Feature string // the proposal's name when that is the reason, else ""
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason) }

// Reader reads a part of a module. Its methods return *Error only.
type Reader struct {
	buf []byte // the whole module: offsets are the module's own
	pos int
	end int
}

// NewReader reads module from its first byte to its last.
func NewReader(module []byte) Reader { return Reader{buf: module, end: len(module)} }

// Pos is the offset in the module of the next byte to be read.
func (r *Reader) Pos() int { return r.pos }

// Left is the number of bytes that remain.
func (r *Reader) Left() int { return r.end - r.pos }

// Slice is the module's bytes from one offset to another, not copied.
func (r *Reader) Slice(from, to int) []byte { return r.buf[from:to:to] }

// Errorf is an *Error at the reader's position.
func (r *Reader) Errorf(format string, args ...any) error {
	return &Error{Offset: r.pos, Reason: fmt.Sprintf(format, args...)}
}

// Unsupported is an *Error for a feature of a later proposal, at offset.
func Unsupported(offset int, feature string) error {
	return &Error{Offset: offset, Feature: feature, Reason: feature + " is not supported"}
}

func (r *Reader) eof() error { return r.Errorf("unexpected end") }

// Byte reads one byte.
func (r *Reader) Byte() (byte, error) {
	if r.pos >= r.end {
		return 0, r.eof()
	}
	b := r.buf[r.pos]
	r.pos++
	return b, nil
}

// Skip passes over n bytes.
func (r *Reader) Skip(n int) error {
	if n < 0 || n > r.Left() {
		return r.eof()
	}
	r.pos += n
	return nil
}

// Bytes reads n bytes, not copied.
func (r *Reader) Bytes(n int) ([]byte, error) {
	from := r.pos
	if err := r.Skip(n); err != nil {
		return nil, err
	}
	return r.Slice(from, r.pos), nil
}

// Sub is a reader of the next n bytes, and r continues behind them.
func (r *Reader) Sub(n uint32) (Reader, error) {
	if uint64(n) > uint64(r.Left()) {
		return Reader{}, r.Errorf("a length of %d is more than the %d bytes that remain", n, r.Left())
	}
	s := Reader{buf: r.buf, pos: r.pos, end: r.pos + int(n)}
	r.pos = s.end
	return s, nil
}

// U32 reads an unsigned LEB128 integer of 32 bits.
func (r *Reader) U32() (uint32, error) {
	if r.pos < r.end && r.buf[r.pos] < 0x80 { // nearly all of them
		r.pos++
		return uint32(r.buf[r.pos-1]), nil
	}
	return r.longU32()
}

// longU32 is U32 for an integer of more than one byte.
func (r *Reader) longU32() (uint32, error) {
	start, v := r.pos, uint32(0)
	for shift := 0; shift < 35; shift += 7 {
		b, err := r.Byte()
		if err != nil {
			return 0, err
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			if shift == 28 && b > 0x0f {
				return 0, &Error{Offset: start, Reason: "integer over 32 bits"}
			}
			return v, nil
		}
	}
	return 0, &Error{Offset: start, Reason: "integer encoded in more than 5 bytes"}
}

// signed reads a signed LEB128 integer of the given number of bits (33 at least).
func (r *Reader) signed(bits int) (int64, error) {
	if r.pos < r.end && r.buf[r.pos] < 0x80 { // most of them
		r.pos++
		return int64(int8(r.buf[r.pos-1]<<1)) >> 1, nil
	}
	start, v := r.pos, int64(0)
	for shift := 0; shift < bits; shift += 7 {
		b, err := r.Byte()
		if err != nil {
			return 0, err
		}
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if used := bits - shift; used < 7 {
			// The bits above the integer's own must repeat its sign.
			if top := int8(b<<1) >> used; top != 0 && top != -1 {
				return 0, &Error{Offset: start, Reason: fmt.Sprintf("integer over %d bits", bits)}
			}
		}
		if s := shift + 7; s < 64 {
			v = v << (64 - s) >> (64 - s)
		}
		return v, nil
	}
	return 0, &Error{Offset: start, Reason: fmt.Sprintf("integer encoded in more than %d bytes", (bits+6)/7)}
}

// S32 reads a signed LEB128 integer of 32 bits.
func (r *Reader) S32() (int32, error) {
	v, err := r.signed(32)
	return int32(v), err
}

// S33 reads a signed LEB128 integer of 33 bits, the form of a block type.
func (r *Reader) S33() (int64, error) { return r.signed(33) }

// S64 reads a signed LEB128 integer of 64 bits.
func (r *Reader) S64() (int64, error) { return r.signed(64) }

// Count reads the length of a vector whose entries take at least size bytes each,
// and refuses one that exceeds the remaining bytes.
func (r *Reader) Count(what string, size int) (uint32, error) {
	start := r.pos
	n, err := r.U32()
	if err != nil {
		return 0, err
	}
	if uint64(n)*uint64(size) > uint64(r.Left()) {
		return 0, &Error{Offset: start, Reason: fmt.Sprintf("%d %s declared, but only %d bytes remain", n, what, r.Left())}
	}
	return n, nil
}

// Name reads a length and that many bytes of UTF-8, not copied.
func (r *Reader) Name() ([]byte, error) {
	start := r.pos
	n, err := r.Count("bytes of a name", 1)
	if err != nil {
		return nil, err
	}
	b, err := r.Bytes(int(n))
	if err == nil && !utf8.Valid(b) {
		err = &Error{Offset: start, Reason: "a name is not UTF-8"}
	}
	return b, err
}

// Done refuses bytes that are left over.
func (r *Reader) Done(what string) error {
	if r.Left() != 0 {
		return r.Errorf("%d bytes left over at the end of %s", r.Left(), what)
	}
	return nil
}
