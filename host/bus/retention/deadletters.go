package retention

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/event"
)

// DeadLetters purges the dead letters past their retention. Their events then follow
// the retention of the log. It is safe for concurrent use.
type DeadLetters struct {
	Retention func() time.Duration // in force now; 0: never purge
	Now       func() time.Time
	Purge     func(context.Context, event.DeadFilter) (int, error)
	Logger    *slog.Logger
}

// Run purges every minute until ctx ends.
func (d DeadLetters) Run(ctx context.Context) {
	every(ctx, func() { d.Expire(ctx, d.Now()) })
}

// Expire purges the dead letters past their retention at a time, and logs the outcome.
func (d DeadLetters) Expire(ctx context.Context, now time.Time) {
	retention := d.Retention()
	if retention == 0 {
		return
	}
	n, err := d.Purge(ctx, event.DeadFilter{Until: now.Add(-retention)})
	if n > 0 {
		d.Logger.Warn("dead letters past their retention purged; their events were never handled", "dead_letters", n, "retention",
			retention)
	}
	if err != nil && ctx.Err() == nil {
		d.Logger.Error("dead letters past their retention not purged", "error", err)
	}
}
