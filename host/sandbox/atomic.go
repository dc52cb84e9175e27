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

// overlaid returns the state as the open event of an atomic handler sees it. It implements
// KV; its calls charge, wait and trap by themselves, and their errors are for the guest.
func (in *instance) overlaid() overlay.State {
	return overlay.State{Overlay: in.overlay, Base: below{in}, Now: in.wallNow()}
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
