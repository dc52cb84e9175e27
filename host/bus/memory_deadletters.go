package bus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// dead lists the dead letters that f selects after a place. The caller holds mu.
func (m *Memory) dead(f event.DeadFilter, after event.DeadPosition) (list []event.DeadLetter) {
	for name, rows := range m.rows {
		if f.Handler != "" && f.Handler != name {
			continue
		}
		for seq, row := range rows.others {
			if row.Status != event.StatusDead || row.purged {
				continue
			}
			i, there := m.find(seq)
			if !there {
				continue
			}
			l := row.DeadLetter(m.records[i].Event)
			if (after == event.DeadPosition{} || after.Before(l.Position())) && f.Selects(l) {
				list = append(list, l)
			}
		}
	}
	slices.SortFunc(list, func(a, b event.DeadLetter) int {
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), cmp.Compare(b.Handler, a.Handler))
	})
	return list
}

// DeadLetters returns the dead letters that a filter selects, with their events,
// newest event first, at most limit (1 to 1000). next is the cursor for more, or
// "". A bad cursor is fault.Invalid.
func (m *Memory) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error) {
	if limit < 1 || limit > 1000 {
		return nil, "", fault.Field("limit", "is %d, but must be 1 to 1000", limit)
	}
	position, err := event.ParseDeadPosition(cursor)
	if err != nil {
		return nil, "", err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read dead letters"); err != nil {
		return nil, "", err
	}
	if list = m.dead(f, position); len(list) > limit {
		list = list[:limit:limit]
		next = list[limit-1].Position().String()
	}
	return list, next, nil
}

// Redrive makes the dead letters that a filter selects pending again, with no
// attempt made, and answers how many those were.
func (m *Memory) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	return m.changeDead(ctx, "redrive dead letters", f, func(row *memoryRow) {
		row.Delivery = event.Delivery{Handler: row.Handler, Seq: row.Seq, Status: event.StatusPending, At: m.now().UTC()}
	})
}

// Purge gives up the dead letters that a filter selects, and answers how many
// those were: their deliveries stay dead, but cannot be redriven, and no longer
// keep their events in the log.
func (m *Memory) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	return m.changeDead(ctx, "purge dead letters", f, func(row *memoryRow) { row.purged = true })
}

func (m *Memory) changeDead(ctx context.Context, doing string, f event.DeadFilter, change func(*memoryRow)) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return 0, err
	}
	list := m.dead(f, event.DeadPosition{})
	for _, l := range list {
		row := m.rows[l.Handler].full[l.Seq]
		change(&row)
		m.rows[l.Handler].full[l.Seq] = row
	}
	return len(list), nil
}

// DeadCounts returns how many dead letters each handler has that has any.
func (m *Memory) DeadCounts(ctx context.Context) (map[string]uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "count dead letters"); err != nil {
		return nil, err
	}
	counts := make(map[string]uint64)
	for handler, rows := range m.rows {
		for _, row := range rows.others {
			if row.Status == event.StatusDead && !row.purged {
				counts[handler]++
			}
		}
	}
	return counts, nil
}

// CountRedriven counts a handler's pending deliveries from one Seq to another, both
// included.
func (m *Memory) CountRedriven(ctx context.Context, handler string, from, to uint64) (n int, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "count redriven deliveries"); err != nil {
		return 0, err
	}
	for seq, row := range m.rows[handler].others {
		if row.Status == event.StatusPending && seq >= from && seq <= to {
			n++
		}
	}
	return n, nil
}

// Redriven returns a handler's pending deliveries above a Seq, ascending, at
// most limit.
func (m *Memory) Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read redriven deliveries"); err != nil {
		return nil, err
	}
	var list []event.Delivery
	for seq, row := range m.rows[handler].others {
		if row.Status == event.StatusPending && seq > after {
			list = append(list, row.Delivery)
		}
	}
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Seq, b.Seq) })
	return list[:min(limit, len(list))], nil
}

// StartReplay sets a handler back, so that it gets the events from one Seq to
// another (both included, from at least 1) again, and notes where it goes on
// then; see event.BeginReplay. It starts at no earlier time than the outcomes of
// these events bear, for the clock may have been set back. fault.NotFound for a
// handler that has no place in the log.
func (m *Memory) StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error {
	const doing = "start a replay"
	if from < 1 || from > to {
		return fault.New(fault.Invalid, "%s: from %d to %d is not a range of Seqs", doing, from, to)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	cursor, found := m.cursors["handler/"+handler]
	if !found && m.rows[handler].len() == 0 {
		return fault.New(fault.NotFound, "%s: the handler %s has no position in the log", doing, handler)
	}
	rows := m.rows[handler]
	for seq := range rows.seqs {
		if seq < from || seq > to {
			continue
		}
		if row, _ := rows.get(seq); row.Status.Final() && row.At.After(at) {
			at = row.At
		}
	}
	r, back := event.BeginReplay(cursor, m.replays[handler], from, to, at)
	m.replays[handler], m.cursors["handler/"+handler] = &r, back
	return nil
}
