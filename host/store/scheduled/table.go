package scheduled

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// Tx is a transaction of the store's writer that also appends to the log.
type Tx interface {
	Conn
	// AppendDue appends events that are due. Their keys are taken and their bytes count already.
	AppendDue(events []*event.Event) error
}

// Config sets up a Table. All fields are required.
type Config struct {
	Writer *Writer
	DB     *sql.DB // read-only connections
	Now    func() time.Time
	Coded  func(doing string, err error) error // wraps an error with the operation and gives it a code
	// Write runs fn, which changes so many entries at most, in a transaction of the store's
	// writer. The changes are durable when it returns nil.
	Write func(ctx context.Context, doing string, entries int, fn func(Tx) error) error
}

// Table has the methods of bus.Schedule. They are safe for concurrent use.
type Table struct {
	cfg         Config
	list, named *sql.Stmt
}

// New returns a Table.
func New(ctx context.Context, cfg Config) (*Table, error) {
	t := &Table{cfg: cfg}
	return t, datafile.Prepare(ctx, cfg.DB, datafile.Statements{
		&t.list: `SELECT ` + columns + ` FROM scheduled WHERE cancelled_at = 0 AND (due, id) > (?1, ?2) AND (?3 = '' OR type = ?3)
			AND (?4 = '' OR subject = ?4) AND (?5 = '' OR idempotency_key = ?5) ORDER BY due, id LIMIT ?6`,
		&t.named: `SELECT ` + columns + ` FROM scheduled WHERE ` + isNamed,
	})
}

// EarlierDue receives a signal when an event was stored that is due before the last next of
// MoveDue.
func (t *Table) EarlierDue() <-chan struct{} { return t.cfg.Writer.Earlier() }

// MoveDue appends the events that are due at now to the log; see bus.Schedule. Events that
// cannot be read remain, and are the error; the others are moved nevertheless.
func (t *Table) MoveDue(ctx context.Context, now time.Time, limit int) (moved int, next time.Time, err error) {
	const doing = "move due events"
	w := t.cfg.Writer
	at := w.shown.Load()
	if at == none || at != unknown && at > now.UnixNano() {
		return 0, nextOf(at), t.cfg.Coded(doing, ctx.Err())
	}
	var unreadable error
	err = t.cfg.Write(ctx, doing, limit, func(tx Tx) error {
		events, damage, err := w.take(tx, now, limit)
		if err != nil {
			return err
		}
		moved, unreadable, at = len(events), damage, w.next
		return tx.AppendDue(events)
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	return moved, nextOf(at), t.cfg.Coded(doing, unreadable)
}

func nextOf(at int64) time.Time {
	if at == none {
		return time.Time{}
	}
	return timeOf(at)
}

// ScheduledEvents returns the events that q selects and that are not due yet, the first due
// first, and the cursor for more. Events that cannot be read are skipped.
func (t *Table) ScheduledEvents(ctx context.Context, q event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error) {
	const doing = "list scheduled events"
	after, err := event.ParseScheduledCursor(cursor)
	if err == nil {
		err = q.Check()
	}
	if err != nil {
		return nil, "", err
	}
	var from int64
	if cursor != "" {
		from = after.Due.UnixNano()
	}
	var e entry
	n := 0
	entries, err := t.list.QueryContext(ctx, from, int64(after.ID), string(q.Type), q.Subject, q.Key, q.Limit+1)
	err = datafile.Each(entries, err, func() {
		if n++; n > q.Limit {
			next = after.Cursor()
			return
		}
		after = event.ScheduledPosition{Due: timeOf(e.due), ID: uint64(e.id)}
		if s, err := e.scheduled(); err == nil {
			list = append(list, s)
		}
	}, e.fields()...)
	if err != nil {
		return nil, "", t.cfg.Coded(doing, err)
	}
	return list, next, nil
}

// ScheduledEvent returns the event with this id or, without one, with this idempotency key; a
// cancelled one, too, as long as its key is taken. fault.NotFound.
func (t *Table) ScheduledEvent(ctx context.Context, id string) (event.Scheduled, error) {
	const doing = "look up a scheduled event"
	var e entry
	err := t.named.QueryRowContext(ctx, id).Scan(e.fields()...)
	if errors.Is(err, sql.ErrNoRows) {
		return event.Scheduled{}, event.NotScheduled(id)
	}
	if err != nil {
		return event.Scheduled{}, t.cfg.Coded(doing, err)
	}
	s, err := e.scheduled()
	return s, t.cfg.Coded(doing, err)
}

// CancelScheduled cancels the event with this id or, without one, with this idempotency key, and
// returns it. fault.NotFound when none of them is scheduled.
func (t *Table) CancelScheduled(ctx context.Context, key string) (s event.Scheduled, err error) {
	found := false
	now := t.cfg.Now()
	err = t.cfg.Write(ctx, "cancel a scheduled event", 1, func(tx Tx) error {
		w := t.cfg.Writer
		var e entry
		err := tx.Scan(w.named, e.fields(), key)
		if errors.Is(err, sql.ErrNoRows) || err == nil && e.cancelled > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		e.cancelled = max(now.UnixNano(), 1)
		s, _ = e.scheduled() // an event that cannot be read can be cancelled
		found = true
		_, err = tx.Exec(w.cancel, e.cancelled, e.id)
		return err
	})
	if err == nil && !found {
		err = event.NotScheduled(key)
	}
	if err != nil {
		return event.Scheduled{}, err
	}
	return s, nil
}

// trimStep is the maximum number of events that one transaction removes.
const trimStep = 512

// TrimCancelled removes the events that were cancelled before a time, and returns their number;
// see bus.Schedule.
func (t *Table) TrimCancelled(ctx context.Context, before time.Time) (total int, err error) {
	const doing = "trim cancelled events"
	w, now := t.cfg.Writer, t.cfg.Now()
	for {
		var n int64
		err := t.cfg.Write(ctx, doing, trimStep, func(tx Tx) (err error) {
			if _, err = tx.Exec(w.restamp, now.UnixNano(), now.Add(event.ClockSlack).UnixNano()); err == nil {
				n, err = tx.Exec(w.trim, before.UnixNano(), trimStep)
			}
			return err
		})
		if err != nil {
			return total, err
		}
		if total += int(n); n < trimStep {
			return total, nil
		}
	}
}

func errUnreadable(id int64, err error) error {
	return fault.New(fault.Internal, "scheduled event %d cannot be read, and waits; see berth doctor: %w", id, err)
}
