// Package backlog reads the progress of a handler from a store's data file.
package backlog

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// AnyDelivery selects whether a handler has a delivery, in whichever form.
const AnyDelivery = `SELECT EXISTS (SELECT 1 FROM deliveries WHERE handler = ?1) OR EXISTS (SELECT 1 FROM outcome_blocks WHERE handler = ?1)`

// Config sets up a Reader. All fields are required.
type Config struct {
	DB     *sql.DB // read-only connections
	Packed *outcomes.Reader
	Logger *slog.Logger
}

// Reader reads backlogs. It is safe for concurrent use.
type Reader struct {
	cfg                       Config
	cursor, any, replay, open *sql.Stmt
}

// New returns a Reader.
func New(ctx context.Context, cfg Config) (*Reader, error) {
	r := &Reader{cfg: cfg}
	return r, datafile.Prepare(ctx, cfg.DB, datafile.Statements{
		&r.cursor: `SELECT seq FROM cursors WHERE name = ?`,
		&r.any:    AnyDelivery,
		&r.replay: `SELECT from_seq, to_seq, resume, started_at FROM replays WHERE handler = ?`,
		&r.open: `SELECT ` + outcomes.Columns + ` FROM deliveries INDEXED BY deliveries_open WHERE handler = ? AND status NOT IN ('ok', 'dead')
			AND status IN ('retrying', 'delivering') ORDER BY seq`,
	})
}

// ScanReplay reads a replay from its row; nil for none.
func ScanReplay(found *sql.Row) (*event.Replay, error) {
	var from, to, resume, at int64
	err := found.Scan(&from, &to, &resume, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &event.Replay{From: uint64(from), To: uint64(to), Resume: uint64(resume), StartedAt: time.Unix(0, at).UTC()}, nil
}

// Load returns the progress of a handler, as of one moment.
func (r *Reader) Load(ctx context.Context, handler string) (b event.Backlog, err error) {
	tx, err := r.cfg.DB.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return b, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	var cursor int64
	switch err = tx.Stmt(r.cursor).QueryRowContext(ctx, event.HandlerCursors(handler).Position).Scan(&cursor); {
	case err == nil:
		b.Found, b.Cursor = true, uint64(cursor)
	case errors.Is(err, sql.ErrNoRows):
		if err = tx.Stmt(r.any).QueryRowContext(ctx, handler).Scan(&b.Found); err != nil || !b.Found {
			return b, err
		}
	default:
		return b, err
	}
	if b.Replay, err = ScanReplay(tx.Stmt(r.replay).QueryRowContext(ctx, handler)); err != nil {
		return event.Backlog{}, err
	}
	skipTo := b.Cursor // deliveries from Cursor to here do not count
	if b.Replay != nil && b.Cursor < b.Replay.To {
		skipTo = max(b.Replay.To, b.Replay.Resume)
	} else {
		b.Replay = nil
	}
	found, err := tx.Stmt(r.open).QueryContext(ctx, handler)
	if b.Open, err = outcomes.ScanDeliveries(found, err); err != nil {
		return event.Backlog{}, err
	}
	if b.Replay != nil {
		if err := r.addDone(ctx, tx, handler, b.Cursor, b.Replay.To, &b); err != nil {
			return event.Backlog{}, err
		}
	}
	if err := r.addDone(ctx, tx, handler, skipTo, math.MaxInt64, &b); err != nil {
		return event.Backlog{}, err
	}
	return b, nil
}

// addDone adds the final deliveries above after, up to until, that count. An event whose
// outcome cannot be read is delivered again.
func (r *Reader) addDone(ctx context.Context, tx *sql.Tx, handler string, after, until uint64, b *event.Backlog) error {
	bad, err := r.cfg.Packed.Finals(ctx, tx, handler, after, until, func(seq uint64, at int64) {
		if b.Replay.Done(seq, outcomes.Time(at)) {
			b.Done = append(b.Done, seq)
		}
	})
	for _, u := range bad {
		r.cfg.Logger.Error("outcomes not readable; the events are delivered again", "plugin", handler, "from_seq", max(u.First, after+1),
			"to_seq", min(u.Last, until), "error", u.Err)
	}
	return err
}
