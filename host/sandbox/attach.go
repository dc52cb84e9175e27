package sandbox

import (
	"time"

	"github.com/berth-host/berth/host/event"
)

// Attach gives a pool that was created without a Source its source: from now on its
// instances read events. It is called at most once, and not after Drain.
func (p *Pool) Attach(source Source) {
	p.source = source
	close(p.attached)
	p.wg.Add(1)
	go p.supervise()
}

// lease returns the lease of an instance.
func (p *Pool) lease() Lease {
	select {
	case <-p.attached:
		return p.source.Lease()
	default:
		return &unattached{pool: p}
	}
}

// unattached is the Lease of an instance that was started before Attach. It waits in Next
// for the source; instance.take then replaces it by the source's own Lease.
type unattached struct {
	pool  *Pool
	lease Lease // nil before Attach
}

// NextBuffered implements Lease.
func (u *unattached) NextBuffered() (event.Taken, bool) {
	if u.lease == nil {
		return event.Taken{}, false
	}
	return u.lease.NextBuffered()
}

// Next implements Lease.
func (u *unattached) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	if u.lease == nil && !u.await(stop, retire) {
		return event.Taken{}, false
	}
	return u.lease.Next(stop, retire)
}

// await waits for the source. It returns false once stop is closed, and when it gets a token
// from retire.
func (u *unattached) await(stop, retire <-chan struct{}) bool {
	select {
	case <-u.pool.attached:
		u.lease = u.pool.source.Lease()
		return true
	case <-stop:
		return false
	case <-retire:
		return false
	}
}

// Done implements Lease.
func (u *unattached) Done(o *event.Outcome) { u.lease.Done(o) }

// TraceParent implements Lease.
func (u *unattached) TraceParent() string { return u.lease.TraceParent() }

// NextBatch implements BatchLease.
func (u *unattached) NextBatch(limit int, wait time.Duration, stop, retire <-chan struct{}) ([]event.Attempt, bool) {
	if u.lease == nil && !u.await(stop, retire) {
		return nil, false
	}
	return batchesOf(u.lease).NextBatch(limit, wait, stop, retire)
}

// DoneBatch implements BatchLease.
func (u *unattached) DoneBatch(outcomes []event.Outcome) { batchesOf(u.lease).DoneBatch(outcomes) }

// Flush implements Lease.
func (u *unattached) Flush() {
	if u.lease != nil {
		u.lease.Flush()
	}
}

// Close implements Lease.
func (u *unattached) Close() {
	if u.lease != nil {
		u.lease.Close()
	}
}
