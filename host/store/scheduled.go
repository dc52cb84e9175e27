package store

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/logwrite"
	"github.com/berth-host/berth/host/store/scheduled"
)

// scheduled returns the scheduled events that have keys of insertions, by key; nil when no
// insertion can be one of them, or become one. An event whose key is its id, which the host
// gave it, is never looked up unless it is due later itself.
func (g *group) scheduled(list []insertion) (map[string]event.Scheduled, error) {
	possible := g.s.size.scheduled > 0 || g.deferred != 0
	for i := 0; i < len(list) && !possible; i++ {
		possible = !list[i].ev.Deferral().IsZero()
	}
	if !possible {
		return nil, nil
	}
	var names []string
	for i := range list {
		if in := &list[i]; in.key != in.ev.ID() || !in.ev.Deferral().IsZero() {
			names = append(names, in.key)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return g.s.later.Find(conn{g}, names)
}

// schedule returns the receipt of an event that is not due yet, which it adds to those in
// known or refuses, or whose key one of them has.
func (g *group) schedule(in *insertion, known map[string]event.Scheduled) (r event.Receipt, yes bool, err error) {
	if first, found := known[in.key]; found {
		if first.Event == nil {
			return event.Receipt{IdempotencyKey: in.key, Err: fmt.Errorf("the scheduled event with this key cannot be read")}, true, nil
		}
		return first.NoteIn(repeated(event.Record{Event: first.Event}, in.ev)), true, nil
	}
	now := g.s.now()
	due, later := scheduled.Due(in.ev, now)
	if !later {
		return r, false, nil
	}
	if err := event.FitScheduled(g.s.size.waiting+g.deferred, in.ev.Size(), g.s.max.Load()); err != nil {
		return event.Receipt{IdempotencyKey: in.key, Err: err}, true, nil
	}
	known[in.key], err = g.s.later.Add(conn{g}, in.ev, due, now)
	g.deferred += in.ev.Size()
	g.removed = true // the triggers of the table changed the size
	return known[in.key].NoteIn(in.receiptOfNew), true, err
}

// AppendDue implements scheduled.Tx.
func (c conn) AppendDue(events []*event.Event) error {
	list, _, err := newInsertions(events)
	if err != nil {
		return err
	}
	c.g.s.hash(list)
	first, added := len(c.g.records), make([]*logwrite.Values, 0, len(list))
	for i := range list {
		c.g.assign(&list[i])
		c.g.deferred -= list[i].ev.Size()
		added = append(added, &list[i].values)
	}
	return c.g.s.events.Insert(c, added, c.g.records[first:], c.g.at)
}

// writeScheduled is scheduled.Config.Write. The transaction is not shared: an error of the
// table's pages is not a publisher's.
func (s *Store) writeScheduled(ctx context.Context, doing string, entries int, fn func(scheduled.Tx) error) error {
	return s.submit(ctx, doing, &op{events: entries, alone: true, run: func(g *group) error {
		g.removed = true // the triggers of the table change the size
		return fn(conn{g})
	}})
}
