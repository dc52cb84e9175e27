package progress

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/outcomes"
)

const (
	// deadBatch is the maximum number of deliveries that one transaction redrives, purges or
	// requeues, so that the owner of the handler does not wait for many.
	deadBatch = 512
	// maxPageBytes ends a page of dead letters, which contains their events.
	maxPageBytes = 16 << 20
)

// selection is the dead letters d, with their events e, that a filter selects.
type selection struct {
	where string
	args  []any
}

// add adds a condition, in which a question mark is the value.
func (q *selection) add(condition string, value any) {
	q.args = append(q.args, value)
	q.where += " AND " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(q.args)))
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
		q.add("d.seq = ?", signed(rec.Seq))
	}
	if f.Handler != "" {
		q.add("d.handler = ?", f.Handler)
	}
	if f.Type != "" {
		q.add("e.type = ?", f.Type)
	}
	if f.Subject != "" {
		q.add("e.subject = ?", []byte(f.Subject))
	}
	if f.Class != "" {
		q.add("d.error_class = ?", string(f.Class))
	}
	if !f.Since.IsZero() {
		q.add("d.at >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		q.add("d.at < ?", f.Until.UnixNano())
	}
	return q, true, nil
}

// found is a dead letter of a list.
type found struct {
	event.DeadPosition
	size int64 // of its event
}

// list returns dead letters in the list's order after a position, at most limit.
func (q selection) list(ctx context.Context, tx pgx.Tx, after event.DeadPosition, limit int) (list []found, err error) {
	q.args = slices.Clone(q.args)
	if after != (event.DeadPosition{}) {
		q.args = append(q.args, signed(after.Seq), after.Handler)
		q.where += fmt.Sprintf(" AND (d.seq, d.handler) < ($%d, $%d)", len(q.args)-1, len(q.args))
	}
	q.args = append(q.args, limit)
	rows, err := tx.Query(ctx, `SELECT d.seq, d.handler, octet_length(e.envelope) FROM deliveries AS d JOIN events AS e ON e.seq = d.seq
		WHERE d.status <> 'ok' AND d.status = 'dead' AND NOT d.purged`+q.where+` ORDER BY d.seq DESC, d.handler DESC LIMIT $`+strconv.Itoa(len(q.args)),
		q.args...)
	if err != nil {
		return nil, err
	}
	var at found
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&seq, &at.Handler, &at.size}, func() error {
		at.Seq = uint64(seq)
		list = append(list, at)
		return nil
	})
	return list, err
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
	err = s.read(ctx, "read dead letters", func(ctx context.Context, tx pgx.Tx) error {
		list, next = nil, ""
		page, err := q.list(ctx, tx, after, limit+1)
		if err != nil {
			return err
		}
		bytes := int64(0)
		for i, at := range page {
			if i == limit || bytes > maxPageBytes {
				page = page[:i]
				next = page[i-1].String()
				break
			}
			bytes += at.size
		}
		positions := make([]event.DeadPosition, len(page))
		for i := range page {
			positions[i] = page[i].DeadPosition
		}
		list, err = outcomes.DeadLetters(ctx, tx, positions)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return list, next, nil
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

// changeDead changes dead letters in transactions of their own, each dead letter once.
func (s *State) changeDead(ctx context.Context, doing string, f event.DeadFilter,
	change func(ctx context.Context, tx pgx.Tx, at []event.DeadPosition, trimmed uint64) (int, error)) (total int, err error) {
	q, any, err := s.selected(ctx, f)
	if err != nil || !any {
		return 0, err
	}
	var after event.DeadPosition
	for {
		var page []found
		n := 0
		if err := s.read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
			page, err = q.list(ctx, tx, after, deadBatch)
			return err
		}); err != nil {
			return total, err
		}
		if len(page) == 0 {
			return total, nil
		}
		positions := make([]event.DeadPosition, len(page))
		var handlers []string
		for i := range page {
			positions[i] = page[i].DeadPosition
			handlers = append(handlers, page[i].Handler)
		}
		slices.Sort(handlers)
		handlers = slices.Compact(handlers)
		if err := s.cfg.DB.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
			trimmed, err := outcomes.Lock(ctx, tx, handlers...)
			if err == nil {
				n, err = change(ctx, tx, positions, trimmed)
			}
			return err
		}); err != nil {
			return total, err
		}
		total += n
		after = positions[len(positions)-1]
	}
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
