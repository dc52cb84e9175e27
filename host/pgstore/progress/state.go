package progress

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/outcomes"
)

// Schema makes the tables of this package and of package outcomes.
const Schema = outcomes.Schema + `
CREATE TABLE cursors (
	name text COLLATE "C" PRIMARY KEY,
	seq bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE replays (
	handler text COLLATE "C" PRIMARY KEY,
	from_seq bigint NOT NULL,
	to_seq bigint NOT NULL,
	resume bigint NOT NULL,
	started_at bigint NOT NULL
);
`

// Config sets up a State. DB, Event and LogLimit are required.
type Config struct {
	DB *conn.DB
	// Event returns the event with an id or key; fault.NotFound for none.
	Event func(ctx context.Context, id string) (event.Record, error)
	// LogLimit returns the bound of the log's bytes, 0 for none.
	LogLimit func() int64
	// Published is called after children of deliveries were committed.
	Published func(children []event.Receipt)
	Quota     int64            // of each plugin's key-value state, in bytes; 0 is 64 MiB
	Now       func() time.Time // nil is time.Now
	Logger    *slog.Logger     // nil discards
}

// State keeps the progress of handlers.
type State struct{ cfg Config }

// New returns a State. It has nothing to be closed.
func New(cfg Config) *State {
	if cfg.Published == nil {
		cfg.Published = func([]event.Receipt) {}
	}
	if cfg.Quota == 0 {
		cfg.Quota = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &State{cfg: cfg}
}

// read runs fn in a transaction that only reads.
func (s *State) read(ctx context.Context, doing string, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return s.cfg.DB.Read(ctx, doing, fn)
}

// Cursor implements bus.State.
func (s *State) Cursor(ctx context.Context, name string) (seq uint64, found bool, err error) {
	err = s.read(ctx, "read a cursor", func(ctx context.Context, tx pgx.Tx) error {
		seq, found, err = cursor(ctx, tx, name)
		return err
	})
	return seq, found, err
}

// cursor returns a cursor, and whether there is one.
func cursor(ctx context.Context, tx pgx.Tx, name string) (uint64, bool, error) {
	var seq int64
	err := tx.QueryRow(ctx, `SELECT seq FROM cursors WHERE name = $1`, name).Scan(&seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return uint64(seq), err == nil, err
}

// Cursors implements bus.State.
func (s *State) Cursors(ctx context.Context) (list []event.Cursor, err error) {
	err = s.read(ctx, "list the cursors", func(ctx context.Context, tx pgx.Tx) error {
		list = nil
		rows, err := tx.Query(ctx, `SELECT name, seq FROM cursors ORDER BY name`)
		if err != nil {
			return err
		}
		var c event.Cursor
		var seq int64
		_, err = pgx.ForEachRow(rows, []any{&c.Name, &seq}, func() error {
			list = append(list, event.Cursor{Name: c.Name, Seq: uint64(seq)})
			return nil
		})
		return err
	})
	return list, err
}

// SetCursor implements bus.State.
func (s *State) SetCursor(ctx context.Context, c event.Cursor) error {
	return s.cfg.DB.Write(ctx, "set a cursor", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := outcomes.Lock(ctx, tx, c.Handler()); err != nil {
			return err
		}
		return outcomes.SetCursors(ctx, tx, c)
	})
}

// Deliveries implements bus.State.
func (s *State) Deliveries(ctx context.Context, seq uint64) (list []event.Delivery, err error) {
	err = s.read(ctx, "read deliveries", func(ctx context.Context, tx pgx.Tx) error {
		list, err = outcomes.Of(ctx, tx, seq)
		return err
	})
	return list, err
}

// Attempts implements bus.State.
func (s *State) Attempts(ctx context.Context, seq uint64) (list []event.PastAttempt, err error) {
	err = s.read(ctx, "read attempts", func(ctx context.Context, tx pgx.Tx) error {
		list, err = outcomes.AttemptsOf(ctx, tx, seq)
		return err
	})
	return list, err
}
