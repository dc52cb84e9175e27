package pages

import (
	"encoding/binary"
	"errors"
	"math"
)

// errRecord is the error of bytes that are no record.
var errRecord = errors.New("the record contradicts the format")

// varint reads a variable-length integer. n is its length, 0 when b ends before it does.
func varint(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 9; i++ {
		if i == 8 {
			return v<<8 | uint64(b[i]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// decodeRecord returns the values of a record: nil, int64, float64, string or []byte. The
// record must be exactly payload.
func decodeRecord(payload []byte) ([]any, error) {
	size, n := varint(payload)
	if n == 0 || size < uint64(n) || size > uint64(len(payload)) {
		return nil, errRecord
	}
	types, body := payload[n:size], payload[size:]
	var values []any
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 {
			return nil, errRecord
		}
		types = types[n:]
		length := valueSize(kind)
		if length < 0 || length > int64(len(body)) {
			return nil, errRecord
		}
		values = append(values, value(kind, body[:length]))
		body = body[length:]
	}
	if len(body) > 0 {
		return nil, errRecord
	}
	return values, nil
}

// valueSize returns the number of bytes of a value, -1 for a type that does not exist.
func valueSize(kind uint64) int64 {
	switch {
	case kind <= 4:
		return int64(kind)
	case kind == 5:
		return 6
	case kind <= 7:
		return 8
	case kind <= 9:
		return 0
	case kind <= 11 || kind > math.MaxInt32*2:
		return -1
	}
	return int64(kind-12) / 2
}

func value(kind uint64, b []byte) any {
	switch {
	case kind == 0:
		return nil
	case kind <= 6:
		v := int64(int8(b[0]))
		for _, c := range b[1:] {
			v = v<<8 | int64(c)
		}
		return v
	case kind == 7:
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	case kind <= 9:
		return int64(kind - 8)
	case kind%2 == 0:
		return append(make([]byte, 0, len(b)), b...)
	}
	return string(b)
}
