package delivery

import (
	"cmp"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/delivery/notice"
	"github.com/berth-host/berth/host/delivery/plan"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

// openBatch has the attempts that one call of a guest handles. The slices have one entry for
// each, in the order of the log.
type openBatch struct {
	tasks    []*tasks.Task
	attempts []event.Attempt
	traces   []string // nil without a Tracer
}

// NextBatch is Next for up to size events, at most abi.MaxBatchBytes of envelopes, that are
// handled by one call, and ended by DoneBatch. They are in the order of the log, each order
// key at most once. All are first attempts; any other attempt comes alone. When fewer are
// ready, NextBatch waits for more, at most wait after there is one. The lease reuses the
// result in the next call.
func (x *Lease) NextBatch(size int, wait time.Duration, stop, retire <-chan struct{}) ([]event.Attempt, bool) {
	h := x.source.h
	h.mu.Lock()
	defer h.mu.Unlock()
	size = max(size, 1)
	h.batchSize = max(h.batchSize, size)
	for {
		if _, ok := h.await(stop, retire); !ok {
			return nil, false
		}
		left := h.linger(size, wait)
		if left <= 0 {
			break
		}
		h.awaitMore(left, stop)
	}
	h.lingerUntil = time.Time{}
	x.acquireBatch(size)
	return x.batch.attempts, true
}

// TryBatch is NextBatch without waiting: it returns nil when no attempt may start now, with how
// much longer the batch waits for more events if it does. idle is that of TryNext.
func (x *Lease) TryBatch(size int, wait time.Duration, idle bool) (list []event.Attempt, left time.Duration) {
	h := x.source.h
	h.mu.Lock()
	defer h.mu.Unlock()
	size = max(size, 1)
	h.batchSize = max(h.batchSize, size)
	if !h.offers(idle) {
		return nil, 0
	}
	if left = h.linger(size, wait); left > 0 {
		return nil, left
	}
	h.lingerUntil = time.Time{}
	x.acquireBatch(size)
	return x.batch.attempts, 0
}

// linger returns how much longer a batch waits for more events than are ready.
func (h *handler) linger(size int, wait time.Duration) time.Duration {
	if wait <= 0 || h.ready.Len() >= size || h.readerFull || h.bytes >= abi.MaxBatchBytes || !h.joins(h.ready.Peek()) {
		return 0
	}
	now := time.Now()
	if h.lingerUntil.IsZero() {
		h.lingerUntil = now.Add(wait)
	}
	return h.lingerUntil.Sub(now)
}

// awaitMore waits until an event may be ready that was not, at most the given time.
func (h *handler) awaitMore(left time.Duration, stop <-chan struct{}) {
	timer := time.NewTimer(left)
	defer timer.Stop()
	h.parked++
	h.mu.Unlock()
	select {
	case <-h.wake:
	case <-timer.C:
	case <-stop:
	}
	h.mu.Lock()
	h.parked--
}

// joins reports whether a ready task may be in a batch with others.
func (h *handler) joins(t *tasks.Task) bool {
	return (t.Past == nil || t.Past.Attempts == 0) && !h.breaker.Open() && !h.alone.Any()
}

// acquireBatch starts the next attempts; one is ready.
func (x *Lease) acquireBatch(size int) {
	h, b := x.source.h, &x.batch
	x.traceparent, x.hold = "", h.hold
	bytes, more := 0, true
	for more && len(b.tasks) < size && h.ready.Len() > 0 {
		next := h.ready.Peek()
		bytes += len(next.Record.Event.Envelope())
		more = h.joins(next) && bytes <= abi.MaxBatchBytes
		if len(b.tasks) == 0 || more {
			b.tasks = append(b.tasks, next)
			h.pop(b.tasks[len(b.tasks)-1:])
		}
	}
	slices.SortFunc(b.tasks, func(a, b *tasks.Task) int { return cmp.Compare(a.Record.Seq, b.Record.Seq) })
	h.startAttempts(b.tasks)
	for _, t := range b.tasks {
		a := t.Attempt()
		b.attempts = append(b.attempts, a)
		if h.dispatcher.cfg.Tracer != nil {
			b.traces = append(b.traces, h.trace(a))
		}
	}
	if len(b.traces) > 0 {
		x.traceparent = b.traces[0]
	}
}

// DoneBatch completes the attempts of NextBatch: list has the outcome of each, in the same
// order. Those of an atomic handler share their Effects. The caller may reuse list and its
// contents afterwards.
func (x *Lease) DoneBatch(list []event.Outcome) {
	h, b := x.source.h, &x.batch
	h.mu.Lock()
	var p plan.Plan
	p.Make(list, h.join)
	for _, e := range p.Dropped {
		x.notices = append(x.notices, notice.Notice{Release: e.Release})
	}
	for _, i := range p.Done {
		x.endBatched(i, &list[i], list[i].Effects != nil)
	}
	for _, i := range slices.Backward(p.Back) {
		x.endBatched(i, &list[i], false)
	}
	if len(p.Done) > 0 {
		x.notices = append(x.notices, notice.Notice{Changed: h.judgeAttempt(b.attempts[0].Seq, &list[p.Judged])})
	}
	clear(b.tasks)
	clear(b.attempts)
	b.tasks, b.attempts, b.traces = b.tasks[:0], b.attempts[:0], b.traces[:0]
	h.mu.Unlock()
	x.notify()
}

// endBatched completes one attempt of a batch.
func (x *Lease) endBatched(i int, o *event.Outcome, joined bool) {
	traceparent := ""
	if i < len(x.batch.traces) {
		traceparent = x.batch.traces[i]
	}
	n := x.source.h.conclude(x.batch.tasks[i], o, x.source, traceparent, joined)
	if !n.Empty() {
		x.notices = append(x.notices, n)
	}
}
