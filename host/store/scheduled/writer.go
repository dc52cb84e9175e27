// Package scheduled keeps events that are not due yet in the table scheduled of a store's data
// file, and those that were cancelled before they were due, whose idempotency keys stay taken.
// Triggers of the table keep log_size exact.
//
// Writer runs in the transactions of the store's writer; the methods of Table are those of
// the store. Read this file first.
package scheduled

import (
	"context"
	"database/sql"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
	Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error)
	Scan(stmt *sql.Stmt, dest []any, args ...any) error
}

// columns are the columns of a scheduled event, in the order of entry.scan.
const columns = `id, due, accepted_at, cancelled_at, envelope, origin`

// findBatch is the number of keys that one statement looks up; unused parameters are NULL.
const findBatch = 64

const (
	unknown = 0             // of earliest
	none    = math.MaxInt64 // of earliest
)

// Writer changes the table. Its methods belong to the goroutine of the store's writer, except
// for Earlier.
type Writer struct {
	find, add, due, remove, earliest, named *sql.Stmt
	cancel, trim, restamp                   *sql.Stmt

	shown    atomic.Int64  // no event is due before, in unix ns; or unknown, or none
	next     int64         // shown once the transaction is committed
	wake     bool          // an event is due before shown
	signaled chan struct{} // buffers one signal
}

// Prepare prepares the statements on the writer's connection.
func (w *Writer) Prepare(ctx context.Context, db *sql.DB) error {
	w.signaled = make(chan struct{}, 1)
	return datafile.Prepare(ctx, db, datafile.Statements{
		&w.find: `SELECT ` + columns + `, idempotency_key FROM scheduled WHERE idempotency_key IN (?` + strings.Repeat(`, ?`, findBatch-1) + `)`,
		&w.add: `INSERT INTO scheduled (due, accepted_at, event_id, idempotency_key, type, subject, envelope, origin)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		&w.due:      `SELECT ` + columns + ` FROM scheduled WHERE cancelled_at = 0 AND due <= ? ORDER BY due, id`,
		&w.remove:   `DELETE FROM scheduled WHERE id = ?`,
		&w.earliest: `SELECT coalesce(min(due), ?) FROM scheduled WHERE cancelled_at = 0`,
		&w.named:    `SELECT ` + columns + ` FROM scheduled WHERE ` + isNamed,
		&w.cancel:   `UPDATE scheduled SET cancelled_at = ? WHERE id = ?`,
		&w.restamp:  `UPDATE scheduled SET cancelled_at = ? WHERE cancelled_at > 0 AND cancelled_at > ?`,
		&w.trim: `DELETE FROM scheduled WHERE id IN (SELECT id FROM scheduled WHERE cancelled_at > 0 AND cancelled_at < ?
			ORDER BY cancelled_at LIMIT ?)`,
	})
}

// isNamed selects the event with an id or, without one, with an idempotency key. Event ids are
// unique, and so are keys.
const isNamed = `id = coalesce((SELECT id FROM scheduled WHERE event_id = ?1), (SELECT id FROM scheduled WHERE idempotency_key = ?1))`

// Earlier receives a signal when an event is stored that is due before those known.
func (w *Writer) Earlier() <-chan struct{} { return w.signaled }

// Commit follows the commit of each transaction.
func (w *Writer) Commit() {
	w.shown.Store(w.next)
	w.signal()
}

// Abort follows each transaction that failed, or whose result is not known.
func (w *Writer) Abort() {
	w.next, w.wake = unknown, true
	w.Commit()
}

func (w *Writer) signal() {
	if !w.wake {
		return
	}
	w.wake = false
	select {
	case w.signaled <- struct{}{}:
	default:
	}
}

// Due returns when an event is due that is accepted now, and whether that is in the future.
func Due(ev *event.Event, now time.Time) (due time.Time, later bool) {
	d := ev.Deferral()
	if d.IsZero() {
		return now, false
	}
	due = d.Due(now)
	return due, due.After(now)
}

// Find returns the scheduled events that have these keys, by key; one that cannot be read has
// no Event.
func (w *Writer) Find(c Conn, keys []string) (map[string]event.Scheduled, error) {
	found := make(map[string]event.Scheduled)
	args := make([]any, findBatch)
	for len(keys) > 0 {
		n := min(findBatch, len(keys))
		clear(args)
		for i, key := range keys[:n] {
			args[i] = key
		}
		keys = keys[n:]
		var e entry
		var key string
		entries, err := c.Query(w.find, args...)
		err = datafile.Each(entries, err, func() { found[key], _ = e.scheduled() }, append(e.fields(), &key)...)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Add stores an event that is not due yet and returns it. Its key is new.
func (w *Writer) Add(c Conn, ev *event.Event, due, now time.Time) (event.Scheduled, error) {
	m := ev.Metadata()
	_, err := c.Exec(w.add, due.UnixNano(), now.UnixNano(), m.EventID, m.IdempotencyKey, string(ev.Type()), m.Subject, ev.Envelope(),
		ev.Origin().Encode())
	if at := due.UnixNano(); w.next == unknown || at < w.next {
		w.wake = true
		if w.next != unknown {
			w.next = at
		}
	}
	return event.Scheduled{Event: ev.WithoutDeferral(), Due: timeOf(due.UnixNano()), Accepted: timeOf(now.UnixNano())}, err
}

// maxMoved bounds the envelopes that one transaction moves, in bytes.
const maxMoved = 4 << 20

// take removes the events that are due, in their order and at most limit, and returns them.
// unreadable is the error of those that cannot be read, which remain.
func (w *Writer) take(c Conn, now time.Time, limit int) (events []*event.Event, unreadable, err error) {
	entries, err := c.Query(w.due, now.UnixNano())
	if err != nil {
		return nil, nil, err
	}
	defer entries.Close()
	var ids []int64
	var e entry
	for size := 0; len(events) < limit && size < maxMoved && entries.Next(); {
		if err := entries.Scan(e.fields()...); err != nil {
			return nil, nil, err
		}
		s, err := e.scheduled()
		if err != nil {
			unreadable = err
			continue
		}
		events, ids = append(events, s.Event.Moved(s.Due)), append(ids, e.id)
		size += len(e.envelope)
	}
	if err := entries.Err(); err != nil {
		return nil, nil, err
	}
	if err := entries.Close(); err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		if _, err := c.Exec(w.remove, id); err != nil {
			return nil, nil, err
		}
	}
	return events, unreadable, c.Scan(w.earliest, []any{&w.next}, int64(none))
}

// entry is a row of the table.
type entry struct {
	id, due, accepted, cancelled int64
	envelope, origin             string
}

func (e *entry) fields() []any {
	return []any{&e.id, &e.due, &e.accepted, &e.cancelled, &e.envelope, &e.origin}
}

// scheduled returns the event of the entry. With an error it has no Event.
func (e *entry) scheduled() (event.Scheduled, error) {
	s := event.Scheduled{Due: timeOf(e.due), Accepted: timeOf(e.accepted)}
	if e.cancelled > 0 {
		s.Cancelled = timeOf(e.cancelled)
	}
	ev, err := event.ParseStored(e.envelope, event.ParseOrigin(e.origin))
	if err != nil {
		return s, errUnreadable(e.id, err)
	}
	s.Event = ev
	return s, nil
}

func timeOf(unixNano int64) time.Time { return time.Unix(0, unixNano).UTC() }
