package recorder

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// counting is a Handler with outcomes of events 1, 2, …. Its fields belong to the recorder
// while it runs.
type counting struct {
	seq, collected, written int
	waiting                 int
	refused                 []event.Delivery
}

func (c *counting) Collect(b *Batch, all bool) {
	for ; c.waiting > 0; c.waiting-- {
		c.seq++
		c.collected++
		b.Deliveries = append(b.Deliveries, event.Delivery{Handler: "h", Seq: uint64(c.seq)})
	}
	if all {
		b.Cursors = append(b.Cursors, event.Cursor{Name: "handler/h", Seq: uint64(c.seq)})
	}
}

func (c *counting) Written(saved event.Saved, _ []spec.Fence) {
	c.written, c.collected = c.written+c.collected, 0
	c.refused = append(c.refused, saved.Refused...)
}

type save = func(context.Context, []spec.Fence, []event.Successes, []event.Delivery, []event.Cursor) (event.Saved, []spec.Fence, error)

func start(t *testing.T, h Handler, save save) (*Recorder, *[]event.Delivery) {
	t.Helper()
	var reported []event.Delivery
	r := New(Config{Save: save, Logger: slog.New(slog.DiscardHandler), Handlers: func() []Handler { return []Handler{h} },
		Refused: func(_ context.Context, d event.Delivery) { reported = append(reported, d) }})
	return r, &reported
}

func TestFlushWritesOutcomesAndReportsRefusals(t *testing.T) {
	h := &counting{waiting: 3}
	var saved []event.Delivery
	r, reported := start(t, h, func(_ context.Context, _ []spec.Fence, _ []event.Successes, list []event.Delivery, _ []event.Cursor) (event.Saved, []spec.Fence, error) {
		saved = append(saved, list...)
		return event.Saved{Refused: list[:1]}, nil, nil
	})
	err := r.Flush(t.Context(), h)
	r.Close()
	if err != nil || len(saved) != 3 || h.written != 3 || len(h.refused) != 1 || len(*reported) != 1 {
		t.Errorf("got %v, saved %v, %+v, reported %v", err, saved, h, *reported)
	}
}

func TestFinishReturnsOnFullDisk(t *testing.T) {
	h := &counting{waiting: 1}
	full := fault.New(fault.Exhausted, "the disk is full")
	r, _ := start(t, h, func(context.Context, []spec.Fence, []event.Successes, []event.Delivery, []event.Cursor) (event.Saved, []spec.Fence, error) {
		return event.Saved{}, nil, full
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := r.Finish(ctx, h)
	r.Close()
	if !errors.Is(err, full) || ctx.Err() != nil || h.written != 0 {
		t.Errorf("got %v, %d written", err, h.written)
	}
}

func TestFlushReturnsNilAfterClose(t *testing.T) {
	h := &counting{}
	r, _ := start(t, h, func(context.Context, []spec.Fence, []event.Successes, []event.Delivery, []event.Cursor) (event.Saved, []spec.Fence, error) {
		return event.Saved{}, nil, nil
	})
	r.Close()
	if err := r.FlushAll(t.Context()); err != nil {
		t.Error(err)
	}
}
