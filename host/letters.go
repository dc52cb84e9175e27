package host

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
)

// startOf answers after which event a handler begins that has no place in the
// log yet, as the configuration says.
func (h *Host) startOf(log eventLog) func(ctx context.Context, handler string) (after uint64, err error) {
	return func(ctx context.Context, handler string) (uint64, error) {
		start := h.current.Load().Handlers[handler].Start
		if !start.Earliest && start.At.IsZero() {
			return log.Last(), nil
		}
		first, err := log.SeqAt(ctx, start.At) // the zero time is before every event
		if err != nil {
			return 0, err
		}
		h.logger.Info("a new handler begins in the past", "plugin", handler, "start", start.String(), "seq", first)
		return first - 1, nil
	}
}

// lettersEvery is how often dead letters past their retention are given up.
const lettersEvery = time.Minute

// startLetters gives up the dead letters that are older than
// bus.dead_letters.retention; their events then go with the log's retention.
func (h *Host) startLetters(r *runner) {
	h.background("the dead letters' retention", func(ctx context.Context) {
		tick := time.NewTicker(lettersEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.expireLetters(ctx, r, time.Now())
			case <-ctx.Done():
				return
			}
		}
	})
}

func (h *Host) expireLetters(ctx context.Context, r *runner, now time.Time) {
	keep := h.current.Load().Bus.DeadLetters.Retention
	if keep == 0 {
		return
	}
	n, err := r.dispatcher.Purge(ctx, event.DeadFilter{Until: now.Add(-keep)})
	if n > 0 {
		h.logger.Warn("dead letters past their retention were given up; their events were never handled", "dead_letters", n, "retention", keep)
	}
	if err != nil && ctx.Err() == nil {
		h.logger.Error("dead letters past their retention could not be removed", "error", err)
	}
}
