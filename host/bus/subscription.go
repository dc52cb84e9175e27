package bus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Subscription is a position in the log that moves forward. Next is for one
// goroutine at a time; Close is safe for concurrent use.
type Subscription struct {
	bus    *Bus
	next   uint64         // the lowest Seq not returned yet
	page   []event.Record // read from the log, not returned yet
	behind atomic.Bool    // counted in Window.pages
	wake   *waiter
	done   chan struct{}
	closed sync.Once
}

// Subscribe starts a subscription at Seq from (0 is the log's beginning); for the
// events published from now on, that is Last()+1. Close it when done.
func (b *Bus) Subscribe(from uint64) *Subscription {
	return &Subscription{bus: b, next: max(from, 1), wake: newWaiter(), done: make(chan struct{})}
}

// Next waits for an event, copies the available events to buf, at most len(buf),
// and returns their number, at least one. They come in the order of Seq, each
// once. When Next returns an error it has consumed no event and can be called
// again: an error that wraps the context's, fault.Unavailable when the subscription
// or the bus is closed, or the log's own.
func (s *Subscription) Next(ctx context.Context, buf []event.Record) (int, error) {
	if len(buf) == 0 {
		return 0, fault.New(fault.Invalid, "receive events: the buffer has no capacity")
	}
	for {
		if err := s.ended(ctx); err != nil {
			return 0, err
		}
		if len(s.page) > 0 {
			n := copy(buf, s.page)
			s.page = s.page[n:]
			s.next = buf[n-1].Seq + 1
			return n, nil
		}
		n, behind := s.bus.window.next(buf, s.next, s.wake)
		s.setBehind(behind)
		switch {
		case n > 0:
			s.next = buf[n-1].Seq + 1
			return n, nil
		case behind:
			if err := s.readPage(ctx); err != nil {
				return 0, err
			}
		default:
			select {
			case <-s.wake.ch:
			case <-ctx.Done():
			case <-s.done:
			case <-s.bus.closing:
			}
			s.bus.window.waiting.leave(s.wake)
		}
	}
}

func (s *Subscription) ended(ctx context.Context) error {
	select {
	case <-s.done:
		return fault.New(fault.Unavailable, "the subscription is closed")
	case <-s.bus.closing:
		return errClosed()
	default:
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("receive events: %w", err)
	}
	return nil
}

// setBehind notes whether the subscription is behind the window.
func (s *Subscription) setBehind(behind bool) {
	if s.behind.Load() == behind {
		return
	}
	if !behind {
		s.catchUp()
		return
	}
	s.bus.window.pages.join()
	s.behind.Store(true)
	select {
	case <-s.done: // Close may have looked before
		s.catchUp()
	default:
	}
}

func (s *Subscription) catchUp() {
	if s.behind.CompareAndSwap(true, false) {
		s.bus.window.pages.leave()
	}
}

// readPage reads events from the log that the window no longer has.
func (s *Subscription) readPage(ctx context.Context) error {
	low := s.bus.window.floor() // before Read: events up to there that Read lacks were trimmed
	page, err := s.bus.window.pages.read(ctx, s.bus.log, s.next)
	if err != nil {
		return err
	}
	if len(page) == 0 {
		s.next = max(s.next, low+1)
	}
	s.page = page
	return nil
}

// Close ends the subscription and wakes its Next. It is safe to call more than once.
func (s *Subscription) Close() {
	s.closed.Do(func() {
		close(s.done)
		s.catchUp()
	})
}
