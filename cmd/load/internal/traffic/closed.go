package traffic

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Closed is a closed loop: each publisher sends its next request when the one before is
// answered.
type Closed struct {
	Publishers int
	Batch      int           // events in a request; 1: an event by itself
	Warmup     time.Duration // before the window
	Window     time.Duration
}

// Observed is what happened in the window.
type Observed struct {
	Events  int // answered
	Elapsed time.Duration
}

// Run publishes until the window has passed. begin and end are called at its ends.
func (c Closed) Run(ctx context.Context, s Server, begin, end func() error) (seen Observed, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var answered, next atomic.Int64
	var stop atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	for range c.Publishers {
		group.Go(func() error {
			conn, err := s.dial(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			var body []byte
			for !stop.Load() {
				to := int(next.Add(int64(c.Batch)))
				body = appendBody(body[:0], to-c.Batch, to, c.Batch, func(n int) Event { return Event{Number: n, Subject: -1} })
				if err := conn.publish(body); err != nil {
					return err
				}
				answered.Add(int64(c.Batch))
			}
			return nil
		})
	}
	window := func() error {
		defer stop.Store(true)
		if err := wait(ctx, c.Warmup); err != nil {
			return err
		}
		if err := begin(); err != nil {
			return err
		}
		from, began := answered.Load(), time.Now()
		if err := wait(ctx, c.Window); err != nil {
			return err
		}
		seen = Observed{Events: int(answered.Load() - from), Elapsed: time.Since(began)}
		return end()
	}
	failed := window()
	if err := group.Wait(); err != nil {
		return seen, err // of a publisher, which has ended the window
	}
	return seen, failed
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// appendBody appends the events from to to as one body: a list, unless batch is 1.
func appendBody(b []byte, from, to, batch int, event func(n int) Event) []byte {
	if batch == 1 {
		return event(from).Append(b)
	}
	b = append(b, '[')
	for n := from; n < to; n++ {
		if n > from {
			b = append(b, ',')
		}
		b = event(n).Append(b)
	}
	return append(b, ']')
}

// Fill publishes the events from to to, in batches, over one connection, so that they are
// in the log in the order of their numbers.
func Fill(ctx context.Context, s Server, from, to, batch int, event func(n int) Event) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var body []byte
	for ; from < to; from += batch {
		body = appendBody(body[:0], from, min(to, from+batch), batch, event)
		if err := conn.publish(body); err != nil {
			return err
		}
	}
	return nil
}

// FillParallel is Fill over several connections, each with a part of the events.
func FillParallel(ctx context.Context, s Server, connections, from, to, batch int, event func(n int) Event) error {
	errs := make([]error, connections)
	var done sync.WaitGroup
	for i := range connections {
		first, last := from+(to-from)*i/connections, from+(to-from)*(i+1)/connections
		done.Go(func() { errs[i] = Fill(ctx, s, first, last, batch, event) })
	}
	done.Wait()
	return errors.Join(errs...)
}
