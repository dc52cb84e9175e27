package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/provisional"
)

// KV is the durable state of one plugin, shared by all its instances. Keys are 1 to
// abi.MaxKVKey arbitrary bytes, values at most abi.MaxKVValue. It must be safe for
// concurrent use, and must not keep or change the values it is given. Errors:
// fault.Exhausted with a field when the value exceeds the plugin's quota (TOO_LARGE),
// fault.Conflict of CompareAndSet, fault.Timeout; any other is UNAVAILABLE to the guest.
type KV interface {
	// Cached returns a value that is in memory, and whether there is one, without waiting.
	// ok is false when only Get can answer. The caller must not change the value.
	Cached(key string) (value []byte, found, ok bool)
	// Newest is Cached, but also returns a value whose write is not durable yet. Then
	// stored is not nil: it waits until the write is, and returns an error when it never
	// will be or when ctx ends first.
	Newest(key string) (value []byte, found, ok bool, stored func(ctx context.Context) error)
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Set(ctx context.Context, key string, value []byte) error
	// CompareAndSet writes if the present value equals old or, when old is nil, if there
	// is none; otherwise it returns fault.Conflict.
	CompareAndSet(ctx context.Context, key string, old, value []byte) error
	// Delete succeeds when there is no such key.
	Delete(ctx context.Context, key string) error
	// List returns the keys that begin with prefix and sort bytewise after another key, ""
	// for all, ascending, at most limit.
	List(ctx context.Context, prefix, after string, limit int) (keys []string, err error)
	// Expire has a key disappear at a time; zero removes the limit that it had.
	// fault.NotFound when there is no such key.
	Expire(ctx context.Context, key string, until time.Time) error
	// Usage returns the size of the state, as spec.GrowKV counts it, and its bound.
	Usage(ctx context.Context) (used, quota int64, err error)
}

// kvWork is the cost of an access to the store, as bytes to charge for.
const kvWork = 64 << 10

// kvGet yields a value: (key, key_len, buf, cap) -> n.
func (in *instance) kvGet(_ api.Module, stack []uint64) {
	key := in.view(stack[0], stack[1])
	in.view(stack[2], stack[3])
	value, found, code := in.readKV(key)
	switch {
	case int32(code) < 0:
		stack[0] = code
	case !found:
		stack[0] = in.refuse(abi.NotFound, "there is no such key")
	default:
		stack[0] = in.yield(stack[2], stack[3], string(value))
	}
}

// kvSet writes a value: (key, key_len, val, val_len) -> 0.
func (in *instance) kvSet(_ api.Module, stack []uint64) {
	key, value := in.view(stack[0], stack[1]), in.view(stack[2], stack[3])
	stack[0] = in.kv(key, value, func(ctx context.Context, kv KV, key string) error {
		return kv.Set(ctx, key, value)
	})
}

// kvCAS writes a value in place of another:
// (key, key_len, old, old_len, val, val_len) -> 0.
func (in *instance) kvCAS(_ api.Module, stack []uint64) {
	key := in.view(stack[0], stack[1])
	var old []byte
	if int32(stack[3]) != -1 {
		old = in.view(stack[2], stack[3])
		if old == nil {
			old = []byte{} // an empty value, not an absent one
		}
	}
	value := in.view(stack[4], stack[5])
	if len(old) > abi.MaxKVValue {
		stack[0] = in.refuse(abi.TooLarge, fmt.Sprintf("the old value is %d bytes; the limit is %d", len(old), abi.MaxKVValue))
		return
	}
	in.charge(len(old))
	in.reads.Swaps = true
	stack[0] = in.writeKV(key, value, in.reads.ProvedBy(string(key), old), func(ctx context.Context, kv KV, key string) error {
		return kv.CompareAndSet(ctx, key, old, value)
	})
	if stack[0] == 0 {
		in.reads.SwapSucceeded(string(key), old)
	}
}

// kvDelete removes a key: (key, key_len) -> 0.
func (in *instance) kvDelete(_ api.Module, stack []uint64) {
	key := in.view(stack[0], stack[1])
	stack[0] = in.kv(key, nil, func(ctx context.Context, kv KV, key string) error {
		return kv.Delete(ctx, key)
	})
}

// readKV reads a value. Only a value that is not in memory flushes the lease: the guest
// does not wait for another one.
func (in *instance) readKV(key []byte) (value []byte, found bool, code uint64) {
	if code := in.chargeKV(key, nil); code != 0 {
		return nil, false, code
	}
	name := string(key)
	if in.atomic() {
		value, found, err := in.overlaid().Get(in.pool.life, name)
		return value, found, in.answer(err)
	}
	kv := in.pool.cfg.Capabilities.KV
	if in.reads.Wanted() {
		value, found, ok, stored := kv.Newest(name)
		if stored != nil {
			in.reads.Add(provisional.Read{Key: name, Value: value, Found: found, Stored: stored})
		}
		if ok {
			return value, found, 0
		}
	} else if value, found, ok := kv.Cached(name); ok {
		return value, found, 0
	}
	code = in.callKV(func(ctx context.Context) (err error) {
		value, found, err = kv.Get(ctx, name)
		return err
	})
	return value, found, code
}

// kv checks the sizes and calls the store for a write.
func (in *instance) kv(key, value []byte, call func(context.Context, KV, string) error) uint64 {
	return in.writeKV(key, value, false, call)
}

// writeKV is kv. It waits until the values that the attempt has read are durable, unless
// the write itself depends on them.
func (in *instance) writeKV(key, value []byte, dependent bool, call func(context.Context, KV, string) error) uint64 {
	if code := in.chargeKV(key, value); code != 0 {
		return code
	}
	name := string(key)
	if in.atomic() {
		return in.answer(call(in.pool.life, in.overlaid(), name))
	}
	write := func(ctx context.Context) error { return call(ctx, in.pool.cfg.Capabilities.KV, name) }
	if !dependent {
		write = in.confirmed(write)
	}
	return in.callKV(write)
}

// callKV calls the store.
func (in *instance) callKV(call func(context.Context) error) uint64 {
	return in.answer(in.store(call))
}

// chargeKV checks the sizes and charges for a call.
func (in *instance) chargeKV(key, value []byte) (code uint64) {
	switch {
	case len(key) == 0:
		return in.refuse(abi.Invalid, "the key is empty")
	case len(key) > abi.MaxKVKey:
		return in.refuse(abi.TooLarge, fmt.Sprintf("the key is %d bytes; the limit is %d", len(key), abi.MaxKVKey))
	case len(value) > abi.MaxKVValue:
		return in.refuse(abi.TooLarge, fmt.Sprintf("the value is %d bytes; the limit is %d", len(value), abi.MaxKVValue))
	}
	in.charge(kvWork + len(key) + len(value))
	return 0
}
