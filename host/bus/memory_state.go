package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// SaveDeliveries implements State. An outcome of an event that was trimmed is not
// stored: nothing could be done with it.
func (m *Memory) SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, deliveries []event.Delivery,
	cursors []event.Cursor) (saved event.Saved, fenced []spec.Fence, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "save deliveries"); err != nil {
		return event.Saved{}, nil, err
	}
	fenced = spec.Stale(fences, spec.OneHost)
	for i := range successes {
		s := &successes[i]
		if spec.Names(fenced, s.Handler) {
			continue
		}
		m.saveSuccesses(s)
	}
	applied := m.applied(deliveries)
	var of *outcomes // of the handler of the delivery before
	for len(deliveries) > 0 {
		list := deliveries[:event.Together(deliveries)]
		deliveries = deliveries[len(list):]
		if spec.Names(fenced, list[0].Handler) {
			continue
		}
		if of == nil || of.handler != list[0].Handler {
			of = m.made(list[0].Handler)
		}
		switch e := list[0].Effects; {
		case e == nil:
		case applied[e]: // the children are stored with the effects, or trimmed like them
			list = each(list, func(d event.Delivery) event.Delivery {
				d.Children = nil
				return d
			})
		default:
			list = m.apply(list, &saved)
		}
		for _, d := range list {
			m.saveDelivery(of, d, &saved)
		}
	}
	for _, c := range cursors {
		if !spec.Names(fenced, c.Handler()) {
			m.cursors[c.Name] = c.Seq
		}
	}
	return saved, fenced, nil
}

// saveDelivery stores a delivery, whose effects were applied, and appends its children. The
// caller holds mu.
func (m *Memory) saveDelivery(of *outcomes, d event.Delivery, saved *event.Saved) {
	if conflict := m.conflict(d.Children); conflict != nil {
		d = d.Refuse(conflict)
		saved.Refused = append(saved.Refused, d)
	}
	if len(d.Children) > 0 {
		m.add(d.Children)
		d.Children = nil
	}
	if _, found := m.find(d.Seq); !found && d.Seq <= m.trimmed {
		return
	}
	m.keepAttempt(&d)
	d.Instance, d.Logs, d.Effects = 0, nil, nil
	of.put(&d)
}

// saveSuccesses stores successes. The caller holds mu.
func (m *Memory) saveSuccesses(s *event.Successes) {
	of := m.made(s.Handler)
	trimmed := func(s event.SuccessAt) bool { return s.Seq <= m.trimmed }
	if !slices.ContainsFunc(s.List, trimmed) {
		of.putAll(s)
		return
	}
	for i := range s.List {
		if _, found := m.find(s.List[i].Seq); found || !trimmed(s.List[i]) {
			d := s.Delivery(i)
			of.put(&d)
		}
	}
}

// made returns a handler's outcomes, to be added to. The caller holds mu.
func (m *Memory) made(handler string) *outcomes {
	of := m.outcomes[handler]
	if of == nil {
		of = newOutcomes(handler)
		m.outcomes[handler] = of
	}
	return of
}

// of returns a handler's outcomes. The caller holds mu.
func (m *Memory) of(handler string) *outcomes {
	if of := m.outcomes[handler]; of != nil {
		return of
	}
	return &outcomes{}
}

// conflict returns why events cannot be appended: their keys have other content in
// the log or among the events, or too many events are scheduled.
func (m *Memory) conflict(events []*event.Event) (conflict error) {
	if len(events) == 0 {
		return nil
	}
	among := make(map[string]event.Record)
	var fresh []*event.Event
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
		if first := m.schedule.keys[key]; first != nil {
			conflict = errors.Join(conflict, first.Repeated(ev).Err)
			continue
		}
		among[key], fresh = event.Record{Event: ev}, append(fresh, ev)
	}
	if later := event.ScheduledSize(fresh, m.now()); conflict == nil && later > 0 {
		return event.FitScheduled(m.schedule.bytes, later, m.maxBytes.Load())
	}
	return conflict
}

// Cursor implements State.
func (m *Memory) Cursor(ctx context.Context, name string) (seq uint64, found bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read a cursor"); err != nil {
		return 0, false, err
	}
	seq, found = m.cursors[name]
	return seq, found, nil
}

// Cursors implements State.
func (m *Memory) Cursors(ctx context.Context) ([]event.Cursor, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "list the cursors"); err != nil {
		return nil, err
	}
	list := make([]event.Cursor, 0, len(m.cursors))
	for name, seq := range m.cursors {
		list = append(list, event.Cursor{Name: name, Seq: seq})
	}
	slices.SortFunc(list, func(a, b event.Cursor) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// SetCursor implements State.
func (m *Memory) SetCursor(ctx context.Context, c event.Cursor) error {
	if _, _, err := m.SaveDeliveries(ctx, nil, nil, nil, []event.Cursor{c}); err != nil {
		return fmt.Errorf("set a cursor: %w", err)
	}
	return nil
}

// Deliveries implements State.
func (m *Memory) Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read deliveries"); err != nil {
		return nil, err
	}
	var list []event.Delivery
	for _, of := range m.outcomes {
		if d, found := of.get(seq); found {
			list = append(list, d.Delivery)
		}
	}
	slices.SortFunc(list, func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) })
	return list, nil
}

// LoadBacklog implements State.
func (m *Memory) LoadBacklog(ctx context.Context, handler string) (event.Backlog, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read a handler's backlog"); err != nil {
		return event.Backlog{}, err
	}
	var b event.Backlog
	b.Cursor, b.Found = m.cursors[event.HandlerCursors(handler).Position]
	if r := m.replay(handler); r != nil {
		under := *r
		b.Replay = &under
	}
	for seq, d := range m.of(handler).all {
		b.Found = true
		switch {
		case d.Status == event.StatusPending: // for Redriven
		case !d.Status.Final():
			b.Open = append(b.Open, d.Delivery)
		case seq > b.Cursor && !b.Replay.Skips(seq) && b.Replay.Done(seq, d.At):
			b.Done = append(b.Done, seq)
		}
	}
	slices.SortFunc(b.Open, bySeq)
	slices.Sort(b.Done)
	return b, nil
}

// replay returns a handler's replay under way, or nil. The caller holds mu.
func (m *Memory) replay(handler string) *event.Replay {
	if r := m.replays[handler]; r != nil && m.cursors[event.HandlerCursors(handler).Position] < r.To {
		return r
	}
	return nil
}

func bySeq(a, b event.Delivery) int { return cmp.Compare(a.Seq, b.Seq) }

// ForgetHandler implements State.
func (m *Memory) ForgetHandler(ctx context.Context, handler string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "forget a handler"); err != nil {
		return err
	}
	names := event.HandlerCursors(handler)
	for _, name := range []string{names.Position, names.SampledFrom, names.SampledTo} {
		delete(m.cursors, name)
	}
	delete(m.outcomes, handler)
	delete(m.attempts, handler)
	delete(m.replays, handler)
	return nil
}

// dead lists the dead letters that f selects after a position. The caller holds mu.
func (m *Memory) dead(f event.DeadFilter, after event.DeadPosition) (list []event.DeadLetter) {
	for handler, of := range m.outcomes {
		if f.Handler != "" && f.Handler != handler {
			continue
		}
		for seq, d := range of.others {
			if d.Status != event.StatusDead || d.purged {
				continue
			}
			i, found := m.find(seq)
			if !found {
				continue
			}
			l := d.DeadLetter(m.records[i].Event)
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

// DeadLetters implements State.
func (m *Memory) DeadLetters(ctx context.Context, f event.DeadFilter, cursor string,
	limit int) (list []event.DeadLetter, next string, err error) {
	if limit < 1 || limit > 1000 {
		return nil, "", fault.Field("limit", "is %d, but must be 1 to 1000", limit)
	}
	after, err := event.ParseDeadPosition(cursor)
	if err != nil {
		return nil, "", err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read dead letters"); err != nil {
		return nil, "", err
	}
	if list = m.dead(f, after); len(list) > limit {
		list = list[:limit:limit]
		next = list[limit-1].Position().String()
	}
	return list, next, nil
}

// Redrive implements State.
func (m *Memory) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	return m.changeDead(ctx, "redrive dead letters", f, func(d *memoryDelivery) {
		d.Delivery = m.pending(d.Handler, d.Seq)
	})
}

// pending returns a delivery that waits for its first attempt from now on.
func (m *Memory) pending(handler string, seq uint64) event.Delivery {
	return event.Delivery{Handler: handler, Seq: seq, Status: event.StatusPending, At: m.now().UTC()}
}

// Requeue implements State.
func (m *Memory) Requeue(ctx context.Context, handler string, seqs []uint64) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "requeue deliveries"); err != nil {
		return 0, err
	}
	cursor, replay, of := m.cursors[event.HandlerCursors(handler).Position], m.replay(handler), m.made(handler)
	for _, seq := range seqs {
		d, found := of.get(seq)
		if _, there := m.find(seq); !there || found && !d.Status.Final() || !replay.Requeues(cursor, seq, found, d.At) {
			continue
		}
		of.others[seq] = memoryDelivery{Delivery: m.pending(handler, seq)}
		n++
	}
	return n, nil
}

// Purge implements State.
func (m *Memory) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	return m.changeDead(ctx, "purge dead letters", f, func(d *memoryDelivery) { d.purged = true })
}

func (m *Memory) changeDead(ctx context.Context, doing string, f event.DeadFilter, change func(*memoryDelivery)) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return 0, err
	}
	list := m.dead(f, event.DeadPosition{})
	for _, l := range list {
		d := m.outcomes[l.Handler].others[l.Seq]
		change(&d)
		m.outcomes[l.Handler].others[l.Seq] = d
	}
	return len(list), nil
}

// DeadCounts implements State.
func (m *Memory) DeadCounts(ctx context.Context) (map[string]uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "count dead letters"); err != nil {
		return nil, err
	}
	counts := make(map[string]uint64)
	for handler, of := range m.outcomes {
		for _, d := range of.others {
			if d.Status == event.StatusDead && !d.purged {
				counts[handler]++
			}
		}
	}
	return counts, nil
}

// CountRedriven implements State.
func (m *Memory) CountRedriven(ctx context.Context, handler string, from, to uint64) (n int, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "count redriven deliveries"); err != nil {
		return 0, err
	}
	for seq, d := range m.of(handler).others {
		if d.Status == event.StatusPending && seq >= from && seq <= to {
			n++
		}
	}
	return n, nil
}

// Redriven implements State.
func (m *Memory) Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read redriven deliveries"); err != nil {
		return nil, err
	}
	var list []event.Delivery
	for seq, d := range m.of(handler).others {
		if d.Status == event.StatusPending && seq > after {
			list = append(list, d.Delivery)
		}
	}
	slices.SortFunc(list, bySeq)
	return list[:min(limit, len(list))], nil
}

// StartReplay implements State. The replay starts no earlier than the outcomes of
// its events: the clock may have been set back.
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
	position := event.HandlerCursors(handler).Position
	cursor, known := m.cursors[position]
	for seq, d := range m.of(handler).all {
		known = true
		if seq >= from && seq <= to && d.Status.Final() && d.At.After(at) {
			at = d.At
		}
	}
	if !known {
		return fault.New(fault.NotFound, "%s: the handler %s has no position in the log", doing, handler)
	}
	r, back := event.BeginReplay(cursor, m.replays[handler], from, to, at)
	m.replays[handler], m.cursors[position] = &r, back
	return nil
}
