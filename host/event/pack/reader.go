package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrDamaged is wrapped by the errors of bytes that are no block.
var ErrDamaged = errors.New("the block is damaged")

// ErrNewer is wrapped by the error of a block in a format that a newer version wrote.
var ErrNewer = errors.New("a newer Berth wrote the block")

func damaged(part string) error { return fmt.Errorf("%w: %s", ErrDamaged, part) }

// reader reads the bytes of a column.
type reader struct {
	b   []byte
	bad bool // something could not be read
}

// number returns the next number of a column that ends with its last one that is not 0.
func (r *reader) number() uint64 {
	if len(r.b) == 0 {
		return 0
	}
	return r.required()
}

func (r *reader) signed() int64 { return unzigzag(r.number()) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// required returns the next uvarint.
func (r *reader) required() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// ended reports whether everything was read, without an error.
func (r *reader) ended() bool { return !r.bad && len(r.b) == 0 }
