package bus

import (
	"context"
	"log/slog"
	"time"
)

const (
	// moveBatch is the maximum number of events that one transaction moves.
	moveBatch = 256
	// moverCheck is the longest time between two looks at the clock, which can be set
	// meanwhile: a timer follows the monotonic clock.
	moverCheck = 5 * time.Second
	// moverRetry is the time to the next attempt after an error.
	moverRetry = time.Second
)

// Mover appends scheduled events to the log when they are due. All fields are required.
type Mover struct {
	Log    Schedule
	Now    func() time.Time
	Logger *slog.Logger
}

// Run moves events until ctx ends. It logs the first of several errors in a row.
func (m Mover) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.Log.EarlierDue():
		}
		wait := moverCheck
		moved, next, err := m.Log.MoveDue(ctx, m.Now(), moveBatch)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if wait = moverRetry; moved == moveBatch { // there may be more that can be read
				wait = 0
			}
			if !failing {
				m.Logger.Error("events that are due not moved into the log; retrying", "error", err)
			}
		case !next.IsZero():
			wait = min(wait, max(0, next.Sub(m.Now())))
		}
		failing = err != nil
		timer.Reset(wait)
	}
}
