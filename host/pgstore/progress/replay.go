package progress

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/outcomes"
	"github.com/berth-host/berth/host/spec"
)

// LoadBacklog implements bus.State. It logs outcomes that cannot be read: their events are
// delivered again.
func (s *State) LoadBacklog(ctx context.Context, handler string) (b event.Backlog, err error) {
	err = s.read(ctx, "read a handler's backlog", func(ctx context.Context, tx pgx.Tx) error {
		b, err = s.backlog(ctx, tx, handler)
		return err
	})
	if err != nil {
		return event.Backlog{}, err
	}
	return b, nil
}

func (s *State) backlog(ctx context.Context, tx pgx.Tx, handler string) (b event.Backlog, err error) {
	if b.Cursor, b.Found, err = cursor(ctx, tx, event.HandlerCursors(handler).Position); err != nil {
		return b, err
	}
	if !b.Found {
		if b.Found, err = outcomes.Any(ctx, tx, handler); err != nil || !b.Found {
			return b, err
		}
	}
	if b.Replay, err = underWay(ctx, tx, handler, b.Cursor); err != nil {
		return b, err
	}
	if b.Open, err = outcomes.Open(ctx, tx, handler); err != nil {
		return b, err
	}
	addDone := func(after, until uint64) error {
		bad, err := outcomes.Finals(ctx, tx, handler, after, until, func(seq uint64, at time.Time) {
			if b.Replay.Done(seq, at) {
				b.Done = append(b.Done, seq)
			}
		})
		for _, u := range bad {
			s.cfg.Logger.Error("outcomes not readable; the events are delivered again", spec.LogUnit(handler), "from_seq", max(u.First, after+1),
				"to_seq", min(u.Last, until), "error", u.Err)
		}
		return err
	}
	after := b.Cursor // deliveries from the cursor to here do not count
	if r := b.Replay; r != nil {
		if err := addDone(b.Cursor, r.To); err != nil {
			return b, err
		}
		after = max(r.To, r.Resume)
	}
	return b, addDone(after, math.MaxInt64)
}

// lastReplay returns a handler's last replay, or nil.
func lastReplay(ctx context.Context, tx pgx.Tx, handler string) (*event.Replay, error) {
	var from, to, resume, at int64
	err := tx.QueryRow(ctx, `SELECT from_seq, to_seq, resume, started_at FROM replays WHERE handler = $1`, handler).Scan(&from, &to, &resume, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &event.Replay{From: uint64(from), To: uint64(to), Resume: uint64(resume), StartedAt: time.Unix(0, at).UTC()}, nil
}

// underWay returns the replay of a handler that is under way with this cursor, or nil.
func underWay(ctx context.Context, tx pgx.Tx, handler string, cursor uint64) (*event.Replay, error) {
	r, err := lastReplay(ctx, tx, handler)
	if r != nil && cursor >= r.To {
		r = nil
	}
	return r, err
}

// StartReplay implements bus.State.
func (s *State) StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error {
	const doing = "start a replay"
	if from < 1 || from > to {
		return fault.New(fault.Invalid, "%s: from %d to %d is not a range of Seqs", doing, from, to)
	}
	return s.cfg.DB.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := outcomes.Lock(ctx, tx, handler); err != nil {
			return err
		}
		position := event.HandlerCursors(handler).Position
		cursor, known, err := cursor(ctx, tx, position)
		if err == nil && !known {
			known, err = legacy(ctx, tx, handler)
		}
		if err != nil {
			return err
		}
		if !known {
			return fault.New(fault.NotFound, "the handler %s has no position in the log", handler)
		}
		newest, err := outcomes.Newest(ctx, tx, handler, from, to, at)
		if err != nil {
			return err
		}
		last, err := lastReplay(ctx, tx, handler)
		if err != nil {
			return err
		}
		r, back := event.BeginReplay(cursor, last, from, to, newest)
		if _, err := tx.Exec(ctx, `INSERT INTO replays (handler, from_seq, to_seq, resume, started_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (handler) DO UPDATE SET from_seq = $2, to_seq = $3, resume = $4, started_at = $5`,
			handler, signed(r.From), signed(r.To), signed(r.Resume), r.StartedAt.UnixNano()); err != nil {
			return err
		}
		return outcomes.SetCursors(ctx, tx, event.Cursor{Name: position, Seq: back})
	})
}

// legacy reports whether a handler without a position has outcomes, and no other unit of its plugin
// has a position: one that has is of the shards that came after the handler.
func legacy(ctx context.Context, tx pgx.Tx, handler string) (bool, error) {
	var names []string
	for _, unit := range spec.EveryUnit(spec.PluginOf(handler)) {
		names = append(names, event.HandlerCursors(unit).Position)
	}
	var replaced bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM cursors WHERE name = ANY ($1::text[]))`, names).Scan(&replaced)
	if err != nil || replaced {
		return false, err
	}
	return outcomes.Any(ctx, tx, handler)
}

// ForgetHandler implements bus.State. It commits in steps when there are many outcomes: on an
// error, those of a part of the events that the handler has passed can be removed, and nothing else.
func (s *State) ForgetHandler(ctx context.Context, handler string) error {
	names := event.HandlerCursors(handler)
	for more := true; more; {
		if err := s.cfg.DB.Write(ctx, "forget a handler", func(ctx context.Context, tx pgx.Tx) error {
			trimmed, err := outcomes.Lock(ctx, tx, handler)
			if err != nil {
				return err
			}
			passed, _, err := cursor(ctx, tx, names.Position)
			if err != nil {
				return err
			}
			if more, err = outcomes.Forget(ctx, tx, handler, trimmed, passed); more || err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM cursors WHERE name = ANY ($1::text[])`,
				[]string{names.Position, names.SampledFrom, names.SampledTo}); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `DELETE FROM replays WHERE handler = $1`, handler)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// signed is a Seq as the database stores it.
func signed(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }
