// Package claim gives handlers their first position in the log.
package claim

import (
	"context"
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Store is the part of delivery.Store that has the positions.
type Store interface {
	LoadBacklog(ctx context.Context, handler string) (event.Backlog, error)
	Cursor(ctx context.Context, name string) (seq uint64, found bool, err error)
	SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, list []event.Delivery, cursors []event.Cursor) (
		saved event.Saved, fenced []spec.Fence, err error)
}

// Claims has the positions that could not be stored. The zero value has none. It is safe for
// concurrent use.
type Claims struct {
	mu    sync.Mutex
	after map[string]uint64 // by handler
}

// Claim gives a handler its position in the log, durably: every event from there on waits for
// it. start decides the position. A handler that has one keeps it. Claim keeps a position that
// the store has refused for the next call, so that the handler misses no event published in
// between. add is nil, or stores the cursor unless another host has done so meanwhile.
func (c *Claims) Claim(ctx context.Context, store Store, handler string, start func(ctx context.Context, handler string) (after uint64, err error),
	add func(context.Context, event.Cursor) error) error {
	position := event.HandlerCursors(handler).Position
	_, found, err := store.Cursor(ctx, position)
	if err != nil || found {
		return err
	}
	backlog, err := store.LoadBacklog(ctx, handler)
	if err != nil || backlog.Found {
		return err
	}
	c.mu.Lock()
	after, claimed := c.after[handler]
	c.mu.Unlock()
	if !claimed {
		if after, err = start(ctx, handler); err != nil {
			return err
		}
	}
	first := event.Cursor{Name: position, Seq: after}
	if add != nil {
		err = add(ctx, first)
	} else {
		_, _, err = store.SaveDeliveries(ctx, nil, nil, nil, []event.Cursor{first})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		delete(c.after, handler)
	case c.after == nil:
		c.after = map[string]uint64{handler: after}
	default:
		c.after[handler] = after
	}
	return err
}
