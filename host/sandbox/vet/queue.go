package vet

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// queue gives out the slots for children. Small modules that are new come before
// large ones and before those whose child was stopped without a verdict: a module
// that takes a compiler long keeps no other waiting for long. Each goes up with
// the time it waits, so that all get their slot.
//
// A child runs undisturbed for its share of time. After that it is stopped if a
// new module waits and there is no slot, and begins again later, then without a
// share: such children keep all slots but one.
//
// It is safe for concurrent use.
type queue struct {
	slots int
	after func(time.Duration, func()) *time.Timer // nil: time.AfterFunc

	mu      sync.Mutex
	running []*turn
	waiting []*turn
}

// turn is a module's place in the queue. It belongs to the goroutine that called
// enter, but for what the queue's lock guards.
type turn struct {
	q       *queue
	size    int // of the module, in bytes
	arrived time.Time

	// Guarded by the queue's lock.
	tries  int // times its child was stopped for the sake of another
	ready  chan struct{}
	stop   context.CancelCauseFunc // stops its child
	share  *time.Timer             // until it is over
	over   bool                    // its child has had its share
	ending bool                    // its child is being stopped
}

// errStopped is why a child ends that is stopped for the sake of another.
var errStopped = errors.New("stopped for the sake of a new module")

const mebibyte = 1 << 20

// share is how long a new module's child runs undisturbed: longer than a compiler
// takes for what people write.
func share(size int) time.Duration {
	return time.Second + time.Duration(size)*time.Second/mebibyte
}

// due orders the queue: the one whose time is the earliest is next.
func (t *turn) due() time.Time {
	const most, again = 10 * time.Second, 20 * time.Second
	later := min(time.Duration(t.size)*4*time.Second/mebibyte, most)
	return t.arrived.Add(later + time.Duration(min(t.tries, 3))*again)
}

// enter takes a place in the queue, which the caller gives back by leave.
func (q *queue) enter(size, tries int, now time.Time) *turn {
	t := &turn{q: q, size: size, tries: tries, arrived: now, ready: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, t)
	q.admit()
	return t
}

// wait waits for a slot. The context it returns ends with errStopped when the
// child shall end.
func (t *turn) wait(ctx context.Context) (context.Context, error) {
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
		stop(errStopped)
	}
	return within, nil
}

// again gives the slot back and waits for another one, because the child was
// stopped: for the sake of another, which puts the module behind new ones, or because
// it lacked a processor, which does not.
func (t *turn) again(behind bool) {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.q.remove(t)
	if behind {
		t.tries++
	}
	t.ready = make(chan struct{})
	t.q.waiting = append(t.q.waiting, t)
	t.q.admit()
}

// leave gives the slot or the place back.
func (t *turn) leave() {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.q.remove(t)
	t.q.admit()
}

// remove takes a turn out, wherever it is. The lock is held.
func (q *queue) remove(t *turn) {
	is := func(o *turn) bool { return o == t }
	q.waiting, q.running = slices.DeleteFunc(q.waiting, is), slices.DeleteFunc(q.running, is)
	if t.share != nil {
		t.share.Stop()
	}
	if t.stop != nil {
		t.stop(nil)
	}
	t.share, t.stop, t.over, t.ending = nil, nil, false, false
}

// admit gives out free slots, and frees some for new modules. The lock is held.
func (q *queue) admit() {
	slices.SortStableFunc(q.waiting, func(a, b *turn) int { return a.due().Compare(b.due()) })
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
			t.stop(errStopped)
		}
	}
}

// next is the index of the turn that gets a free slot: the first that is due, but
// a new one before those that would be stopped for its sake at once. The lock is held.
func (q *queue) next() int {
	if n := slices.IndexFunc(q.waiting, (*turn).isNew); n > 0 && len(q.others()) >= q.kept() {
		return n
	}
	return 0
}

func (t *turn) isNew() bool { return t.tries == 0 }

// kept is how many slots the turns that are not new can have for good.
func (q *queue) kept() int { return max(1, q.slots-1) }

// others are the running turns that are not new. The lock is held.
func (q *queue) others() (others []*turn) {
	for _, t := range q.running {
		if !t.isNew() {
			others = append(others, t)
		}
	}
	return others
}

// stoppable are the running turns that can be stopped: new ones that have had
// their share, and those of the others that run beside as many as may. The lock is
// held.
func (q *queue) stoppable() (stoppable []*turn) {
	for _, t := range q.running {
		if t.isNew() && t.over && !t.ending {
			stoppable = append(stoppable, t)
		}
	}
	others := q.others()
	slices.SortStableFunc(others, func(a, b *turn) int { return cmp.Compare(b.tries, a.tries) })
	for _, t := range others[min(q.kept(), len(others)):] {
		if !t.ending {
			stoppable = append(stoppable, t)
		}
	}
	return stoppable
}

// expire ends a turn's share.
func (q *queue) expire(t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.share != nil { // it still runs
		t.over = true
		q.admit()
	}
}
