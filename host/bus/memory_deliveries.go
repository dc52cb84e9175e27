package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/berth-host/berth/host/event"
)

// SaveDeliveries stores deliveries, each in the place of the one with the same
// handler and Seq, appends their children to the log, and moves cursors, all at
// once. A child that the log has already is left out. When one is in conflict,
// none of its delivery's are appended, the delivery is stored as Delivery.Refuse
// makes it, and answered as refused. A delivery of an event that was trimmed is
// not stored: nothing could be done with it.
func (m *Memory) SaveDeliveries(ctx context.Context, rows []event.Delivery, cursors []event.Cursor) (refused []event.Delivery, err error) {
	last := m.last.Load()
	refused, err = m.saveDeliveries(ctx, rows, cursors)
	if m.last.Load() > last {
		m.waiting.wakeAll()
	}
	return refused, err
}

func (m *Memory) saveDeliveries(ctx context.Context, rows []event.Delivery, cursors []event.Cursor) (refused []event.Delivery, err error) {
	const doing = "save deliveries"
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return nil, err
	}
	var of *memoryRows // of the handler of the row before
	for i := range rows {
		d := &rows[i]
		if len(d.Children) > 0 {
			own := *d // rows is the caller's
			d = &own
		}
		if conflict := m.conflict(d.Children); conflict != nil {
			*d = d.Refuse(conflict)
			refused = append(refused, *d)
		}
		if len(d.Children) > 0 {
			m.add(d.Children)
			d.Children = nil
		}
		if _, there := m.find(d.Seq); !there && d.Seq <= m.trimmed {
			continue
		}
		if of == nil || of.handler != d.Handler {
			if of = m.rows[d.Handler]; of == nil {
				of = newMemoryRows(d.Handler)
				m.rows[d.Handler] = of
			}
		}
		of.put(d)
	}
	for _, c := range cursors {
		m.cursors[c.Name] = c.Seq
	}
	return refused, nil
}

// conflict says which of the events could not be appended, by their keys and
// each other's.
func (m *Memory) conflict(events []*event.Event) (conflict error) {
	if len(events) == 0 {
		return nil
	}
	among := make(map[string]event.Record)
	for _, ev := range events {
		key := ev.Metadata().IdempotencyKey
		first, found := m.keys[key]
		if !found {
			first, found = among[key]
		}
		if found {
			conflict = errors.Join(conflict, event.Repeated(first, ev).Err)
			continue
		}
		among[key] = event.Record{Event: ev}
	}
	return conflict
}

// Deliveries returns what is kept of one event's deliveries, by handler.
func (m *Memory) Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read deliveries"); err != nil {
		return nil, err
	}
	var list []event.Delivery
	for _, rows := range m.rows {
		if row, found := rows.get(seq); found {
			list = append(list, row.Delivery)
		}
	}
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) })
	return list, nil
}

// LoadBacklog returns where a handler stands, as of one moment.
func (m *Memory) LoadBacklog(ctx context.Context, handler string) (event.Backlog, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read a handler's backlog"); err != nil {
		return event.Backlog{}, err
	}
	var b event.Backlog
	b.Cursor, b.Found = m.cursors["handler/"+handler]
	b.Found = b.Found || m.rows[handler].len() > 0
	if r := m.replays[handler]; r != nil && b.Cursor < r.To {
		under := *r
		b.Replay = &under
	}
	rows := m.rows[handler]
	for seq := range rows.seqs {
		b.Newest = max(b.Newest, seq)
		row, _ := rows.get(seq)
		switch {
		case row.Status == event.StatusPending: // for Redriven
		case !row.Status.Final():
			b.Open = append(b.Open, row.Delivery)
		case seq > b.Cursor && !b.Replay.Skips(seq) && b.Replay.Done(seq, row.At):
			b.Done = append(b.Done, seq)
		}
	}
	slices.SortFunc(b.Open, func(x, y event.Delivery) int { return cmp.Compare(x.Seq, y.Seq) })
	slices.Sort(b.Done)
	return b, nil
}

// ForgetHandler removes a handler's cursors, deliveries and replay.
func (m *Memory) ForgetHandler(ctx context.Context, handler string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "forget a handler"); err != nil {
		return err
	}
	position, from, to := event.HandlerCursors(handler)
	for _, name := range []string{position, from, to} {
		delete(m.cursors, name)
	}
	delete(m.rows, handler)
	delete(m.replays, handler)
	return nil
}
