package spec

import (
	"fmt"
	"math"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// KVEntry is the size of an entry of a plugin's key-value state besides its key and
// value, in bytes: without it 64 MiB of tiny entries would be a gigabyte of file. Stored
// totals depend on it: it never changes.
const KVEntry = 128

// KVItem is a key of a plugin's key-value state.
type KVItem struct {
	Key   string
	Size  int       // bytes of its value
	Until time.Time // when it disappears; zero for never
}

// KVChange is one write of a key, with what it depends on.
type KVChange struct {
	Key   string
	Value []byte // nil removes the key, with and without a value
	// Until is when the value disappears: zero is never or, with Compare, when the present one
	// does; a time that is over removes the key.
	Until time.Time
	// Compare: only if the present value equals Old or, when Old is nil, if there is none.
	Compare bool
	Old     []byte
}

// MaxKVPage is how many keys engines list at most in one call.
const MaxKVPage = 1000

// CheckKVPage checks the limit of a list of keys: fault.Invalid.
func CheckKVPage(limit int) error {
	if limit < 1 || limit > MaxKVPage {
		return fault.Field("limit", "is %d, but must be 1 to %d", limit, MaxKVPage)
	}
	return nil
}

// KVUntil returns a time limit in Unix ns, 0 for the zero time. Times that this cannot
// express are the latest or the earliest that it can.
func KVUntil(until time.Time) int64 {
	switch {
	case until.IsZero():
		return 0
	case until.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return max(until.UnixNano(), 1)
}

// KVLimit is the inverse of KVUntil, in UTC.
func KVLimit(until int64) time.Time {
	if until == 0 {
		return time.Time{}
	}
	return time.Unix(0, until).UTC()
}

// CheckKV checks the sizes of a key and a value. A key that is empty or too long is
// fault.Invalid, a value that is too large fault.Exhausted, both with the field.
func CheckKV(key string, value []byte) error {
	if key == "" || len(key) > abi.MaxKVKey {
		return fault.Field("key", "is %d bytes, but must be 1 to %d", len(key), abi.MaxKVKey)
	}
	if len(value) > abi.MaxKVValue {
		return &fault.Error{Code: fault.Exhausted, Field: "value", Reason: "is larger than 1 MiB"}
	}
	return nil
}

// GrowKV returns the growth of a plugin's state, in bytes, when value replaces present,
// or the missing entry if found is false. When the state would grow beyond the quota the
// error is fault.Exhausted with the field "value", unlike a full disk: a retry does not
// help.
func GrowKV(plugin, key string, present []byte, found bool, value []byte, used, quota int64) (int64, error) {
	growth := int64(len(value) - len(present))
	if !found {
		growth += int64(len(key)) + KVEntry
	}
	if err := FitKV(plugin, growth, used, quota); err != nil {
		return 0, err
	}
	return growth, nil
}

// FitKV returns the error of GrowKV for a plugin's state that would grow by so many bytes in
// all; a state that does not grow fits.
func FitKV(plugin string, growth, used, quota int64) error {
	if growth <= 0 || used+growth <= quota {
		return nil
	}
	return &fault.Error{Code: fault.Exhausted, Field: "value",
		Reason: fmt.Sprintf("the state of %s would be %d bytes; the limit is %d", plugin, used+growth, quota)}
}
