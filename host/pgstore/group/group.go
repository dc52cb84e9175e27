// Package group joins the writes of concurrent callers: a transaction costs about the same for
// few writes as for many.
package group

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// Bounds of one group; a larger write is a group of its own.
const (
	maxQueued  = 1024 // waiting writes; further callers block
	maxEntries = 1024
	maxBytes   = 8 << 20
	// maxLinger bounds how long a group waits for the callers of the one before, which have just
	// been woken and are likely to write again.
	maxLinger = time.Millisecond
)

// Config sets up a Queue. All fields are required.
type Config[T any] struct {
	// Write does the writes of a group, in this order, and sets the results of each. It runs on
	// one goroutine.
	Write func(group []T)
	// Size returns the number of entries that a write has, and of their bytes.
	Size func(T) (entries int, bytes int64)
}

// Queue has the writes that wait. Its methods are safe for concurrent use.
type Queue[T any] struct {
	cfg     Config[T]
	queue   chan *write[T]
	closing chan struct{}
	closed  sync.Once
	stopped chan struct{} // closed when Write has been called for the last time

	// Of the goroutine that writes.
	carried  *write[T] // did not fit into the last group
	expected int       // callers
	took     time.Duration
}

type write[T any] struct {
	of    T
	state atomic.Int32 // queued, then taken or withdrawn
	done  chan struct{}
}

const (
	queued int32 = iota
	taken
	withdrawn
)

// New returns a Queue. Close it when done.
func New[T any](cfg Config[T]) *Queue[T] {
	q := &Queue[T]{cfg: cfg, queue: make(chan *write[T], maxQueued), closing: make(chan struct{}), stopped: make(chan struct{})}
	go q.run()
	return q
}

// Do has a write done with others, and returns nil when Write has set its results. It returns
// the context's error when ctx ends before it was begun, and fault.Unavailable after Close; then
// it was not done, and will not be.
func (q *Queue[T]) Do(ctx context.Context, of T) error {
	w := &write[T]{of: of, done: make(chan struct{})}
	select {
	case <-q.closing:
		return errClosed()
	default:
	}
	select {
	case q.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.stopped:
		return errClosed()
	}
	var err error
	select {
	case <-w.done:
		return nil
	case <-q.stopped: // it can have been queued after the last group
		err = errClosed()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if w.state.CompareAndSwap(queued, withdrawn) {
		return err
	}
	<-w.done
	return nil
}

func errClosed() error { return fault.New(fault.Unavailable, "the engine is closed") }

// Close waits for the group under way. It is safe to call more than once.
func (q *Queue[T]) Close() {
	q.closed.Do(func() { close(q.closing) })
	<-q.stopped
}

func (q *Queue[T]) run() {
	defer close(q.stopped)
	for {
		first := q.carried
		q.carried = nil
		if first == nil {
			select {
			case first = <-q.queue:
			case <-q.closing:
				return
			}
		}
		group := q.gather(first)
		if len(group) == 0 {
			continue
		}
		list := make([]T, len(group))
		for i, w := range group {
			list[i] = w.of
		}
		began := time.Now()
		q.cfg.Write(list)
		q.took = time.Since(began)
		q.expected = max(len(group)+len(q.queue), q.expected-q.expected/8-1)
		for _, w := range group {
			close(w.done)
		}
	}
}

// gather takes the waiting writes into one group. When several callers are expected it waits a
// moment for three quarters of them.
func (q *Queue[T]) gather(first *write[T]) (group []*write[T]) {
	entries, bytes := 0, int64(0)
	var linger *time.Timer
	for w := first; w != nil; w = q.next(len(group), &linger) {
		n, size := q.cfg.Size(w.of)
		if entries > 0 && (entries+n > maxEntries || bytes+size > maxBytes) {
			q.carried = w
			break
		}
		if w.state.CompareAndSwap(queued, taken) {
			group, entries, bytes = append(group, w), entries+n, bytes+size
		}
	}
	if linger != nil {
		linger.Stop()
	}
	return group
}

// next returns the next write for a group that has so many, nil for none.
func (q *Queue[T]) next(have int, linger **time.Timer) *write[T] {
	select {
	case w := <-q.queue:
		return w
	default:
	}
	if have == 0 || have >= q.expected*3/4 {
		return nil
	}
	if *linger == nil {
		*linger = time.NewTimer(min(q.took/2, maxLinger))
	}
	select {
	case w := <-q.queue:
		return w
	case <-(*linger).C:
		q.expected = have
	case <-q.closing:
	}
	return nil
}
