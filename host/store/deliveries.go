package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/attempts"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// handlerCursor is the name of a handler's cursor.
func handlerCursor(handler string) string { return "handler/" + handler }

// Cursor returns the Seq of a named cursor, and whether there is one.
func (s *Store) Cursor(ctx context.Context, name string) (seq uint64, found bool, err error) {
	const doing = "read a cursor"
	var n int64
	err = s.read.cursor.QueryRowContext(ctx, name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return uint64(n), err == nil, s.coded(doing, err)
}

// SetCursor makes or moves a cursor, also back. It is durable when it returns.
func (s *Store) SetCursor(ctx context.Context, c event.Cursor) error {
	return s.submit(ctx, "set a cursor", &op{events: 1, run: func(g *group) error {
		_, err := g.exec(s.write.setCursor, c.Name, datafile.Seq(c.Seq))
		return err
	}})
}

// SaveDeliveries stores successes and then deliveries, each in place of what is stored
// of the same handler and Seq, appends the deliveries' children to the log and moves
// cursors, in one transaction. It is durable when it returns. A child that the log has
// already is skipped. When a child is in conflict, no child of its delivery is
// appended, and the delivery is stored as Delivery.Refuse makes it and returned as
// refused. Effects are applied as bus.State says. The attempts that led to the deliveries are kept, if Delivery.Past says so. An
// outcome of an event that was trimmed is not stored: nothing could be done with it.
//
// The store belongs to one host: a fence of another epoch than 0 is returned as
// fenced, and nothing of its handler is stored.
func (s *Store) SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, deliveries []event.Delivery,
	cursors []event.Cursor) (saved event.Saved, fenced []spec.Fence, err error) {
	o := &op{events: len(deliveries) + len(cursors)}
	for i := range successes {
		o.events += 1 + len(successes[i].List)/outcomesPerEvent
		o.bytes += len(successes[i].Results)
	}
	for i := range deliveries {
		o.bytes += len(deliveries[i].Result) + len(deliveries[i].ErrorMessage)
		o.events += len(deliveries[i].Children)
		for _, child := range deliveries[i].Children {
			o.bytes += len(child.Envelope())
		}
		if e := deliveries[i].Effects; e != nil && (i == 0 || deliveries[i-1].Effects != e) {
			o.events += len(e.Reads) + len(e.Writes)
			o.bytes += e.Size()
		}
	}
	fenced = spec.Stale(fences, spec.OneHost)
	if o.events == 0 {
		return saved, fenced, nil
	}
	var packed pack.Runs
	for i := range successes {
		if of := &successes[i]; !spec.Names(fenced, of.Handler) {
			packed.AddAll(of)
		}
	}
	packed.Sort() // not in the group
	past, err := attempts.NewBatch(deliveries)
	if err != nil {
		return saved, nil, s.coded("save deliveries", err)
	}
	o.bytes += past.Size()
	last := lastOf(deliveries)
	o.run = func(g *group) (err error) {
		if err = g.saveRuns(&packed); err != nil {
			return err
		}
		if err = g.saveList(fenced, deliveries, last, past, &saved); err != nil {
			return err
		}
		for _, c := range cursors {
			if spec.Names(fenced, c.Handler()) {
				continue
			}
			if _, err := g.exec(s.write.setCursor, c.Name, datafile.Seq(c.Seq)); err != nil {
				return err
			}
		}
		return nil
	}
	defer s.kvBatch.Suspend(deliveries)()
	if err := s.submit(ctx, "save deliveries", o); err != nil {
		return event.Saved{}, nil, err
	}
	return saved, fenced, nil
}

// outcomesPerEvent is how many plain successes take the writer as long as an event.
const outcomesPerEvent = 64

// deliveryKey identifies a delivery.
type deliveryKey struct {
	handler string
	seq     uint64
}

// lastOf returns the index of the last of several deliveries with the same key.
func lastOf(deliveries []event.Delivery) map[deliveryKey]int {
	last := make(map[deliveryKey]int, len(deliveries))
	for i := range deliveries {
		last[deliveryKey{deliveries[i].Handler, deliveries[i].Seq}] = i
	}
	return last
}

// saveList stores deliveries and publishes their children. Plain successes go into
// blocks: whether one had children makes no difference to what is stored.
func (g *group) saveList(fenced []spec.Fence, deliveries []event.Delivery, last map[deliveryKey]int,
	past *attempts.Batch, saved *event.Saved) (err error) {
	var packed pack.Runs
	var others, together []event.Delivery
	for i := range deliveries {
		d := deliveries[i]
		if spec.Names(fenced, d.Handler) {
			continue
		}
		switch {
		case d.Effects != nil:
			if len(together) == 0 {
				if together, err = g.apply(deliveries[i:i+event.Together(deliveries[i:])], saved); err != nil {
					return err
				}
			}
			d, together = together[0], together[1:]
		case len(d.Children) > 0:
			conflict, err := g.appendAll(d.Children, false)
			if err != nil {
				return err
			}
			if conflict != nil {
				d = d.Refuse(conflict)
				saved.Refused = append(saved.Refused, d)
			}
		}
		past.Add(i, &d)
		if last[deliveryKey{d.Handler, d.Seq}] != i {
			continue
		}
		if o, ok := pack.FromDelivery(&d); ok {
			packed.Add(d.Handler, o)
		} else {
			others = append(others, d)
		}
	}
	if err := g.saveRuns(&packed); err != nil {
		return err
	}
	for i := range others {
		if err := g.setDelivery(&others[i]); err != nil {
			return err
		}
	}
	return g.s.attempts.Save(conn{g}, past, g.exists)
}

// setDelivery stores a delivery, unless its event was trimmed.
func (g *group) setDelivery(d *event.Delivery) error {
	if d.Seq <= g.trimmedTo() {
		if found, err := g.leftover(d); err != nil || !found {
			return err
		}
	}
	_, err := g.exec(g.s.write.setDelivery, outcomes.Values(d)...)
	return err
}

// appendAll appends events, or none of them when one is in conflict, or if they are only
// compared with the log.
func (g *group) appendAll(events []*event.Event, compare bool) (conflict, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	list, _, err := newInsertions(events)
	if err != nil {
		return nil, err
	}
	if _, err := g.tx.Exec("SAVEPOINT children"); err != nil {
		return nil, err
	}
	before := g.mark()
	receipts, err := g.append(list)
	if err != nil {
		return nil, err
	}
	for _, r := range resolved(receipts) {
		conflict = errors.Join(conflict, r.Err)
	}
	if conflict != nil || compare {
		if _, err := g.tx.Exec("ROLLBACK TO children"); err != nil {
			return nil, errors.Join(conflict, err)
		}
		g.reset(before)
	}
	_, err = g.tx.Exec("RELEASE children")
	return conflict, err
}

// Deliveries returns the deliveries of one event, by handler.
func (s *Store) Deliveries(ctx context.Context, seq uint64) ([]event.Delivery, error) {
	const doing = "read deliveries"
	list, err := s.history(ctx, seq)
	if err != nil {
		return nil, s.coded(doing, err)
	}
	return list, nil
}

// LoadBacklog returns a handler's progress, as of one moment.
func (s *Store) LoadBacklog(ctx context.Context, handler string) (event.Backlog, error) {
	b, err := s.backlogs.Load(ctx, handler)
	return b, s.coded("read a handler's backlog", err)
}

// ForgetHandler removes a handler's cursors, deliveries, attempts and replay.
func (s *Store) ForgetHandler(ctx context.Context, handler string) error {
	return s.submit(ctx, "forget a handler", &op{events: 1, run: func(g *group) error {
		names := event.HandlerCursors(handler)
		for _, name := range []string{names.Position, names.SampledFrom, names.SampledTo} {
			if _, err := g.exec(s.write.deleteCursor, name); err != nil {
				return err
			}
		}
		if _, err := g.exec(s.replay.deleteReplay, handler); err != nil {
			return err
		}
		if err := s.blocks.Forget(conn{g}, handler); err != nil {
			return err
		}
		if err := s.attempts.Forget(conn{g}, handler); err != nil {
			return err
		}
		if _, err := g.exec(s.replay.releaseHandler, handler, datafile.Seq(g.trimmedTo())); err != nil {
			return err
		}
		_, err := g.exec(s.write.deleteDeliveries, handler)
		return err
	}})
}
