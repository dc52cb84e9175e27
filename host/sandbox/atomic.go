package sandbox

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/overlay"
)

// atomic reports whether calls of kv go to the overlay of the open event.
func (in *instance) atomic() bool { return in.open && in.overlay != nil }

// endOverlay moves the effects of a success into its outcome, and drops those of others.
func (in *instance) endOverlay(o *event.Outcome) {
	in.requests = 0
	if o.Verdict == event.OK {
		o.Effects = in.overlay.Effects()
		return
	}
	in.overlay.Drop()
}

// overlaid is the state as the open event of an atomic handler sees it. It implements the
// part of KV that guests use; its calls charge, wait and trap by themselves, and their errors
// are for the guest.
type overlaid struct{ in *instance }

func (k overlaid) base() overlay.Base { return below(k) }

// Get implements KV.
func (k overlaid) Get(_ context.Context, key string) (value []byte, found bool, err error) {
	return k.in.overlay.Get(k.base(), k.in.wallNow(), key)
}

// Set implements KV.
func (k overlaid) Set(_ context.Context, key string, value []byte) error {
	return k.in.overlay.Set(k.base(), key, value)
}

// CompareAndSet implements KV.
func (k overlaid) CompareAndSet(_ context.Context, key string, old, value []byte) error {
	return k.in.overlay.Swap(k.base(), k.in.wallNow(), key, old, value)
}

// Delete implements KV.
func (k overlaid) Delete(_ context.Context, key string) error {
	return k.in.overlay.Delete(k.base(), key)
}

// List implements KV.
func (k overlaid) List(_ context.Context, prefix, after string, limit int) ([]string, error) {
	return k.in.overlay.List(k.base(), k.in.wallNow(), prefix, after, limit)
}

// Expire implements KV.
func (k overlaid) Expire(_ context.Context, key string, until time.Time) error {
	return k.in.overlay.Expire(k.base(), k.in.wallNow(), key, until)
}

// Usage implements KV.
func (k overlaid) Usage(context.Context) (used, quota int64, err error) { return below(k).Usage() }

// Cached implements KV: only Get knows.
func (overlaid) Cached(string) (value []byte, found, ok bool) { return nil, false, false }

// Newest implements KV likewise.
func (overlaid) Newest(string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return nil, false, false, nil
}

// below is the state below the overlay. It implements overlay.Base.
type below struct{ in *instance }

// Pending implements overlay.Base.
func (b below) Pending(key string) (event.EffectWrite, bool) {
	if lease, ok := b.in.lease.(Uncommitted); ok {
		return lease.Pending(key)
	}
	return event.EffectWrite{}, false
}

// PendingKeys implements overlay.Base.
func (b below) PendingKeys(prefix, after string, limit int) []event.EffectWrite {
	b.in.charge(kvWork)
	if lease, ok := b.in.lease.(Uncommitted); ok {
		return lease.PendingKeys(prefix, after, limit)
	}
	return nil
}

// Load implements overlay.Base.
func (b below) Load(key string) (value []byte, found bool, err error) {
	in := b.in
	value, found, ok := in.pool.cfg.Capabilities.KV.Cached(key)
	if !ok {
		in.charge(kvWork)
		err = in.store(func(ctx context.Context) (err error) {
			value, found, err = in.pool.cfg.Capabilities.KV.Get(ctx, key)
			return err
		})
	}
	in.charge(keyWork + 2*len(value)) // it is copied or hashed
	return value, found, err
}

// List implements overlay.Base.
func (b below) List(prefix, after string, limit int) (keys []string, err error) {
	b.in.charge(kvWork)
	err = b.in.store(func(ctx context.Context) (err error) {
		keys, err = b.in.pool.cfg.Capabilities.KV.List(ctx, prefix, after, limit)
		return err
	})
	b.in.charge(len(keys) * keyWork)
	return keys, err
}

// usage is the size of the state, when it was last asked for.
type usage struct {
	used, quota int64
	at          time.Duration
	known       bool
}

// usageFor is how long usage is used. It is a bound in advance: the exact one is that of the
// commit.
const usageFor = 20 * time.Millisecond

// Usage implements overlay.Base.
func (b below) Usage() (used, quota int64, err error) {
	in := b.in
	u := &in.usage
	if now := in.now(); !u.known || now-u.at > usageFor {
		in.charge(kvWork)
		err = in.store(func(ctx context.Context) (err error) {
			u.used, u.quota, err = in.pool.cfg.Capabilities.KV.Usage(ctx)
			return err
		})
		u.at, u.known = now, err == nil
	}
	return u.used, u.quota, err
}

// store calls the store, and returns an error for the guest.
func (in *instance) store(call func(context.Context) error) error {
	return in.conceal("the plugin's state", in.outside(call))
}
