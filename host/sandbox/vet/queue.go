package vet

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// queue assigns slots to children. Small new modules come before large ones and before
// modules whose child was stopped without a verdict, so that a module that compiles
// slowly does not block the others. Priority rises with waiting time, so that every
// module gets a slot.
//
// A new module's child runs undisturbed for its share of time. After that it is stopped
// if a new module waits and no slot is free. It runs again later, without a share;
// such children may occupy all slots but one.
//
// It is safe for concurrent use.
type queue struct {
	slots int
	after func(time.Duration, func()) *time.Timer // nil: time.AfterFunc

	mu      sync.Mutex
	running []*ticket
	waiting []*ticket
}

// ticket is a module's entry in the queue. It belongs to the goroutine that called
// enter, except for the fields that the queue's lock guards.
type ticket struct {
	q       *queue
	size    int // of the module, in bytes
	arrived time.Time

	// Guarded by the queue's lock.
	tries  int // times its child was preempted
	ready  chan struct{}
	stop   context.CancelCauseFunc // stops its child
	share  *time.Timer             // fires when the share is used up
	over   bool                    // the share is used up
	ending bool                    // its child is being stopped
}

// errPreempted is the cause with which a preempted child's context ends.
var errPreempted = errors.New("preempted by a new module")

const mebibyte = 1 << 20

// share returns how long a new module's child runs undisturbed: longer than the
// compiler takes for typical modules.
func share(size int) time.Duration {
	return time.Second + time.Duration(size)*time.Second/mebibyte
}

// due orders the queue: the earliest is next.
func (t *ticket) due() time.Time {
	const maxDelay, retryDelay = 10 * time.Second, 20 * time.Second
	delay := min(time.Duration(t.size)*4*time.Second/mebibyte, maxDelay)
	return t.arrived.Add(delay + time.Duration(min(t.tries, 3))*retryDelay)
}

// enter adds a module of size bytes to the queue. The caller calls leave.
func (q *queue) enter(size, tries int, now time.Time) *ticket {
	t := &ticket{q: q, size: size, tries: tries, arrived: now, ready: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, t)
	q.admit()
	return t
}

// wait waits for a slot. The context it returns ends with errPreempted when the child
// must stop.
func (t *ticket) wait(ctx context.Context) (context.Context, error) {
	t.q.mu.Lock()
	ready := t.ready
	t.q.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, waited(ctx)
	}
	within, stop := context.WithCancelCause(ctx)
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.stop = stop
	if t.ending {
		stop(errPreempted)
	}
	return within, nil
}

// requeue releases the slot of a child that ended without a verdict. preempted puts
// the module behind new ones.
func (t *ticket) requeue(preempted bool) {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.q.remove(t)
	if preempted {
		t.tries++
	}
	t.ready = make(chan struct{})
	t.q.waiting = append(t.q.waiting, t)
	t.q.admit()
}

// leave releases the slot, or leaves the queue.
func (t *ticket) leave() {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.q.remove(t)
	t.q.admit()
}

// remove removes a ticket, waiting or running. The lock is held.
func (q *queue) remove(t *ticket) {
	is := func(o *ticket) bool { return o == t }
	q.waiting, q.running = slices.DeleteFunc(q.waiting, is), slices.DeleteFunc(q.running, is)
	if t.share != nil {
		t.share.Stop()
	}
	if t.stop != nil {
		t.stop(nil)
	}
	t.share, t.stop, t.over, t.ending = nil, nil, false, false
}

// admit assigns free slots, and preempts children if new modules wait. The lock is held.
func (q *queue) admit() {
	slices.SortStableFunc(q.waiting, func(a, b *ticket) int { return a.due().Compare(b.due()) })
	for len(q.waiting) > 0 && len(q.running) < q.slots {
		n := q.next()
		t := q.waiting[n]
		q.waiting = slices.Delete(q.waiting, n, n+1)
		q.running = append(q.running, t)
		close(t.ready)
		if t.isNew() {
			after := q.after
			if after == nil {
				after = time.AfterFunc
			}
			t.share = after(share(t.size), func() { q.expire(t) })
		}
	}
	wanted := 0 // slots for new modules
	for _, t := range q.waiting {
		if t.isNew() {
			wanted++
		}
	}
	for _, t := range q.running {
		if t.ending {
			wanted--
		}
	}
	for _, t := range q.stoppable() {
		if wanted <= 0 {
			break
		}
		wanted--
		t.ending = true
		if t.stop != nil {
			t.stop(errPreempted)
		}
	}
}

// next returns the index of the ticket that gets a free slot: the first that is due,
// except that a new one precedes those it would preempt at once. The lock is held.
func (q *queue) next() int {
	if n := slices.IndexFunc(q.waiting, (*ticket).isNew); n > 0 && len(q.retries()) >= q.retrySlots() {
		return n
	}
	return 0
}

func (t *ticket) isNew() bool { return t.tries == 0 }

// retrySlots is how many slots tickets that are not new can occupy without preemption.
func (q *queue) retrySlots() int { return max(1, q.slots-1) }

// retries returns the running tickets that are not new. The lock is held.
func (q *queue) retries() (retries []*ticket) {
	for _, t := range q.running {
		if !t.isNew() {
			retries = append(retries, t)
		}
	}
	return retries
}

// stoppable returns the running tickets that can be preempted: new ones whose share is
// used up, and retries above retrySlots. The lock is held.
func (q *queue) stoppable() (stoppable []*ticket) {
	for _, t := range q.running {
		if t.isNew() && t.over && !t.ending {
			stoppable = append(stoppable, t)
		}
	}
	retries := q.retries()
	slices.SortStableFunc(retries, func(a, b *ticket) int { return cmp.Compare(b.tries, a.tries) })
	for _, t := range retries[min(q.retrySlots(), len(retries)):] {
		if !t.ending {
			stoppable = append(stoppable, t)
		}
	}
	return stoppable
}

// expire ends a ticket's share.
func (q *queue) expire(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.share != nil { // it still runs
		t.over = true
		q.admit()
	}
}
