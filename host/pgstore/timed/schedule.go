package timed

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pglog"
)

// Config sets up a Schedule. DB is required.
type Config struct {
	DB  *conn.DB
	Now func() time.Time // nil is time.Now
	// Appended, if it is not nil, is called after a commit that appended events to the log.
	Appended func(ctx context.Context)
}

// Schedule has the methods of bus.Schedule. They are safe for concurrent use.
type Schedule struct {
	cfg     Config
	earlier earlier
	stop    context.CancelFunc
	watched chan struct{} // closed when watch has ended
}

// New returns a Schedule, to be closed before the DB.
func New(cfg Config) *Schedule {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Schedule{cfg: cfg, watched: make(chan struct{}), earlier: newEarlier()}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.watched)
		s.watch(ctx)
	}()
	return s
}

// Close ends the look at the events of other hosts.
func (s *Schedule) Close() {
	s.stop()
	<-s.watched
}

const (
	// columns are the columns of a scheduled event, in the order of entry.fields.
	columns = `id, due, accepted_at, cancelled_at, envelope, origin`
	// sizeOf is Event.Size.
	sizeOf  = `(octet_length(envelope) + octet_length(idempotency_key) + octet_length(type) + octet_length(subject) + 64)::bigint`
	nextDue = `SELECT coalesce(min(due), $1) FROM scheduled WHERE cancelled_at = 0`
	// isNamed selects the event with an id or, without one, with an idempotency key.
	isNamed = `WHERE id = coalesce((SELECT id FROM scheduled WHERE event_id = $1), (SELECT id FROM scheduled WHERE idempotency_key = $1))`
)

// none is when the next event is due if there is no event.
const none = math.MaxInt64

const (
	// movePage is the number of events that one statement reads.
	movePage = 64
	// maxMoved bounds the envelopes that one transaction moves, in bytes.
	maxMoved = 4 << 20
	// trimStep is the number of events that one transaction removes.
	trimStep = 512
)

// MoveDue appends the events that are due at now to the log; see bus.Schedule. Events that
// cannot be read remain, and are the error; the others are moved nevertheless.
func (s *Schedule) MoveDue(ctx context.Context, now time.Time, limit int) (moved int, next time.Time, err error) {
	const doing = "move due events"
	s.earlier.begin()
	at, err := s.next(ctx, doing)
	if err != nil {
		return 0, time.Time{}, err
	}
	if at > now.UnixNano() {
		return 0, timeOfNext(s.earlier.end(at)), nil
	}
	var unreadable error
	err = s.cfg.DB.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		h, err := pglog.LockHead(ctx, tx)
		if err != nil {
			return err
		}
		h.Now = s.cfg.Now()
		var due taken
		if due, unreadable, err = takeDue(ctx, tx, now, limit); err != nil {
			return err
		}
		if moved = len(due.events); moved > 0 {
			if _, err := tx.Exec(ctx, `DELETE FROM scheduled WHERE id = ANY ($1)`, due.ids); err != nil {
				return err
			}
			h.Scheduled -= int64(moved)
			h.ScheduledBytes -= due.bytes
			h.Bytes -= due.bytes // they count in the log now
			if _, err := pglog.Insert(ctx, tx, h, due.events); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, nextDue, int64(none)).Scan(&at)
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	if moved > 0 && s.cfg.Appended != nil {
		s.cfg.Appended(ctx)
	}
	return moved, timeOfNext(s.earlier.end(at)), unreadable
}

// next returns when the next event is due, or none.
func (s *Schedule) next(ctx context.Context, doing string) (at int64, err error) {
	err = s.cfg.DB.Query(ctx, doing, nextDue, []any{int64(none)}, func(rows pgx.Rows) (err error) {
		at, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		return err
	})
	return at, err
}

func timeOfNext(at int64) time.Time {
	if at == none {
		return time.Time{}
	}
	return timeOf(at)
}

// taken are events that are moved.
type taken struct {
	ids    []int64
	events []*event.Event
	bytes  int64
}

// takeDue returns the events that are due, in their order and at most limit. unreadable is the
// error of those that cannot be read.
func takeDue(ctx context.Context, tx pgx.Tx, now time.Time, limit int) (t taken, unreadable, err error) {
	var last entry
	for n := movePage; n == movePage && len(t.events) < limit && t.bytes < maxMoved; {
		rows, err := tx.Query(ctx, `SELECT `+columns+` FROM scheduled WHERE cancelled_at = 0 AND due <= $1 AND (due, id) > ($2, $3)
			ORDER BY due, id LIMIT $4`, now.UnixNano(), last.due, last.id, movePage)
		if err != nil {
			return t, nil, err
		}
		n = 0
		var e entry
		if _, err := pgx.ForEachRow(rows, e.fields(), func() error {
			n++
			if last = e; len(t.events) == limit {
				return nil
			}
			ev, err := e.event()
			if err != nil {
				unreadable = err
				return nil
			}
			t.ids, t.events, t.bytes = append(t.ids, e.id), append(t.events, ev.Moved(timeOf(e.due))), t.bytes+ev.Size()
			return nil
		}); err != nil {
			return t, nil, err
		}
	}
	return t, unreadable, nil
}

// ScheduledEvents returns the events that q selects and that are not due yet, the first due
// first, and the cursor for more. Events that cannot be read are skipped.
func (s *Schedule) ScheduledEvents(ctx context.Context, q event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error) {
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
	const query = `SELECT ` + columns + ` FROM scheduled WHERE cancelled_at = 0 AND (due, id) > ($1, $2) AND ($3 = '' OR type = $3)
		AND ($4 = ''::bytea OR subject = $4) AND ($5 = ''::bytea OR idempotency_key = $5) ORDER BY due, id LIMIT $6`
	err = s.cfg.DB.Query(ctx, "list scheduled events", query,
		[]any{from, int64(after.ID), string(q.Type), []byte(q.Subject), []byte(q.Key), q.Limit + 1}, func(rows pgx.Rows) error {
			list, next = nil, ""
			position, n := after, 0
			var e entry
			_, err := pgx.ForEachRow(rows, e.fields(), func() error {
				if n++; n > q.Limit {
					next = position.Cursor()
					return nil
				}
				position = event.ScheduledPosition{Due: timeOf(e.due), ID: uint64(e.id)}
				if found, err := e.scheduled(); err == nil {
					list = append(list, found)
				}
				return nil
			})
			return err
		})
	if err != nil {
		return nil, "", err
	}
	return list, next, nil
}

// ScheduledEvent returns the event with this id or, without one, with this idempotency key; a
// cancelled one, too, as long as its key is taken. fault.NotFound.
func (s *Schedule) ScheduledEvent(ctx context.Context, id string) (found event.Scheduled, err error) {
	err = s.cfg.DB.Query(ctx, "look up a scheduled event", `SELECT `+columns+` FROM scheduled `+isNamed, []any{[]byte(id)},
		func(rows pgx.Rows) error {
			var e entry
			if !rows.Next() {
				return event.NotScheduled(id)
			}
			if err := rows.Scan(e.fields()...); err != nil {
				return err
			}
			found, err = e.scheduled()
			return err
		})
	if err != nil {
		return event.Scheduled{}, err
	}
	return found, nil
}

// CancelScheduled cancels the event with this id or, without one, with this idempotency key, and
// returns it. fault.NotFound when none of them is scheduled.
func (s *Schedule) CancelScheduled(ctx context.Context, key string) (cancelled event.Scheduled, err error) {
	err = s.cfg.DB.Write(ctx, "cancel a scheduled event", func(ctx context.Context, tx pgx.Tx) error {
		h, err := pglog.LockHead(ctx, tx)
		if err != nil {
			return err
		}
		var e entry
		err = tx.QueryRow(ctx, `SELECT `+columns+` FROM scheduled `+isNamed, []byte(key)).Scan(e.fields()...)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && e.cancelled > 0 {
			return event.NotScheduled(key)
		}
		if err != nil {
			return err
		}
		e.cancelled = max(s.cfg.Now().UnixNano(), 1)
		cancelled, _ = e.scheduled() // an event that cannot be read can be cancelled
		var size int64
		if err := tx.QueryRow(ctx, `UPDATE scheduled SET cancelled_at = $2 WHERE id = $1 RETURNING `+sizeOf, e.id, e.cancelled).
			Scan(&size); err != nil {
			return err
		}
		h.Scheduled--
		h.ScheduledBytes -= size
		h.Cancelled++
		return h.Save(ctx, tx)
	})
	if err != nil {
		return event.Scheduled{}, err
	}
	return cancelled, nil
}

// TrimCancelled removes the events that were cancelled before a time, and returns their number;
// see bus.Schedule.
func (s *Schedule) TrimCancelled(ctx context.Context, before time.Time) (total int, err error) {
	for n := trimStep; n == trimStep; total += n {
		if err := s.cfg.DB.Write(ctx, "trim cancelled events", func(ctx context.Context, tx pgx.Tx) (err error) {
			n, err = s.trim(ctx, tx, before)
			return err
		}); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (s *Schedule) trim(ctx context.Context, tx pgx.Tx, before time.Time) (n int, err error) {
	h, err := pglog.LockHead(ctx, tx)
	if err != nil {
		return 0, err
	}
	now := s.cfg.Now()
	if _, err := tx.Exec(ctx, `UPDATE scheduled SET cancelled_at = $1 WHERE cancelled_at > 0 AND cancelled_at > $2`,
		max(now.UnixNano(), 1), now.Add(event.ClockSlack).UnixNano()); err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, `DELETE FROM scheduled WHERE id IN (SELECT id FROM scheduled WHERE cancelled_at > 0 AND cancelled_at < $1
		ORDER BY cancelled_at LIMIT $2) RETURNING `+sizeOf, before.UnixNano(), trimStep)
	if err != nil {
		return 0, err
	}
	var size int64
	if _, err = pgx.ForEachRow(rows, []any{&size}, func() error {
		n++
		h.Bytes -= size
		h.Cancelled--
		return nil
	}); err != nil {
		return 0, err
	}
	return n, h.Save(ctx, tx)
}

// entry is a row of the table.
type entry struct {
	id, due, accepted, cancelled int64
	envelope, origin             []byte
}

func (e *entry) fields() []any {
	return []any{&e.id, &e.due, &e.accepted, &e.cancelled, &e.envelope, &e.origin}
}

func (e *entry) event() (*event.Event, error) {
	ev, err := event.ParseStored(string(e.envelope), event.ParseOrigin(string(e.origin)))
	if err != nil {
		return nil, fault.New(fault.Internal, "scheduled event %d cannot be read, and waits; see berth doctor: %w", e.id, err)
	}
	return ev, nil
}

// scheduled returns the event of the entry. With an error it has no Event.
func (e *entry) scheduled() (event.Scheduled, error) {
	s := event.Scheduled{Due: timeOf(e.due), Accepted: timeOf(e.accepted)}
	if e.cancelled > 0 {
		s.Cancelled = timeOf(e.cancelled)
	}
	ev, err := e.event()
	s.Event = ev
	return s, err
}

func timeOf(unixNano int64) time.Time { return time.Unix(0, unixNano).UTC() }
