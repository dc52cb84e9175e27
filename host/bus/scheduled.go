package bus

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
)

// Schedule is the part of a log that keeps events until they are due. Append, and
// SaveDeliveries for children, store an event there whose Deferral is in the future by the
// engine's clock: its receipt has Due and no Seq. Its idempotency key is taken from then on, and
// a repeated key gets a receipt as of any other event. It survives as the log's events do.
type Schedule interface {
	// MoveDue appends the events that are due at now to the log, in the order of their due
	// times and at most limit, each in the transaction that removes it from the schedule.
	// moved is their number, also with an error. next is when the next one is due, which may
	// be in the past; zero for none. It may be too early, but is never too late.
	MoveDue(ctx context.Context, now time.Time, limit int) (moved int, next time.Time, err error)
	// EarlierDue receives a signal when an event was stored that is due before the last next
	// of MoveDue.
	EarlierDue() <-chan struct{}
	// ScheduledEvents returns the events that q selects and that are not due yet, the first
	// due first. next is the cursor for more, or "". A malformed cursor is fault.Invalid.
	ScheduledEvents(ctx context.Context, q event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error)
	// ScheduledEvent returns the event with this id or, without one, with this idempotency
	// key; a cancelled one, too, as long as its key is taken. fault.NotFound.
	ScheduledEvent(ctx context.Context, id string) (event.Scheduled, error)
	// CancelScheduled cancels the event with this id or, without one, with this idempotency
	// key, and returns it. fault.NotFound when none of them is scheduled. Its key stays taken
	// and its size counts until TrimCancelled.
	CancelScheduled(ctx context.Context, key string) (event.Scheduled, error)
	// TrimCancelled removes the events that were cancelled before a time, and returns their
	// number. Times of the future, which a clock gave that was set back, become the present
	// one.
	TrimCancelled(ctx context.Context, before time.Time) (int, error)
}
