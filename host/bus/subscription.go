package bus

import (
	"context"
	"fmt"
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Subscription is a place in the log that moves forward. Next is for one
// goroutine; Close may come from any.
type Subscription struct {
	bus    *Bus
	next   uint64         // the lowest Seq not handed out yet
	page   []event.Record // read from the log, not handed out yet
	wake   *waiter
	done   chan struct{}
	closed sync.Once
}

// Subscribe starts a subscription at Seq from (0 is the log's beginning); for
// what is published from now on, that is Last()+1. Close it when done.
func (b *Bus) Subscribe(from uint64) *Subscription {
	return &Subscription{bus: b, next: max(from, 1), wake: newWaiter(), done: make(chan struct{})}
}

// Next waits until there is an event, copies as many as there are and as buf has
// room for, and returns their number, at least one. They come in the order of
// Seq, each once. When it returns an error no event was taken, and it can be
// called again: one that wraps the context's, fault.Unavailable when the
// subscription or the bus is closed, or the log's own.
func (s *Subscription) Next(ctx context.Context, buf []event.Record) (int, error) {
	if len(buf) == 0 {
		return 0, fault.New(fault.Invalid, "receive events: the buffer has no room")
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
		n, behind, waiting := s.fromRing(buf)
		switch {
		case n > 0:
			s.next = buf[n-1].Seq + 1
			return n, nil
		case behind:
			if err := s.readPage(ctx); err != nil {
				return 0, err
			}
		case waiting:
			select {
			case <-s.wake.ch:
			case <-ctx.Done():
			case <-s.done:
			case <-s.bus.closing:
			}
			s.bus.waiting.leave(s.wake)
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

// fromRing copies what the ring has. With nothing to copy it answers that the
// subscription is behind the ring, or else has joined those who wait for more.
func (s *Subscription) fromRing(buf []event.Record) (n int, behind, waiting bool) {
	b := s.bus
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s.next <= b.ring.low {
		return 0, true, false
	}
	if n = b.ring.copyTo(buf, s.next); n > 0 {
		return n, false, false
	}
	if b.stalled.Load() && b.log.Last() >= s.next {
		return 0, true, false
	}
	// Under the lock: the reader wakes after it has changed the ring.
	b.waiting.join(s.wake)
	return 0, false, true
}

// readPage reads from the log what the ring has let go already.
func (s *Subscription) readPage(ctx context.Context) error {
	s.bus.mu.RLock()
	low := s.bus.ring.low // before Read: what is up to here and not in it was trimmed
	s.bus.mu.RUnlock()
	if s.bus.stalled.Load() { // the ring says nothing about the log's end
		low = s.bus.log.Last()
	}
	page, err := s.bus.log.Read(ctx, s.next, pageSize)
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
	s.closed.Do(func() { close(s.done) })
}

// Durable is a subscription with a cursor: it goes on after the last event that
// was acknowledged, also after a restart.
type Durable struct {
	*Subscription
	name string

	mu    sync.Mutex
	acked uint64
}

// SubscribeDurable opens the durable subscription with this name. The first time
// it starts with what is published from now on, and is remembered at once. Two
// open at a time under one name share a cursor and get every event each, so keep
// it to one.
func (b *Bus) SubscribeDurable(ctx context.Context, name string) (*Durable, error) {
	if name == "" {
		return nil, fault.New(fault.Invalid, "subscribe: the name is empty")
	}
	name = "subscriber/" + name
	seq, found, err := b.log.Cursor(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if !found {
		seq = b.log.Last()
		if err := b.log.SetCursor(ctx, event.Cursor{Name: name, Seq: seq}); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
	}
	return &Durable{Subscription: b.Subscribe(seq + 1), name: name, acked: seq}, nil
}

// Ack says that everything up to and including seq is done. It is stored when it
// returns. A seq that was acknowledged already is nothing new. Safe for
// concurrent use, also with Next.
func (d *Durable) Ack(ctx context.Context, seq uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if seq <= d.acked {
		return nil
	}
	if err := d.bus.log.SetCursor(ctx, event.Cursor{Name: d.name, Seq: seq}); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	d.acked = seq
	return nil
}
