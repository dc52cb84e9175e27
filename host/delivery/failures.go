package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	// failureEvery is how often a failed attempt that is retried is logged, for each
	// handler and class.
	failureEvery = 10 * time.Second
	// maxLogged bounds the logged part of a failure's message, in bytes.
	maxLogged = 500
)

// failureLog limits the log lines for the failed attempts of one handler. It has neither
// a lock nor a clock of its own.
type failureLog map[event.Class]failureCount

type failureCount struct {
	next       time.Time // when the next line may be written
	suppressed int       // attempts since the last line
}

// count counts a failed attempt. It returns whether the attempt is logged, and how many
// of its class were suppressed since the last line.
func (f *failureLog) count(class event.Class, now time.Time) (suppressed int, logged bool) {
	if *f == nil {
		*f = make(failureLog)
	}
	c := (*f)[class]
	if now.Before(c.next) {
		c.suppressed++
		(*f)[class] = c
		return 0, false
	}
	(*f)[class] = failureCount{next: now.Add(failureEvery)}
	return c.suppressed, true
}

// logFailure logs a failed attempt that is retried.
func logFailure(logger *slog.Logger, rec event.Record, d *event.Delivery, suppressed int) {
	logger.Warn("attempt failed; retry scheduled", "plugin", d.Handler, "event_id", rec.Event.ID(), "seq", rec.Seq,
		"attempt", d.Attempts, "class", d.ErrorClass, "error", event.Headline(d.ErrorMessage, maxLogged),
		"retry_in", d.Due.Sub(d.At).Round(time.Millisecond), "suppressed", suppressed)
}

// logDeadLetter logs a dead letter. id is "" when it is not known.
func logDeadLetter(logger *slog.Logger, id string, d *event.Delivery) {
	logger.Warn("dead letter", "plugin", d.Handler, "event_id", id, "seq", d.Seq,
		"attempt", d.Attempts, "class", d.ErrorClass, "error", event.Headline(d.ErrorMessage, maxLogged))
}

// reportRefused logs a dead letter whose outcome was ok, and notifies the observer.
func (d *Dispatcher) reportRefused(ctx context.Context, refused event.Delivery) {
	records, err := d.cfg.Log.Read(ctx, refused.Seq, 1)
	if err != nil || len(records) != 1 || records[0].Seq != refused.Seq {
		logDeadLetter(d.cfg.Logger, "", &refused)
		return
	}
	logDeadLetter(d.cfg.Logger, records[0].Event.ID(), &refused)
	if d.cfg.Observer != nil {
		d.cfg.Observer(records[0], refused)
	}
}
