// Package failurelog writes failed attempts and dead letters to the host's log: a dead letter
// has a line, and of the attempts that are retried one for each handler, class and interval.
package failurelog

import (
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

const (
	// every is how often a failed attempt that is retried is logged, for each
	// handler and class.
	every = 10 * time.Second
	// maxLogged bounds the logged part of a failure's message, in bytes.
	maxLogged = 500
)

// Limit limits the log lines for the failed attempts of one handler. It has neither a lock nor
// a clock of its own.
type Limit map[event.Class]counted

type counted struct {
	next       time.Time // when the next line may be written
	suppressed int       // attempts since the last line
}

// Count counts a failed attempt. It returns whether the attempt is logged, and how many
// of its class were suppressed since the last line.
func (f *Limit) Count(class event.Class, now time.Time) (suppressed int, logged bool) {
	if *f == nil {
		*f = make(Limit)
	}
	c := (*f)[class]
	if now.Before(c.next) {
		c.suppressed++
		(*f)[class] = c
		return 0, false
	}
	(*f)[class] = counted{next: now.Add(every)}
	return c.suppressed, true
}

// Retried logs a failed attempt that is retried.
func Retried(logger *slog.Logger, rec event.Record, d *event.Delivery, suppressed int) {
	logger.Warn("attempt failed; retry scheduled", spec.LogUnit(d.Handler), "event_id", rec.Event.ID(), "seq", rec.Seq,
		"attempt", d.Attempts, "class", d.ErrorClass, "error", event.Headline(d.ErrorMessage, maxLogged),
		"retry_in", d.Due.Sub(d.At).Round(time.Millisecond), "suppressed", suppressed)
}

// Dead logs a dead letter. id is "" when it is not known.
func Dead(logger *slog.Logger, id string, d *event.Delivery) {
	logger.Warn("dead letter", spec.LogUnit(d.Handler), "event_id", id, "seq", d.Seq,
		"attempt", d.Attempts, "class", d.ErrorClass, "error", event.Headline(d.ErrorMessage, maxLogged))
}
