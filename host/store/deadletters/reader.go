package deadletters

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// maxPageBytes ends a page of dead letters, which contains their events.
const maxPageBytes = 16 << 20

// Reader reads dead letters and pending deliveries.
type Reader struct {
	db                       *sql.DB
	counts, pending, counted *sql.Stmt
}

// NewReader prepares the statements of a Reader.
func NewReader(ctx context.Context, db *sql.DB) (*Reader, error) {
	const pending = ` FROM deliveries INDEXED BY deliveries_open WHERE handler = ? AND status NOT IN ('ok', 'dead') AND status = 'pending'`
	r := &Reader{db: db}
	return r, datafile.Prepare(ctx, db, datafile.Statements{
		&r.counts: `SELECT handler, count(*) FROM deliveries INDEXED BY deliveries_dead WHERE status = 'dead' AND purged = 0
			GROUP BY handler`,
		&r.pending: `SELECT ` + outcomes.Columns + pending + ` AND seq > ? ORDER BY seq LIMIT ?`,
		&r.counted: `SELECT count(*)` + pending + ` AND seq >= ? AND seq <= ?`,
	})
}

// Filter is an event.DeadFilter whose EventID was looked up.
type Filter struct {
	event.DeadFilter
	Seq uint64 // of the event with EventID, which is not used; 0 for all
}

// List returns the dead letters that a filter selects, in the list's order after a
// position: at most limit, and fewer when their events are large. more says that there are
// others.
func (r *Reader) List(ctx context.Context, f Filter, after event.DeadPosition, limit int) (list []event.DeadLetter, more bool, err error) {
	found, err := r.query(ctx, "d."+strings.ReplaceAll(outcomes.Columns, ", ", ", d.")+", e.envelope, e.origin", f, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	defer found.Close()
	bytes := 0
	for found.Next() {
		if len(list) == limit || bytes > maxPageBytes {
			return list, true, nil
		}
		var d event.Delivery
		var envelope, origin string
		if err := outcomes.ScanDelivery(found, &d, &envelope, &origin); err != nil {
			return nil, false, err
		}
		ev, err := event.ParseStored(envelope, event.ParseOrigin(origin))
		if err != nil {
			return nil, false, fmt.Errorf("event %d: %w", d.Seq, err)
		}
		list = append(list, d.DeadLetter(ev))
		bytes += len(envelope)
	}
	return list, false, found.Err()
}

// Positions is List for the positions alone.
func (r *Reader) Positions(ctx context.Context, f Filter, after event.DeadPosition, limit int) ([]event.DeadPosition, error) {
	found, err := r.query(ctx, "d.seq, d.handler", f, after, limit)
	var list []event.DeadPosition
	var seq int64
	var handler string
	err = datafile.Each(found, err, func() { list = append(list, event.DeadPosition{Seq: uint64(seq), Handler: handler}) }, &seq, &handler)
	return list, err
}

// query queries columns of the dead letters (d) that f selects and their events (e).
func (r *Reader) query(ctx context.Context, columns string, f Filter, after event.DeadPosition, limit int) (*sql.Rows, error) {
	index := "deliveries_kept"
	if f.Handler != "" {
		index = "deliveries_dead"
	}
	text := `SELECT ` + columns + ` FROM deliveries AS d INDEXED BY ` + index + ` CROSS JOIN events AS e ON e.seq = d.seq
		WHERE d.status <> 'ok' AND d.status = 'dead' AND d.purged = 0`
	var args []any
	where := func(condition string, values ...any) {
		text += " AND " + condition
		args = append(args, values...)
	}
	if f.Seq != 0 {
		where("d.seq = ?", datafile.Seq(f.Seq))
	}
	if f.Handler != "" {
		where("d.handler = ?", f.Handler)
	}
	if after != (event.DeadPosition{}) {
		where("(d.seq, d.handler) < (?, ?)", datafile.Seq(after.Seq), after.Handler)
	}
	if f.Type != "" {
		where("e.type = ?", f.Type)
	}
	if f.Subject != "" {
		where("e.subject = ?", f.Subject)
	}
	if f.Class != "" {
		where("d.error_class = ?", string(f.Class))
	}
	if !f.Since.IsZero() {
		where("d.at >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		where("d.at < ?", f.Until.UnixNano())
	}
	return r.db.QueryContext(ctx, text+` ORDER BY d.seq DESC, d.handler DESC LIMIT ?`, append(args, limit)...)
}

// Counts returns the number of dead letters of each handler that has any.
func (r *Reader) Counts(ctx context.Context) (map[string]uint64, error) {
	counts := make(map[string]uint64)
	var handler string
	var n uint64
	found, err := r.counts.QueryContext(ctx)
	err = datafile.Each(found, err, func() { counts[handler] = n }, &handler, &n)
	return counts, err
}

// Pending returns a handler's pending deliveries above a Seq, ascending, at most limit.
func (r *Reader) Pending(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	found, err := r.pending.QueryContext(ctx, handler, datafile.Seq(after), limit)
	return outcomes.ScanDeliveries(found, err)
}

// CountPending counts a handler's pending deliveries from one Seq to another, both included.
func (r *Reader) CountPending(ctx context.Context, handler string, from, to uint64) (n int, err error) {
	err = r.counted.QueryRowContext(ctx, handler, datafile.Seq(from), datafile.Seq(to)).Scan(&n)
	return n, err
}
