package berth

import (
	"encoding/binary"
	"iter"
	"math"
	"time"

	"github.com/berth-host/berth/abi/go/internal/wire"
)

// KV is the plugin's durable state, shared by all its instances and versions. Each
// call is its own transaction and takes effect at once, also if the event fails, unless the
// manifest has "state": "atomic": then the writes of an event take effect together when it
// ends well, with its children, and otherwise not at all.
// Keys are 1 to 256 bytes, values at most 1 MiB (ErrTooLarge). It needs the capability
// kv (ErrDenied).
var KV kv

type kv struct{}

// Get returns the value of a key, or ErrNotFound.
func (kv) Get(key string) ([]byte, error) {
	buf := make([]byte, 1024)
	return yielded("kv_get", buf, wire.KVGet(key, buf))
}

// Set writes a value; the last write wins.
func (kv) Set(key string, value []byte) error {
	return failed("kv_set", wire.KVSet(key, value))
}

// CAS writes a value only if the current one equals old, or, when old is nil,
// only if there is none. Otherwise it returns ErrConflict.
func (kv) CAS(key string, old, value []byte) error {
	return failed("kv_cas", wire.KVCAS(key, old, value))
}

// Delete removes a key. A key that is not there is no error.
func (kv) Delete(key string) error {
	return failed("kv_delete", wire.KVDelete(key))
}

// Keys yields the keys that begin with prefix ("" for all), in bytewise order. It asks the
// host for the next keys as they are needed: keys written meanwhile may or may not appear. A
// call that fails yields its error and ends the iteration.
func (kv) Keys(prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		buf := make([]byte, 4096)
		for after := ""; ; {
			page, err := yielded("kv_list", buf, wire.KVList(prefix, after, buf))
			if err != nil {
				yield("", err)
				return
			}
			if len(page) == 0 {
				return
			}
			buf = page[:cap(page)]
			for len(page) > 0 {
				end := 4 + int(binary.LittleEndian.Uint32(page))
				after = string(page[4:end])
				page = page[end:]
				if !yield(after, nil) {
					return
				}
			}
		}
	}
}

// Expire has a key disappear after a time, which is rounded up to seconds and at most 2^31-1
// of them (ErrInvalid). 0 removes the limit, and so does Set; CAS keeps it. Without the key it
// returns ErrNotFound.
func (kv) Expire(key string, after time.Duration) error {
	if after < 0 || after > math.MaxInt32*time.Second {
		return &CallError{Call: "kv_expire", Code: ErrInvalid, Text: "the time is not from 0 to 2147483647 s"}
	}
	return failed("kv_expire", wire.KVExpire(key, int32((after+time.Second-1)/time.Second)))
}
