package delivery

import (
	"context"
	"sync/atomic"

	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/outcomes"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/delivery/tenure"
	"github.com/berth-host/berth/host/event"
)

// maxLease bounds the attempts of one lease: the open one, and those that start after
// it without a look at the queue.
const maxLease = 64

// maxDeferred bounds the outcomes that a handler has before the recorder is notified, while
// its leases go on: the recorder then collects them together. An instance that waits, ends
// or takes long has the recorder notified at once.
const maxDeferred = 4 * maxLease

// Lease is where one instance gets its attempts. While many are ready it acquires up to
// half of its share at once, and it records plain successes together, so that the
// queue's lock is taken once for all of them.
//
// A lease returns its unstarted attempts when the instance calls Flush, which it does
// before it waits and when an attempt outlasts one fuel slice, and on the first call
// after a revoke. Any outcome but a plain success is recorded at once, with all before it.
//
// An instance that handles batches calls NextBatch and DoneBatch instead.
//
// A Lease is for one goroutine.
type Lease struct {
	source      *Source
	revocations uint64 // handler.revocations when the attempts were acquired
	tasks       [maxLease]*tasks.Task
	successes   event.Successes // of the completed attempts that are not recorded
	notices     []notice.Notice // of recorded outcomes, to be sent once the lock is free
	acquired    int             // tasks
	started     int             // of them
	recorded    int             // of them
	open        bool            // the one that started last is not completed
	deferred    bool            // the recorder is not notified of recorded ones
	traceparent string          // of the one that started last; "" when it is not traced
	batch       openBatch       // of NextBatch
	hold        *tenure.Hold    // of the attempts that were acquired last

	visible atomic.Int32 // started, for those that hold handler.mu
	counted bool         // in handler.multiLeases
}

// Lease returns a Lease. The caller closes it.
func (s *Source) Lease() *Lease {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.leases++
	return &Lease{source: s}
}

// Close returns unstarted attempts. No attempt may be open.
func (x *Lease) Close() {
	h := x.source.h
	h.mu.Lock()
	x.flush()
	x.markDirty()
	h.leases--
	h.mu.Unlock()
	x.notify()
}

// NextBuffered starts an attempt that is already acquired. It returns false when there
// is none, or when the lease was revoked: see Next.
func (x *Lease) NextBuffered() (event.Taken, bool) {
	if x.started == x.acquired || x.revoked() || x.hold != nil && !x.hold.Valid() {
		return event.Taken{}, false
	}
	return x.start(), true
}

// Next waits for an attempt and starts it. It returns false once stop is closed,
// or when it waits and gets a token from retire. No attempt may be open.
func (x *Lease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	h := x.source.h
	h.mu.Lock()
	defer h.mu.Unlock()
	x.finish()
	waited, ok := h.await(stop, retire)
	if !ok {
		return event.Taken{}, false
	}
	return x.next(waited), true
}

// TryNext is Next without waiting: it returns false when no attempt may start now. With idle it
// then revokes what other leases have not started, because the instance is about to wait.
func (x *Lease) TryNext(idle bool) (event.Taken, bool) {
	h := x.source.h
	h.mu.Lock()
	defer h.mu.Unlock()
	x.finish()
	if !h.offers(idle) {
		return event.Taken{}, false
	}
	return x.next(idle), true
}

// offers reports whether an attempt may start now; see TryNext.
func (h *handler) offers(idle bool) bool {
	offered := h.startable()
	if idle && !offered {
		h.revoke()
	}
	return offered
}

// finish flushes a lease that asks for its next attempt. The caller holds handler.mu, which
// finish may unlock for a moment.
func (x *Lease) finish() {
	h := x.source.h
	x.flush()
	if n := h.outcomes.Len(); n > 0 && (n >= maxDeferred || !h.startable()) {
		x.deferred = false
		h.markDirty()
	}
	if len(x.notices) > 0 {
		h.mu.Unlock()
		x.notify()
		h.mu.Lock()
	}
}

// next acquires attempts and starts the first one.
func (x *Lease) next(waited bool) event.Taken {
	x.acquire()
	taken := x.start()
	taken.Waited, taken.More = waited, taken.More || x.source.h.startable()
	return taken
}

// Done completes the open attempt. The caller may reuse o and its Result afterwards.
func (x *Lease) Done(o *event.Outcome) {
	h := x.source.h
	x.open = false
	t := x.tasks[x.started-1]
	if x.acquired > 1 && t.Past == nil && o.Plain() && len(x.successes.Results) < outcomes.MaxResults &&
		!x.revoked() && !h.dispatcher.cfg.Observes() {
		success := event.Success{At: outcomes.End(o), Duration: o.Duration, Fuel: o.Fuel}
		x.successes.Append(t.Record.Seq, success, o.Result)
		if x.traceparent != "" {
			h.dispatcher.cfg.Tracer.Ended(t.Record, success.Delivery(h.name, t.Record.Seq, x.source.module, ""), x.traceparent)
		}
		return
	}
	h.mu.Lock()
	x.record(x.started - 1)
	x.markDirty()
	x.tasks[x.recorded], t.Lease = nil, nil
	x.recorded++
	completed := h.complete(t, o, x.source, x.traceparent)
	if x.revoked() {
		x.returnUnstarted()
	}
	h.mu.Unlock()
	x.notify()
	completed.Send(&h.dispatcher.sinks)
}

// TraceParent returns the span of the open attempt; "" when it is not traced.
func (x *Lease) TraceParent() string { return x.traceparent }

// Context returns the context of the attempts: it has their fence, and ends when another host may
// own the handler. It is nil for the only host.
func (x *Lease) Context() context.Context { return x.hold.Context() }

// Fenced notes that a write was refused because another host owns the handler.
func (x *Lease) Fenced() { x.hold.Lose() }

// Pending returns the one write that does what all finished but uncommitted deliveries of the
// handler do to a key. The caller does not change its value.
func (x *Lease) Pending(key string) (event.EffectWrite, bool) { return x.source.h.effects.Get(key) }

// PendingKeys returns the writes of Pending to keys that begin with a prefix and come after a
// key, ascending, at most limit.
func (x *Lease) PendingKeys(prefix, after string, limit int) []event.EffectWrite {
	return x.source.h.effects.List(prefix, after, limit)
}

// Flush records completed attempts and returns unstarted ones. An open attempt stays open.
func (x *Lease) Flush() {
	if !x.deferred && (x.acquired-x.recorded == 0 || x.acquired-x.recorded == 1 && x.open) {
		return
	}
	h := x.source.h
	h.mu.Lock()
	x.flush()
	x.markDirty()
	h.mu.Unlock()
	x.notify()
}

func (x *Lease) revoked() bool { return x.revocations != x.source.h.revocations.Load() }

// acquire takes the lease's share of what is ready: at least one attempt. The lease is
// empty, and the caller holds handler.mu, as for what follows.
func (x *Lease) acquire() {
	h := x.source.h
	x.revocations, x.hold = h.revocations.Load(), h.hold
	x.started, x.recorded = 0, 0
	x.visible.Store(0)
	x.acquired = h.share()
	list := x.tasks[:x.acquired]
	h.pop(list)
	for i, t := range list {
		t.Lease, t.Slot = &x.visible, uint8(i)
	}
	h.startAttempts(list)
	if x.counted = x.acquired > 1; x.counted {
		h.multiLeases++
	}
}

// start starts the next acquired attempt. The owner calls it, with or without the lock.
func (x *Lease) start() event.Taken {
	t := x.tasks[x.started]
	x.started++
	x.visible.Store(int32(x.started))
	x.open = true
	taken := event.Taken{Attempt: t.Attempt(), More: x.started < x.acquired}
	if h := x.source.h; h.dispatcher.cfg.Tracer != nil {
		x.traceparent = h.trace(taken.Attempt)
	}
	return taken
}

// flush is Flush.
func (x *Lease) flush() {
	completed := x.started
	if x.open {
		completed--
	}
	x.record(completed)
	x.returnUnstarted()
}

// record records the successes before the given attempt. They do not concern the
// breaker: no attempt failed before them, because a failure revokes every lease.
// Observers registered after these attempts completed are notified too; until now the
// attempts were reported as delivering.
func (x *Lease) record(before int) {
	if x.recorded >= before {
		return
	}
	h, done, tasks := x.source.h, &x.successes, x.tasks[x.recorded:before]
	if h.dispatcher.cfg.Observes() {
		done.Handler, done.Digest = h.name, x.source.module
		for i, t := range tasks {
			d := done.Delivery(i)
			x.notices = append(x.notices, notice.Notice{Record: t.Record, Delivery: &d, Observed: true})
		}
	}
	h.succeedAll(tasks, done, x.source)
	clear(tasks)
	x.recorded, x.deferred = before, true
	if done.List, done.Results = done.List[:0], done.Results[:0]; cap(done.Results) > outcomes.MaxResults {
		done.Results = nil
	}
	h.cursor() // drops the tasks that it has passed
}

// markDirty notifies the recorder of the outcomes that the lease has recorded.
func (x *Lease) markDirty() {
	if x.deferred {
		x.deferred = false
		x.source.h.markDirty()
	}
}

// notify sends the notifications of recorded outcomes. The lock is free.
func (x *Lease) notify() {
	for i := range x.notices {
		x.notices[i].Send(&x.source.h.dispatcher.sinks)
	}
	clear(x.notices)
	x.notices = x.notices[:0]
}

// returnUnstarted puts unstarted attempts back to the front of the queue.
func (x *Lease) returnUnstarted() {
	h := x.source.h
	for ; x.acquired > x.started; x.acquired-- {
		t := x.tasks[x.acquired-1]
		x.tasks[x.acquired-1], t.Lease = nil, nil
		h.putBack(t)
	}
	if x.counted {
		x.counted = false
		h.multiLeases--
	}
	h.signal()
}

// share is how many attempts a lease may acquire: half of an even share of those that
// remain when each waiting instance gets one, so that instances which ask later find some;
// and one while each outcome may decide whether the next attempt starts.
func (h *handler) share() int {
	if h.breaker.Failing() || h.alone.Any() {
		return 1
	}
	bound := maxLease
	if h.fair != nil {
		bound = min(bound, maxFairLeases/h.leases)
	}
	return max(1, min(bound, (h.ready.Len()-h.parked-h.bells.Waiting())/(2*h.leases)))
}

// revoke has every lease return to the queue before it starts another attempt.
func (h *handler) revoke() {
	if h.multiLeases > 0 {
		h.revocations.Add(1)
	}
}
