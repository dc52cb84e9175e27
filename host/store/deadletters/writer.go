package deadletters

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
	Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error)
}

// Writer makes deliveries pending.
type Writer struct{ redrive, purge, deliveries, set *sql.Stmt }

// Prepare prepares the statements on the writer's connection.
func (w *Writer) Prepare(ctx context.Context, db *sql.DB) error {
	const one = ` WHERE handler = ? AND seq = ? AND status = 'dead' AND purged = 0`
	return datafile.Prepare(ctx, db, datafile.Statements{
		&w.redrive: `UPDATE deliveries SET status = 'pending', attempts = 0, result = '', error_class = '', error_message = '',
			duration = 0, fuel = 0, at = ?, due = 0, first_at = 0, digest = ''` + one,
		&w.purge: `UPDATE deliveries SET purged = 1` + one,
		&w.deliveries: `SELECT e.seq, d.status IN ('ok', 'dead'), coalesce(d.at, 0) FROM json_each(?2) AS s CROSS JOIN events AS e ON e.seq = s.value
			LEFT JOIN deliveries AS d ON d.handler = ?1 AND d.seq = e.seq`,
		&w.set: `INSERT OR REPLACE INTO deliveries (` + outcomes.Columns + `) VALUES (` + outcomes.Parameters + `)`,
	})
}

// Redrive makes a dead letter pending, Purge discards one. changed is false when the
// delivery is none.
func (w *Writer) Redrive(c Conn, p event.DeadPosition, at time.Time) (changed bool, err error) {
	n, err := c.Exec(w.redrive, at.UnixNano(), p.Handler, datafile.Seq(p.Seq))
	return n > 0, err
}

// Purge is described at Redrive.
func (w *Writer) Purge(c Conn, p event.DeadPosition) (changed bool, err error) {
	n, err := c.Exec(w.purge, p.Handler, datafile.Seq(p.Seq))
	return n > 0, err
}

// Progress is how far a handler is.
type Progress struct {
	Handler string
	Cursor  uint64
	Replay  *event.Replay        // the one under way, or nil
	Packed  map[uint64]time.Time // of outcomes above the cursor that are in blocks
}

// Requeue makes the deliveries of these Seqs pending that the handler has had and whose
// events are in the log, and returns their number.
func (w *Writer) Requeue(c Conn, p Progress, seqs []uint64, at time.Time) (n int, err error) {
	var chosen []uint64
	var seq, ended int64
	var final sql.NullBool // NULL without a delivery
	found, err := c.Query(w.deliveries, p.Handler, datafile.List(func(yield func(int64) bool) {
		for _, seq := range seqs {
			if !yield(datafile.Seq(seq)) {
				return
			}
		}
	}))
	err = datafile.Each(found, err, func() {
		if final.Valid && !final.Bool {
			return
		}
		time, packed := p.Packed[uint64(seq)]
		if final.Valid {
			time = outcomes.Time(ended)
		}
		if p.Replay.Requeues(p.Cursor, uint64(seq), final.Valid || packed, time) {
			chosen = append(chosen, uint64(seq))
		}
	}, &seq, &final, &ended)
	if err != nil {
		return 0, err
	}
	slices.Sort(chosen)
	for _, seq := range chosen {
		d := event.Delivery{Handler: p.Handler, Seq: seq, Status: event.StatusPending, At: at}
		if _, err := c.Exec(w.set, outcomes.Values(&d)...); err != nil {
			return 0, err
		}
	}
	return len(chosen), nil
}
