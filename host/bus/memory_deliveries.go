package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// SaveDeliveries stores deliveries, each in the place of the one with the same
// handler and Seq, appends their children to the log, and moves cursors, all at
// once. A child that the log has already is left out. When one is in conflict,
// none of its delivery's are appended, the delivery is stored as Delivery.Refuse
// makes it, and answered as refused.
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
	for _, d := range rows {
		if conflict := m.conflict(d.Children); conflict != nil {
			d = d.Refuse(conflict)
			refused = append(refused, d)
		}
		if len(d.Children) > 0 {
			m.add(d.Children)
			d.Children = nil
		}
		of := m.rows[d.Handler]
		if of == nil {
			of = make(map[uint64]event.Delivery)
			m.rows[d.Handler] = of
		}
		d.At, d.Due = d.At.UTC(), d.Due.UTC()
		of[d.Seq] = d
	}
	for _, c := range cursors {
		m.cursors[c.Name] = c.Seq
	}
	return refused, nil
}

// conflict says which of the events could not be appended, by their keys and
// each other's.
func (m *Memory) conflict(events []*event.Event) (conflict error) {
	among := make(map[string]event.Record)
	for _, ev := range events {
		key := ev.Metadata().IdempotencyKey
		first, found := m.keys[key]
		if !found {
			first, found = among[key]
		}
		if found {
			conflict = errors.Join(conflict, duplicate(first, ev, key).Err)
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
		if d, found := rows[seq]; found {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) })
	return list, nil
}

// DeadLetters returns the dead deliveries of a handler, or of all when handler
// is "", of events below before (0 for all), newest event first. It answers at
// most limit (1 to 1000) of them; with all handlers, the last event's are
// complete, which can be a few more. The next page is before the last Seq.
func (m *Memory) DeadLetters(ctx context.Context, handler string, before uint64, limit int) ([]event.Delivery, error) {
	if limit < 1 || limit > 1000 {
		return nil, fault.Field("limit", "is %d, but must be 1 to 1000", limit)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read dead letters"); err != nil {
		return nil, err
	}
	var list []event.Delivery
	for name, rows := range m.rows {
		if handler != "" && handler != name {
			continue
		}
		for seq, d := range rows {
			if d.Status == event.StatusDead && (before == 0 || seq < before) {
				list = append(list, d)
			}
		}
	}
	slices.SortFunc(list, func(a, b event.Delivery) int {
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), cmp.Compare(a.Handler, b.Handler))
	})
	end := min(limit, len(list))
	for end > 0 && end < len(list) && list[end].Seq == list[end-1].Seq {
		end++
	}
	return list[:end:end], nil
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
	b.Found = b.Found || len(m.rows[handler]) > 0
	for seq, d := range m.rows[handler] {
		switch {
		case !d.Status.Final():
			b.Open = append(b.Open, d)
		case seq > b.Cursor:
			b.Done = append(b.Done, seq)
		}
	}
	slices.SortFunc(b.Open, func(x, y event.Delivery) int { return cmp.Compare(x.Seq, y.Seq) })
	slices.Sort(b.Done)
	return b, nil
}

// ForgetHandler removes a handler's cursor and deliveries.
func (m *Memory) ForgetHandler(ctx context.Context, handler string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "forget a handler"); err != nil {
		return err
	}
	delete(m.cursors, "handler/"+handler)
	delete(m.rows, handler)
	return nil
}
