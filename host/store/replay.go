package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/backlog"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// StartReplay sets a handler back, so that it gets the events from one Seq to another
// (both included, from at least 1) again, and stores where it resumes then, in one
// transaction; see event.BeginReplay. fault.NotFound for a handler that has no
// position in the log.
func (s *Store) StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error {
	const doing = "start a replay"
	if from < 1 || from > to {
		return fault.New(fault.Invalid, "%s: from %d to %d is not a range of Seqs", doing, from, to)
	}
	newest, err := s.newestFinal(ctx, handler, from, to) // outside the group, which it would delay: there can be millions
	if err != nil {
		return s.coded(doing, err)
	}
	if t := outcomes.Time(newest); t.After(at) {
		at = t
	}
	o := &op{events: 2}
	o.run = func(g *group) error {
		var cursor int64
		err := g.queryRow(s.replay.getCursor, handlerCursor(handler)).Scan(&cursor)
		if errors.Is(err, sql.ErrNoRows) {
			var known bool
			if err = g.queryRow(s.replay.anyDelivery, handler).Scan(&known); err == nil && !known {
				o.err = fault.New(fault.NotFound, "the handler %s has no position in the log", handler)
				return nil
			}
		}
		if err != nil {
			return err
		}
		last, err := backlog.ScanReplay(g.queryRow(s.replay.getReplay, handler))
		if err != nil {
			return err
		}
		r, back := event.BeginReplay(uint64(cursor), last, from, to, at)
		if _, err := g.exec(s.replay.setReplay, handler, datafile.Seq(r.From), datafile.Seq(r.To), datafile.Seq(r.Resume),
			r.StartedAt.UnixNano()); err != nil {
			return err
		}
		_, err = g.exec(s.write.setCursor, handlerCursor(handler), datafile.Seq(back))
		return err
	}
	return s.submit(ctx, doing, o)
}

// progress returns a handler's cursor, 0 for none, and its replay under way or nil.
func (g *group) progress(handler string) (cursor uint64, r *event.Replay, err error) {
	var at int64
	if err := g.queryRow(g.s.replay.getCursor, handlerCursor(handler)).Scan(&at); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, nil, err
	}
	r, err = backlog.ScanReplay(g.queryRow(g.s.replay.getReplay, handler))
	if r != nil && uint64(at) >= r.To {
		r = nil
	}
	return uint64(at), r, err
}
