package spec

import (
	"fmt"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// KVEntry is the size of an entry of a plugin's key-value state besides its key and
// value, in bytes: without it 64 MiB of tiny entries would be a gigabyte of file. Stored
// totals depend on it: it never changes.
const KVEntry = 128

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
	if growth > 0 && used+growth > quota {
		return 0, &fault.Error{Code: fault.Exhausted, Field: "value",
			Reason: fmt.Sprintf("the state of %s would be %d bytes; the limit is %d", plugin, used+growth, quota)}
	}
	return growth, nil
}

// KVItem is a key of a plugin's state, in a list.
type KVItem struct {
	Key   string
	Size  int       // of the value, in bytes
	Until time.Time // when it disappears; zero for never
}
