package sandbox

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/overlay"
)

// keyWork is the cost of each key of a list, as bytes to charge for.
const keyWork = 1 << 10

// kvList yields keys: (prefix, prefix_len, after, after_len, buf, cap) -> n.
func (in *instance) kvList(_ api.Module, stack []uint64) {
	prefix, after := in.view(stack[0], stack[1]), in.view(stack[2], stack[3])
	in.view(stack[4], stack[5])
	if n := max(len(prefix), len(after)); n > abi.MaxKVKey {
		stack[0] = in.refuse(abi.TooLarge, fmt.Sprintf("the prefix or the key to list from is %d bytes; the limit is %d", n, abi.MaxKVKey))
		return
	}
	in.charge(kvWork + len(prefix) + len(after))
	var keys []string
	list := func(ctx context.Context, kv KV) (err error) {
		keys, err = kv.List(ctx, string(prefix), string(after), abi.MaxKVList)
		return err
	}
	var code uint64
	if in.atomic() {
		code = in.answer(list(in.pool.life, in.overlaid()))
	} else {
		code = in.callKV(func(ctx context.Context) error { return list(ctx, in.pool.cfg.Capabilities.KV) })
	}
	if code != 0 {
		stack[0] = code
		return
	}
	text := overlay.EncodeKeys(keys)
	in.charge(len(keys)*keyWork + len(text))
	stack[0] = in.yield(stack[4], stack[5], text)
}

// kvExpire sets the time limit of a key: (key, key_len, seconds) -> 0.
func (in *instance) kvExpire(_ api.Module, stack []uint64) {
	key := in.view(stack[0], stack[1])
	seconds := uint32(stack[2])
	if seconds > math.MaxInt32 {
		stack[0] = in.refuse(abi.Invalid, fmt.Sprintf("%d is not 0 to %d seconds", int32(seconds), math.MaxInt32))
		return
	}
	var until time.Time
	if seconds > 0 {
		until = in.wallNow().Add(time.Duration(seconds) * time.Second)
	}
	stack[0] = in.kv(key, nil, func(ctx context.Context, kv KV, key string) error { return kv.Expire(ctx, key, until) })
}
