package operations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	maxChunk = 512 // events given at once
	// maxPending bounds the events given that the handler has not begun.
	maxPending = 10_000
	// pollEvery is the time between two looks at a handler's progress, and between two writes
	// of an operation's.
	pollEvery = time.Second
)

// operation is one operation. Runner.mu guards the embedded Operation and next.
type operation struct {
	wire.Operation
	id       uint64
	from, to uint64 // Seqs, both included
	whole    bool   // it is the handler's own replay
	begun    bool   // that one was started
	partly   bool   // it was by some units
	matches  func(*event.Event) bool
	next     uint64 // all events below it are examined; 0 at the start

	ctx      context.Context // ends when the operation is to stop
	cancel   context.CancelCauseFunc
	finished chan struct{} // closed when it has stopped

	saved   time.Time // when it was stored last
	pending int       // events given since the pending ones were counted
}

// position returns the Seq up to which all events are examined.
func (o *operation) position() uint64 { return max(o.next, o.from, 1) - 1 }

// run runs an operation until it is done, cancelled or failed, or the host stops. It first
// calls prepare.
func (r *Runner) run(o *operation, prepare func() error) {
	defer r.running.Done()
	defer close(o.finished)
	defer o.cancel(nil)
	err := prepare()
	switch {
	case err != nil:
	case o.whole:
		err = r.follow(o)
	default:
		err = r.give(o)
	}
	ctx := context.WithoutCancel(o.ctx)
	if stopped := context.Cause(o.ctx); err != nil && stopped != nil {
		err = stopped
	}
	cancelled := errors.Is(err, errCancelled)
	if cancelled && (o.begun || o.partly) {
		err = r.endReplay(ctx, o)
	}
	r.mu.Lock()
	switch {
	case err == nil && cancelled, errors.Is(err, errCancelled):
		o.State = wire.OperationCancelled
	case err == nil:
		o.State = wire.OperationDone
	case errors.Is(err, errClosing): // the next start continues it
	default:
		o.State, o.Reason = wire.OperationFailed, event.Headline(fault.Public(err.Error(), err), maxReason)
	}
	if o.State != wire.OperationRunning {
		o.FinishedAt = new(r.cfg.Now().Round(0).UTC())
	}
	shown := o.Operation
	r.mu.Unlock()

	if err := r.save(ctx, o); err != nil {
		r.cfg.Logger.Warn("state of an operation not stored; a restart repeats a part of it", "operation", o.ID, "error", err)
	}
	switch shown.State {
	case wire.OperationRunning:
	case wire.OperationFailed:
		r.cfg.Logger.Warn("operation failed", "operation", o.ID, "kind", o.Kind, "plugin", o.Plugin, "done", shown.Done, "error", event.Headline(err.Error(), maxReason))
	default:
		r.cfg.Logger.Info("operation ended", "operation", o.ID, "kind", o.Kind, "plugin", o.Plugin, "state", shown.State, "done", shown.Done)
	}
}

// maxReason bounds the reason of a failure, in bytes.
const maxReason = 500

// give gives the events of an operation to its handler, chunk by chunk.
func (r *Runner) give(o *operation) error {
	if o.next == 0 { // it has just begun
		p, err := r.count(o.ctx, o)
		if err != nil {
			return err
		}
		if p.Exact {
			r.mu.Lock()
			o.Total = p.Matches
			r.mu.Unlock()
		}
	}
	chunk := maxChunk
	limit := rate.NewLimiter(rate.Inf, chunk)
	if o.Rate > 0 {
		chunk = min(max(o.Rate/10, 1), maxChunk)
		limit = rate.NewLimiter(rate.Limit(o.Rate), chunk)
	}
	next := r.source(o)
	for {
		b, err := next(o.ctx, o.position())
		if err != nil {
			return err
		}
		for seqs := b.seqs; len(seqs) > 0; {
			n := min(len(seqs), chunk)
			if err := limit.WaitN(o.ctx, n); err != nil {
				return stopCause(o.ctx, err)
			}
			if err := r.giveChunk(o, seqs[:n]); err != nil {
				return err
			}
			seqs = seqs[n:]
		}
		r.progress(o, b.upTo, 0)
		if b.last {
			return nil
		}
		if err := r.known(o); err != nil {
			return err
		}
	}
}

// stopCause returns the error of a context that has ended, or else err: a limiter also refuses
// a wait beyond a deadline.
func stopCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// giveChunk gives one chunk, once the handler has begun enough of those before.
func (r *Runner) giveChunk(o *operation, seqs []uint64) error {
	if err := r.awaitCapacity(o); err != nil {
		return err
	}
	give := r.cfg.Deliveries.RetryNow
	if o.Kind == Replay {
		give = r.cfg.Deliveries.Requeue
	}
	left := seqs
	n, err := r.untilAvailable(o, func() (int, error) {
		n, err := give(o.ctx, o.Plugin, left)
		left = event.FailedSeqs(err, left)
		return n, err
	})
	if err != nil {
		r.progress(o, o.position(), n)
		return err
	}
	o.pending += n
	if o.Kind == Replay {
		n = len(seqs) // the handler gets the ones that are not final anyway
	}
	r.progress(o, seqs[len(seqs)-1], n)
	return nil
}

// unavailableFor is how long an operation tries again while no host runs its handler, as during a
// hand-over or a change of its shards.
const unavailableFor = 2 * time.Minute

// untilAvailable repeats an action while it is fault.Unavailable, and returns the sum. The action repeats
// only what has failed: an event that a shard was given is not given to it again.
func (r *Runner) untilAvailable(o *operation, do func() (int, error)) (total int, err error) {
	for until := r.cfg.Now().Add(unavailableFor); ; {
		n, err := do()
		total += n
		if !fault.Is(err, fault.Unavailable) || o.ctx.Err() != nil || r.cfg.Now().After(until) {
			r.setReason(o, "")
			return total, err
		}
		r.setReason(o, "it waits: "+event.Headline(fault.Public(err.Error(), err), maxReason))
		if err := pause(o.ctx); err != nil {
			return total, err
		}
	}
}

// awaitCapacity waits until the handler has begun enough of the events that were given to it.
func (r *Runner) awaitCapacity(o *operation) error {
	if o.Kind == Retry || o.pending < maxPending {
		return nil
	}
	defer r.setReason(o, "")
	for {
		n, err := r.countPending(o)
		if err != nil {
			return err
		}
		if o.pending = n; n < maxPending {
			return nil
		}
		r.setReason(o, fmt.Sprintf("it waits: the plugin has not begun %d events that were given to it", n))
		if err := pause(o.ctx); err != nil {
			return err
		}
		if err := r.known(o); err != nil {
			return err
		}
	}
}

// countPending counts the events given to the handler that it has not begun.
func (r *Runner) countPending(o *operation) (n int, err error) {
	positions, err := r.positions(o.ctx, o.Plugin)
	for i := 0; i < len(positions) && err == nil; i++ {
		var one int
		one, err = r.cfg.Store.CountRedriven(o.ctx, positions[i].Name, o.from, o.to)
		n += one
	}
	return n, err
}

// positions returns the positions in the log of the units of a plugin's handler.
func (r *Runner) positions(ctx context.Context, plugin string) ([]event.Cursor, error) {
	cursors, err := r.cfg.Store.Cursors(ctx)
	return event.Positions(cursors)[plugin], err
}

// lowest returns the lowest position of the units of an operation's handler. fault.NotFound when the
// handler is not there any more.
func (r *Runner) lowest(ctx context.Context, o *operation) (uint64, error) {
	positions, err := r.positions(ctx, o.Plugin)
	if err != nil {
		return 0, err
	}
	if len(positions) == 0 {
		return 0, fault.New(fault.NotFound, "the plugin %s was uninstalled", o.Plugin)
	}
	return slices.MinFunc(positions, func(a, b event.Cursor) int { return cmp.Compare(a.Seq, b.Seq) }).Seq, nil
}

// known returns an error when the handler is not there any more.
func (r *Runner) known(o *operation) error {
	_, err := r.lowest(o.ctx, o)
	return err
}

// follow starts the handler's own replay, and follows its cursor.
func (r *Runner) follow(o *operation) error {
	if !o.begun {
		left := []string{o.Plugin}
		if _, err := r.untilAvailable(o, func() (_ int, err error) {
			left, err = r.startReplays(o, left)
			return 0, err
		}); err != nil {
			return err
		}
		r.mu.Lock()
		o.begun, o.Total = true, o.to-o.from+1
		r.mu.Unlock()
		if err := r.save(o.ctx, o); err != nil {
			return err
		}
	}
	for before := uint64(0); ; {
		cursor, err := r.lowest(o.ctx, o)
		switch {
		case err != nil:
			return err
		case cursor < before:
			return fault.New(fault.Conflict, "another replay of %s has replaced this one", o.Plugin)
		}
		before = cursor
		passed := min(max(cursor, o.from-1), o.to) - (o.from - 1)
		r.mu.Lock()
		o.Done = passed
		r.mu.Unlock()
		if cursor >= o.to {
			return nil
		}
		if err := pause(o.ctx); err != nil {
			return err
		}
	}
}

// startReplays starts the replay of a handler or of units. It returns those that failed.
func (r *Runner) startReplays(o *operation, units []string) (failed []string, first error) {
	for _, unit := range units {
		if err := r.cfg.Deliveries.Replay(o.ctx, unit, o.from, o.to); err != nil {
			failed = append(failed, event.FailedUnits(err, unit)...)
			first = cmp.Or(first, err)
			var partial *event.PartialError
			o.partly = o.partly || errors.As(err, &partial)
		}
	}
	return failed, first
}

// endReplay ends the handler's own replay: a replay of the next event alone replaces it.
func (r *Runner) endReplay(ctx context.Context, o *operation) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	positions, err := r.positions(ctx, o.Plugin)
	if err != nil {
		return err
	}
	for _, unit := range positions {
		if unit.Seq >= o.to {
			continue
		}
		at := max(unit.Seq+1, 1)
		if err := r.cfg.Deliveries.Replay(ctx, unit.Name, at, at); err != nil {
			return fmt.Errorf("the replay could not be ended, and goes on: %w", err)
		}
	}
	return nil
}

// endTimeout bounds the end of a replay, which waits for attempts that are under way.
const endTimeout = time.Minute

// progress notes that all events up to a Seq are examined, and n more were given. It stores
// the operation if that is due.
func (r *Runner) progress(o *operation, upTo uint64, n int) {
	r.mu.Lock()
	o.next = max(o.next, upTo+1)
	o.Done += uint64(n)
	r.mu.Unlock()
	if r.cfg.Now().Sub(o.saved) < pollEvery {
		return
	}
	if err := r.save(o.ctx, o); err != nil && o.ctx.Err() == nil {
		r.cfg.Logger.Warn("progress of an operation not stored; a restart repeats a part of it", "operation", o.ID, "error", err)
	}
}

func (r *Runner) setReason(o *operation, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Reason = reason
}

// pause waits for the time between two looks at a handler's progress.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
