package progress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/outcomes"
	"github.com/berth-host/berth/host/spec"
)

const (
	// deadBatch is the maximum number of deliveries that one transaction redrives, purges or
	// requeues, so that the owner of the handler does not wait for many.
	deadBatch = 512
	// filterStep is the number of dead letters that one statement compares with a filter: the server
	// bounds the time of a statement, and a filter can select few of very many.
	filterStep = 2048
	// maxPageBytes ends a page of dead letters, which contains their events.
	maxPageBytes = 16 << 20
)

// selection is the dead letters d, with their events e, that a filter selects.
type selection struct {
	units  []string   // of the plugin; nil for those of keys
	keys   conditions // which an index finds
	events conditions
	others conditions // those of d that are no keys
}

// conditions are terms of a statement in which question marks are their values.
type conditions struct {
	sql  string
	args []any
}

func (c conditions) and(term string, values ...any) conditions {
	return conditions{c.sql + " AND " + term, slices.Concat(c.args, values)}
}

// numbered replaces the question marks in a statement by $1, $2 and so on.
func numbered(sql string) string {
	for n := 1; strings.Contains(sql, "?"); n++ {
		sql = strings.Replace(sql, "?", "$"+strconv.Itoa(n), 1)
	}
	return sql
}

// selected returns what a filter selects. any is false when that is nothing, because there is
// no event with its EventID.
func (s *State) selected(ctx context.Context, f event.DeadFilter) (q selection, any bool, err error) {
	if f.EventID != "" {
		rec, err := s.cfg.Event(ctx, f.EventID)
		if fault.Is(err, fault.NotFound) {
			return q, false, nil
		}
		if err != nil {
			return q, false, err
		}
		q.keys = q.keys.and("seq = ?", signed(rec.Seq))
	}
	if _, shard := spec.ShardOf(f.Handler); shard || f.OneUnit {
		q.keys = q.keys.and("handler = ?", f.Handler)
	} else if f.Handler != "" {
		q.units = spec.EveryUnit(f.Handler)
	}
	if f.Type != "" {
		q.events = q.events.and("type = ?", f.Type)
	}
	if f.Subject != "" {
		q.events = q.events.and("subject = ?", []byte(f.Subject))
	}
	if f.Class != "" {
		q.others = q.others.and("d.error_class = ?", string(f.Class))
	}
	if !f.Since.IsZero() {
		q.others = q.others.and("d.at >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		q.others = q.others.and("d.at < ?", f.Until.UnixNano())
	}
	return q, true, nil
}

// found is a dead letter of a list.
type found struct {
	event.DeadPosition
	size int64 // of its event
}

const (
	isDead = `SELECT seq, handler, error_class, at FROM deliveries WHERE status <> 'ok' AND status = 'dead' AND NOT purged`
	inList = ` ORDER BY seq DESC, handler DESC LIMIT ?`
)

// dead is the statement for the dead letters with the keys of q in the list's order after a position,
// at most limit. Those of several units are read for each by itself, as an index has them.
func (q selection) dead(after event.DeadPosition, limit int) conditions {
	keys := q.keys
	if after != (event.DeadPosition{}) {
		keys = keys.and("seq <= ? AND (seq, handler) < (?, ?)", signed(after.Seq), signed(after.Seq), after.Handler)
	}
	if q.units == nil {
		return conditions{isDead + keys.sql + inList, slices.Concat(keys.args, []any{limit})}
	}
	return conditions{`SELECT one.* FROM unnest(?::text[]) AS unit CROSS JOIN LATERAL (` + isDead + ` AND handler = unit` + keys.sql +
		` ORDER BY seq DESC LIMIT ?) AS one` + inList, slices.Concat([]any{q.units}, keys.args, []any{limit, limit})}
}

// step returns those that q selects of the next dead letters in the list's order after a position, at
// most limit, and the position after which the next step begins; more is false when there is none.
func (q selection) step(ctx context.Context, tx pgx.Tx, after event.DeadPosition, limit int) (list []found, next event.DeadPosition, more bool, err error) {
	among := limit
	if q.events.sql+q.others.sql != "" {
		among = filterStep
	}
	dead := q.dead(after, among)
	// The event of each is looked up by itself: a join would also be possible the other way round, from
	// all events of a type, and the statistics of a table that has just grown advise that.
	rows, err := tx.Query(ctx, numbered(`SELECT d.seq, d.handler, e.size FROM (`+dead.sql+`) AS d
		CROSS JOIN LATERAL (SELECT octet_length(envelope) AS size FROM events WHERE seq = d.seq`+q.events.sql+` LIMIT 1) AS e
		WHERE true`+q.others.sql+` ORDER BY d.seq DESC, d.handler DESC LIMIT ?`),
		slices.Concat(dead.args, q.events.args, q.others.args, []any{limit})...)
	if err != nil {
		return nil, next, false, err
	}
	var at found
	if _, err = pgx.ForEachRow(rows, []any{&at.Seq, &at.Handler, &at.size}, func() error {
		list = append(list, at)
		return nil
	}); err != nil {
		return nil, next, false, err
	}
	if len(list) == limit {
		return list, list[limit-1].DeadPosition, true, nil
	}
	err = tx.QueryRow(ctx, numbered(`SELECT seq, handler FROM (`+dead.sql+`) AS d ORDER BY seq DESC, handler DESC OFFSET ? LIMIT 1`),
		slices.Concat(dead.args, []any{among - 1})...).Scan(&next.Seq, &next.Handler)
	if errors.Is(err, pgx.ErrNoRows) {
		return list, next, false, nil
	}
	return list, next, true, err
}

// DeadLetters implements bus.State. A page has fewer than limit when the events are large.
func (s *State) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string,
	limit int) (list []event.DeadLetter, next string, err error) {
	if limit < 1 || limit > 1000 {
		return nil, "", fault.Field("limit", "is %d, but must be 1 to 1000", limit)
	}
	after, err := event.ParseDeadPosition(cursor)
	if err != nil {
		return nil, "", err
	}
	q, any, err := s.selected(ctx, f)
	if err != nil || !any {
		return nil, "", err
	}
	size := int64(0)
	for more := true; more; {
		var page []found
		var entries []event.DeadLetter
		var until event.DeadPosition
		fit, total := 0, size
		if err := s.read(ctx, "read dead letters", func(ctx context.Context, tx pgx.Tx) (err error) {
			if page, until, more, err = q.step(ctx, tx, after, limit+1-len(list)); err != nil {
				return err
			}
			for fit, total = 0, size; fit < len(page) && len(list)+fit < limit && total <= maxPageBytes; fit++ {
				total += page[fit].size
			}
			entries, err = outcomes.DeadLetters(ctx, tx, positions(page[:fit]))
			return err
		}); err != nil {
			return nil, "", err
		}
		list, size = append(list, entries...), total
		if fit < len(page) {
			last := &list[len(list)-1]
			return list, event.DeadPosition{Seq: last.Seq, Handler: last.Handler}.String(), nil
		}
		after = until
	}
	return list, "", nil
}

func positions(page []found) []event.DeadPosition {
	list := make([]event.DeadPosition, len(page))
	for i := range page {
		list[i] = page[i].DeadPosition
	}
	return list
}

// DeadCounts implements bus.State.
func (s *State) DeadCounts(ctx context.Context) (counts map[string]uint64, err error) {
	err = s.read(ctx, "count dead letters", func(ctx context.Context, tx pgx.Tx) error {
		counts = make(map[string]uint64)
		rows, err := tx.Query(ctx, `SELECT handler, count(*) FROM deliveries WHERE status = 'dead' AND NOT purged GROUP BY handler`)
		if err != nil {
			return err
		}
		var handler string
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&handler, &n}, func() error {
			counts[handler] = uint64(n)
			return nil
		})
		return err
	})
	return counts, err
}

// Redrive implements bus.State. It commits in steps: on an error, the dead letters that were
// redriven so far remain so. A delivery that dies again meanwhile is not redriven twice.
func (s *State) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	return s.changeDead(ctx, "redrive dead letters", f, func(ctx context.Context, tx pgx.Tx, at []event.DeadPosition, _ uint64) (int, error) {
		return outcomes.Redrive(ctx, tx, at, s.cfg.Now())
	})
}

// Purge implements bus.State. On an error, the dead letters that were purged so far remain so.
func (s *State) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	return s.changeDead(ctx, "purge dead letters", f, outcomes.Purge)
}

// changeDead changes dead letters in transactions of their own, each dead letter once. An error says
// how many were changed before.
func (s *State) changeDead(ctx context.Context, doing string, f event.DeadFilter,
	change func(ctx context.Context, tx pgx.Tx, at []event.DeadPosition, trimmed uint64) (int, error)) (total int, err error) {
	q, any, err := s.selected(ctx, f)
	if err != nil || !any {
		return 0, err
	}
	partly := func(err error) (int, error) {
		if total > 0 {
			err = fmt.Errorf("%w (%d of them were changed before, and remain so; repeat the call for the others)", err, total)
		}
		return total, err
	}
	var after event.DeadPosition
	for more := true; more; {
		var page []found
		var until event.DeadPosition
		n := 0
		if err := s.read(ctx, doing, func(ctx context.Context, tx pgx.Tx) (err error) {
			page, until, more, err = q.step(ctx, tx, after, deadBatch)
			return err
		}); err != nil {
			return partly(err)
		}
		if after = until; len(page) == 0 {
			continue
		}
		var handlers []string
		for i := range page {
			handlers = append(handlers, page[i].Handler)
		}
		slices.Sort(handlers)
		handlers = slices.Compact(handlers)
		if err := s.cfg.DB.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
			trimmed, err := outcomes.Lock(ctx, tx, handlers...)
			if err == nil {
				n, err = change(ctx, tx, positions(page), trimmed)
			}
			return err
		}); err != nil {
			return partly(err)
		}
		total += n
	}
	return total, nil
}

// Requeue implements bus.State. It commits in steps: on an error, the deliveries that are
// pending so far remain so.
func (s *State) Requeue(ctx context.Context, handler string, seqs []uint64) (total int, err error) {
	seqs = slices.Compact(slices.Sorted(slices.Values(seqs)))
	for batch := range slices.Chunk(seqs, deadBatch) {
		n := 0
		if err := s.cfg.DB.Write(ctx, "requeue deliveries", func(ctx context.Context, tx pgx.Tx) error {
			n, err = s.requeue(ctx, tx, handler, batch)
			return err
		}); err != nil {
			return total, err
		}
		total += n
	}
	if len(seqs) == 0 {
		return 0, s.cfg.DB.Closed()
	}
	return total, nil
}

// requeue makes those of the deliveries pending that the handler has had.
func (s *State) requeue(ctx context.Context, tx pgx.Tx, handler string, seqs []uint64) (int, error) {
	if _, err := outcomes.Lock(ctx, tx, handler); err != nil {
		return 0, err
	}
	at, _, err := cursor(ctx, tx, event.HandlerCursors(handler).Position)
	if err != nil {
		return 0, err
	}
	replay, err := underWay(ctx, tx, handler, at)
	if err != nil {
		return 0, err
	}
	above, _ := slices.BinarySearch(seqs, at+1)
	packed, err := outcomes.PackedTimes(ctx, tx, handler, seqs[above:])
	if err != nil {
		return 0, err
	}
	had, err := outcomes.HadOf(ctx, tx, handler, seqs)
	if err != nil {
		return 0, err
	}
	now := s.cfg.Now().UTC()
	var pending []event.Delivery
	for _, h := range had {
		if h.Found && !h.Final {
			continue
		}
		final, ended := h.Found, h.At
		if !final {
			ended, final = packed[h.Seq]
		}
		if replay.Requeues(at, h.Seq, final, ended) {
			pending = append(pending, event.Delivery{Handler: handler, Seq: h.Seq, Status: event.StatusPending, At: now})
		}
	}
	return len(pending), outcomes.Store(ctx, tx, pending)
}

// Redriven implements bus.State.
func (s *State) Redriven(ctx context.Context, handler string, after uint64, limit int) (list []event.Delivery, err error) {
	err = s.read(ctx, "read redriven deliveries", func(ctx context.Context, tx pgx.Tx) error {
		list, err = outcomes.Pending(ctx, tx, handler, after, limit)
		return err
	})
	return list, err
}

// CountRedriven implements bus.State.
func (s *State) CountRedriven(ctx context.Context, handler string, from, to uint64) (n int, err error) {
	err = s.read(ctx, "count redriven deliveries", func(ctx context.Context, tx pgx.Tx) error {
		n, err = outcomes.CountPending(ctx, tx, handler, from, to)
		return err
	})
	return n, err
}
