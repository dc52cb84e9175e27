package delivery

import (
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	// failureEvery is how often a failed attempt that is followed by another one is
	// logged, for each handler and class.
	failureEvery = 10 * time.Second
	// maxLogged bounds what the log has of a failure's message, in bytes.
	maxLogged = 500
)

// failureLog limits the log lines of the failed attempts of one handler. It has no
// lock and no clock of its own.
type failureLog map[event.Class]failureCount

type failureCount struct {
	next       time.Time // when the next line may be written
	suppressed int       // attempts since the last line
}

// count counts a failed attempt. It answers whether it is logged, and how many of its class were not since the last that was.
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

// logFailure writes the warning of a failed attempt that is followed by another one.
func logFailure(logger *slog.Logger, rec event.Record, row *event.Delivery, suppressed int) {
	logger.Warn("an attempt failed; the event is tried again", "plugin", row.Handler, "event_id", rec.Event.ID(), "seq", rec.Seq,
		"attempt", row.Attempts, "class", row.ErrorClass, "message", event.Headline(row.ErrorMessage, maxLogged),
		"retry_in", row.Due.Sub(row.At).Round(time.Millisecond), "suppressed", suppressed)
}

// logDeadLetter writes the warning of a dead letter. id is "" when it is not known.
func logDeadLetter(logger *slog.Logger, id string, row *event.Delivery) {
	logger.Warn("an event is in the dead letters", "plugin", row.Handler, "event_id", id, "seq", row.Seq,
		"attempts", row.Attempts, "class", row.ErrorClass, "message", event.Headline(row.ErrorMessage, maxLogged))
}
