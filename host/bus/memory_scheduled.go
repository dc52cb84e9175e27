package bus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
)

// memorySchedule has the events that are not due yet, and the cancelled ones. Memory.mu
// guards it.
type memorySchedule struct {
	list    []*memoryScheduled // by due time, then id; cancelled ones included
	keys    map[string]*memoryScheduled
	ids     map[string]*memoryScheduled // by event id
	last    uint64                      // the highest id
	waiting int64                       // the number of events that are not due yet
	bytes   int64                       // of these
	earlier chan struct{}               // buffers one signal
	next    time.Time                   // the last one that MoveDue returned
}

type memoryScheduled struct {
	event.Scheduled
	id uint64
}

func newMemorySchedule() memorySchedule {
	return memorySchedule{keys: make(map[string]*memoryScheduled), ids: make(map[string]*memoryScheduled), earlier: make(chan struct{}, 1)}
}

func (s *memoryScheduled) compare(other *memoryScheduled) int {
	return cmp.Or(s.Due.Compare(other.Due), cmp.Compare(s.id, other.id))
}

// open reports whether the event waits for its time.
func (s *memoryScheduled) open() bool { return s.Cancelled.IsZero() }

// scheduled returns the receipt of an event that is not due yet, which it stores, or whose key
// such an event has, or refuses it. The caller holds mu, and the log does not have the key.
func (m *Memory) scheduled(ev *event.Event) (r event.Receipt, yes bool) {
	s, key := &m.schedule, ev.Metadata().IdempotencyKey
	if first, found := s.keys[key]; found {
		return first.Repeated(ev), true
	}
	deferral := ev.Deferral()
	if deferral.IsZero() {
		return r, false
	}
	now := m.now().UTC()
	due := deferral.Due(now)
	if !due.After(now) {
		return r, false
	}
	if err := event.FitScheduled(s.bytes, ev.Size(), m.maxBytes.Load()); err != nil {
		return event.Receipt{IdempotencyKey: key, Err: err}, true
	}
	s.last++
	e := &memoryScheduled{event.Scheduled{Event: ev.WithoutDeferral(), Due: due.UTC().Round(0), Accepted: now.Round(0)}, s.last}
	at, _ := slices.BinarySearchFunc(s.list, e, (*memoryScheduled).compare)
	s.list = slices.Insert(s.list, at, e)
	s.keys[key], s.ids[ev.ID()] = e, e
	m.bytes += ev.Size()
	s.waiting, s.bytes = s.waiting+1, s.bytes+ev.Size()
	if s.next.IsZero() || due.Before(s.next) {
		select {
		case s.earlier <- struct{}{}:
		default:
		}
	}
	return event.Receipt{EventID: ev.ID(), IdempotencyKey: key, Due: e.Due}, true
}

// remove removes events from the schedule, and their sizes from the log's.
func (m *Memory) remove(gone func(*memoryScheduled) bool) (removed []*memoryScheduled) {
	s := &m.schedule
	s.list = slices.DeleteFunc(s.list, func(e *memoryScheduled) bool {
		if !gone(e) {
			return false
		}
		removed = append(removed, e)
		delete(s.keys, e.Event.Metadata().IdempotencyKey)
		delete(s.ids, e.Event.ID())
		m.bytes -= e.Event.Size()
		if e.open() {
			s.waiting, s.bytes = s.waiting-1, s.bytes-e.Event.Size()
		}
		return true
	})
	return removed
}

// named returns the event with this id or key, or nil.
func (s *memorySchedule) named(id string) *memoryScheduled {
	if e := s.ids[id]; e != nil {
		return e
	}
	return s.keys[id]
}

// EarlierDue implements Schedule.
func (m *Memory) EarlierDue() <-chan struct{} { return m.schedule.earlier }

// MoveDue implements Schedule.
func (m *Memory) MoveDue(ctx context.Context, now time.Time, limit int) (moved int, next time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "move due events"); err != nil {
		return 0, time.Time{}, err
	}
	due := m.remove(func(e *memoryScheduled) bool {
		if moved == limit || !e.open() || e.Due.After(now) {
			return false
		}
		moved++
		return true
	})
	events := make([]*event.Event, len(due))
	for i, e := range due {
		events[i] = e.Event.Moved(e.Due)
	}
	m.add(events)
	m.schedule.next = time.Time{}
	if i := slices.IndexFunc(m.schedule.list, (*memoryScheduled).open); i >= 0 {
		m.schedule.next = m.schedule.list[i].Due
	}
	return moved, m.schedule.next, nil
}

// ScheduledEvents implements Schedule.
func (m *Memory) ScheduledEvents(ctx context.Context, q event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error) {
	after, err := event.ParseScheduledCursor(cursor)
	if err == nil {
		err = q.Check()
	}
	if err != nil {
		return nil, "", err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "list scheduled events"); err != nil {
		return nil, "", err
	}
	begin := &memoryScheduled{event.Scheduled{Due: after.Due}, after.ID + 1}
	at, _ := slices.BinarySearchFunc(m.schedule.list, begin, (*memoryScheduled).compare)
	var last event.ScheduledPosition
	for _, e := range m.schedule.list[at:] {
		if !e.open() || !q.Selects(e.Event) {
			continue
		}
		if len(list) == q.Limit {
			return list, last.Cursor(), nil
		}
		list, last = append(list, e.Scheduled), event.ScheduledPosition{Due: e.Due, ID: e.id}
	}
	return list, "", nil
}

// ScheduledEvent implements Schedule.
func (m *Memory) ScheduledEvent(ctx context.Context, id string) (event.Scheduled, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "look up a scheduled event"); err != nil {
		return event.Scheduled{}, err
	}
	e := m.schedule.named(id)
	if e == nil {
		return event.Scheduled{}, event.NotScheduled(id)
	}
	return e.Scheduled, nil
}

// CancelScheduled implements Schedule.
func (m *Memory) CancelScheduled(ctx context.Context, key string) (event.Scheduled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "cancel a scheduled event"); err != nil {
		return event.Scheduled{}, err
	}
	e := m.schedule.named(key)
	if e == nil || !e.open() {
		return event.Scheduled{}, event.NotScheduled(key)
	}
	e.Cancelled = m.now().UTC().Round(0)
	m.schedule.waiting, m.schedule.bytes = m.schedule.waiting-1, m.schedule.bytes-e.Event.Size()
	return e.Scheduled, nil
}

// TrimCancelled implements Schedule.
func (m *Memory) TrimCancelled(ctx context.Context, before time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "trim cancelled events"); err != nil {
		return 0, err
	}
	now := m.now().UTC().Round(0)
	for _, e := range m.schedule.list {
		if e.Cancelled.After(now.Add(event.ClockSlack)) {
			e.Cancelled = now
		}
	}
	return len(m.remove(func(e *memoryScheduled) bool { return !e.open() && e.Cancelled.Before(before) })), nil
}
