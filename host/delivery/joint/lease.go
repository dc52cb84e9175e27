package joint

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// Lease is where one instance gets the attempts of all shards: a lease of each, of which at most
// one has attempts. It is for one goroutine.
type Lease struct {
	source *Source
	leases []*delivery.Lease // nil for a shard that this instance has not asked
	shard  int               // the one that was asked successfully last
}

// Close returns unstarted attempts. No attempt may be open.
func (x *Lease) Close() {
	for _, one := range x.leases {
		if one != nil {
			one.Close()
		}
	}
}

// NextBuffered starts an attempt that is already acquired; see delivery.Lease.
func (x *Lease) NextBuffered() (event.Taken, bool) {
	if one := x.leases[x.shard]; one != nil {
		return one.NextBuffered()
	}
	return event.Taken{}, false
}

// Next waits for an attempt of any shard and starts it. It returns false once stop is closed, or
// when it waits and gets a token from retire. No attempt may be open.
func (x *Lease) Next(stop, retire <-chan struct{}) (taken event.Taken, ok bool) {
	ok = x.await(stop, retire, func(one *delivery.Lease, idle bool) (bool, time.Duration) {
		taken, ok = one.TryNext(idle)
		return ok, 0
	})
	if ok {
		taken.More = taken.More || x.source.mayStart(x.shard)
		if taken.More && x.source.bell.Waiting() > 0 {
			x.source.bell.Ring()
		}
	}
	return taken, ok
}

// NextBatch is Next for the events of one call, which are of one shard; see delivery.Lease.
func (x *Lease) NextBatch(size int, wait time.Duration, stop, retire <-chan struct{}) (list []event.Attempt, ok bool) {
	ok = x.await(stop, retire, func(one *delivery.Lease, idle bool) (_ bool, left time.Duration) {
		list, left = one.TryBatch(size, wait, idle)
		return list != nil, left
	})
	x.source.passOn()
	return list, ok
}

// ask requests the lease of a shard for attempts. It returns false without any, and how much longer
// those that are ready wait for others, 0 if none is ready.
type request func(one *delivery.Lease, idle bool) (ok bool, left time.Duration)

// await asks the shards for attempts, and waits until one has some. It returns false once stop is
// closed, or when it waits and gets a token from retire.
func (x *Lease) await(stop, retire <-chan struct{}, ask request) bool {
	select {
	case <-stop:
		return false
	default:
	}
	if ok, _ := x.askAll(ask, false); ok {
		return true
	}
	ok := x.wait(stop, retire, ask)
	if !ok {
		x.source.passOn() // it may have received the token of another instance
	}
	return ok
}

// wait is await for an instance that has asked all shards once.
func (x *Lease) wait(stop, retire <-chan struct{}, ask request) bool {
	bell := x.source.bell
	bell.Wait()
	defer bell.Leave()
	for {
		ok, left := x.askAll(ask, true)
		if ok {
			return true
		}
		var linger <-chan time.Time
		if left > 0 {
			linger = time.After(left)
		}
		select {
		case <-stop:
			return false
		case <-retire:
			return false
		case <-bell.Wake():
		case <-linger:
		}
	}
}

// askAll asks the shards, from the one behind that of the last attempts on, until one has some.
// Otherwise it returns the shortest time that ready attempts wait for others, 0 if none is ready.
func (x *Lease) askAll(ask request, idle bool) (ok bool, left time.Duration) {
	for i := range x.leases {
		shard := (x.shard + 1 + i) % len(x.leases)
		one := x.lease(shard)
		if one == nil {
			continue
		}
		ok, wait := ask(one, idle)
		if ok {
			if former := x.leases[x.shard]; former != nil && shard != x.shard {
				former.Flush()
			}
			x.shard = shard
			return true, 0
		}
		if wait > 0 && (left == 0 || wait < left) {
			left = wait
		}
	}
	return false, left
}

// lease returns the lease of a shard, nil for one that does not run here and has no attempts of
// this instance.
func (x *Lease) lease(shard int) *delivery.Lease {
	one := x.source.shards[shard]
	switch {
	case shard != x.shard && one.Standby():
		return nil
	case x.leases[shard] == nil:
		x.leases[shard] = one.Lease()
	}
	return x.leases[shard]
}

// Done completes the open attempt; see delivery.Lease.
func (x *Lease) Done(o *event.Outcome) { x.leases[x.shard].Done(o) }

// DoneBatch completes the attempts of NextBatch; see delivery.Lease.
func (x *Lease) DoneBatch(list []event.Outcome) { x.leases[x.shard].DoneBatch(list) }

// TraceParent returns the span of the open attempt; "" when it is not traced.
func (x *Lease) TraceParent() string {
	if one := x.leases[x.shard]; one != nil {
		return one.TraceParent()
	}
	return ""
}

// Context returns the context of the attempts, with the fence of their shard; see delivery.Lease.
func (x *Lease) Context() context.Context {
	if one := x.leases[x.shard]; one != nil {
		return one.Context()
	}
	return nil
}

// Fenced notes that a write was refused because another host owns the shard.
func (x *Lease) Fenced() {
	if one := x.leases[x.shard]; one != nil {
		one.Fenced()
	}
}

// Pending returns what finished but uncommitted deliveries of the shard do to a key; those of
// other shards are found when the effects are committed. See delivery.Lease.
func (x *Lease) Pending(key string) (w event.EffectWrite, found bool) {
	if one := x.leases[x.shard]; one != nil {
		return one.Pending(key)
	}
	return w, false
}

// PendingKeys returns the writes of Pending to keys; see delivery.Lease.
func (x *Lease) PendingKeys(prefix, after string, limit int) []event.EffectWrite {
	if one := x.leases[x.shard]; one != nil {
		return one.PendingKeys(prefix, after, limit)
	}
	return nil
}

// Flush records completed attempts and returns unstarted ones. An open attempt stays open.
func (x *Lease) Flush() {
	if one := x.leases[x.shard]; one != nil {
		one.Flush()
	}
}
