package actions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// ErrClosing is the error of Handler.ReplayFrom for a handler that is closing: nothing has
// changed.
var ErrClosing = errors.New("the handler is closing")

// Replay delivers the events from one Seq to another, both included, again to one
// handler. The handler's present policy decides which events it takes. Order per key
// holds: the events of a key are delivered in the order of the log, then those published
// since. An event that waits for a retry keeps its attempts and is delivered once, at its
// position. A replay survives crashes and continues where it was; a new one replaces it.
//
// from 0 is the log's start; to 0, and every to beyond the log's end, is its end. Replay
// returns when the replay is stored and has begun. Errors: fault.NotFound when the
// handler has no position in the log, fault.Invalid when there is nothing to replay, and
// an error that wraps ctx's when attempts were open until then; nothing has changed.
func (a *Actions) Replay(ctx context.Context, handler string, from, to uint64) error {
	last := a.cfg.Last()
	from = max(from, 1)
	switch {
	case to != 0 && from > to:
		return fault.Field("to", "is %d, which is before from, %d", to, from)
	case from > last:
		return fault.Field("from", "is beyond the log's end, %d: there is nothing to replay", last)
	case to == 0 || to > last:
		to = last
	}
	for {
		open, unlock, err := a.cfg.Lock(ctx, handler)
		if err != nil {
			return err
		}
		fenced, err := a.cfg.Fenced(ctx, handler)
		if err != nil {
			unlock()
			return err
		}
		if open != nil {
			err = open.ReplayFrom(fenced, from, to)
		} else if err = a.cfg.FlushAll(ctx); err != nil { // the outcomes of a closed handler
			err = fmt.Errorf("start a replay: %w", err)
		} else {
			err = a.cfg.Store.StartReplay(fenced, handler, from, to, time.Now())
		}
		unlock()
		if !errors.Is(err, ErrClosing) {
			return err
		}
	}
}
