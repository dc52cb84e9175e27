package progress

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/keyvalue"
	"github.com/berth-host/berth/host/pgstore/outcomes"
	"github.com/berth-host/berth/host/pgstore/pglog"
)

// resolver decides what becomes of the deliveries of a call, one after the other: whether their
// effects are still right, and whether their children can be published. It does so in memory,
// after the state of plugins and the row head were locked and read.
type resolver struct {
	*call
	tx    pgx.Tx
	write *outcomes.Write

	repeated map[*event.Effects]bool
	kv       *keyvalue.Batch
	head     *pglog.Head
	known    map[*event.Event]event.Receipt // of children whose keys were taken before the call
	among    map[string]*event.Event        // children of the call that will be published, by key
	children []*event.Event                 // the same, in their order
	later    int64                          // the bytes of children that are not due yet
	receipts []event.Receipt                // of those that were
}

// load reads what the deliveries are compared with. It takes no lock of what they do not use.
func (r *resolver) load(ctx context.Context, g given) (err error) {
	if len(g.effects) > 0 {
		if err = r.loadRepeated(ctx, g.deliveries); err == nil {
			r.kv, err = keyvalue.Load(ctx, r.tx, g.effects, r.s.limits())
		}
		if err != nil {
			return err
		}
	}
	if len(g.children) == 0 && len(r.repeated) == 0 {
		return nil
	}
	if r.head, err = pglog.LockHead(ctx, r.tx); err != nil {
		return err
	}
	r.head.Now = r.s.cfg.Now()
	r.among = make(map[string]*event.Event)
	r.known = make(map[*event.Event]event.Receipt)
	if len(g.children) == 0 {
		return nil
	}
	receipts, err := pglog.Find(ctx, r.tx, g.children)
	for i, receipt := range receipts {
		if receipt.Duplicate || receipt.Err != nil {
			r.known[g.children[i]] = receipt
		}
	}
	return err
}

// loadRepeated finds the effects that were applied before, because the write is repeated: one
// of their deliveries is stored, for all were stored together, or all may have been trimmed
// since. It does so before any of the deliveries is stored: a failed attempt that is written
// again would hide the success that followed it.
func (r *resolver) loadRepeated(ctx context.Context, deliveries []event.Delivery) error {
	var with []event.Delivery
	for i := range deliveries {
		if deliveries[i].Effects != nil {
			with = append(with, deliveries[i])
		}
	}
	has, err := r.write.HasSuccess(ctx, with)
	if err != nil {
		return err
	}
	r.repeated = make(map[*event.Effects]bool)
	for i := 0; i < len(with); {
		n, trimmed, stored := event.Together(with[i:]), 0, false
		for k := i; k < i+n; k++ {
			if !r.write.Exists(with[k].Seq) {
				trimmed++
			} else if has[k] {
				stored = true
			}
		}
		if stored || trimmed == n {
			r.repeated[with[i].Effects] = true
		}
		i += n
	}
	return nil
}

// resolve returns deliveries that share their effects, or one without any, as they are stored.
func (r *resolver) resolve(ctx context.Context, list []event.Delivery) ([]event.Delivery, error) {
	e := list[0].Effects
	if e == nil && len(list[0].Children) == 0 || r.repeated[e] {
		return list, nil // repeated: the children are stored with the effects, or trimmed like them
	}
	var full error
	if e != nil {
		conflict, refused, err := r.kv.Judge(ctx, e)
		if err != nil {
			return nil, err
		}
		if conflict {
			list = each(list, event.Delivery.Rerun)
			r.saved.Conflicts = append(r.saved.Conflicts, list...)
			return list, nil
		}
		full = refused
	}
	fresh, taken := r.compare(list)
	if taken == nil && full == nil && r.careful && len(fresh) > 0 {
		var err error
		if taken, err = r.insert(ctx, fresh); err != nil {
			return nil, err
		}
	}
	switch {
	case taken != nil:
		list = each(list, func(d event.Delivery) event.Delivery { return d.Refuse(taken) })
	case full != nil:
		list = each(list, func(d event.Delivery) event.Delivery { return d.RefuseEffects(full) })
	default:
		for _, ev := range fresh {
			r.among[ev.Metadata().IdempotencyKey] = ev
		}
		r.children = append(r.children, fresh...)
		if len(fresh) > 0 && !r.careful { // otherwise the head counts them already
			r.later += event.ScheduledSize(fresh, r.head.Now)
		}
		if e != nil {
			r.kv.Apply(e)
		}
		return list, nil
	}
	r.saved.Refused = append(r.saved.Refused, list...)
	return list, nil
}

// compare returns the children of deliveries whose keys are free, or why none of them can be
// published: the keys of some have other content in the log, or among the children, or too
// many events are scheduled.
func (r *resolver) compare(list []event.Delivery) (fresh []*event.Event, conflict error) {
	of := make(map[string]*event.Event)
	for i := range list {
		for _, ev := range list[i].Children {
			key := ev.Metadata().IdempotencyKey
			if receipt, known := r.known[ev]; known {
				conflict = errors.Join(conflict, receipt.Err)
				continue
			}
			first := r.among[key]
			if first == nil {
				first = of[key]
			}
			if first != nil {
				conflict = errors.Join(conflict, event.Repeated(event.Record{Event: first}, ev).Err)
				continue
			}
			of[key] = ev
			fresh = append(fresh, ev)
		}
	}
	if conflict == nil && len(fresh) > 0 {
		if size := event.ScheduledSize(fresh, r.head.Now); size > 0 {
			conflict = event.FitScheduled(r.head.ScheduledBytes+r.later, size, r.s.cfg.LogLimit())
		}
	}
	if conflict != nil {
		return nil, conflict
	}
	return fresh, nil
}

// insert publishes children at once, so that those that the database refuses for their content
// concern no others.
func (r *resolver) insert(ctx context.Context, children []*event.Event) (refused, err error) {
	before := *r.head
	refused, err = outcomes.Try(ctx, r.tx, func(ctx context.Context, tx pgx.Tx) error {
		receipts, err := pglog.Insert(ctx, tx, r.head, children)
		r.receipts = append(r.receipts, receipts...)
		return err
	})
	if refused != nil {
		*r.head = before
	}
	return refused, err
}

// store writes the effects and publishes the children that were accepted. It changes the row
// head also when a repeated write has none: the commit then waits for the standby as that of
// the first one did.
func (r *resolver) store(ctx context.Context) (err error) {
	if r.kv != nil {
		if err := r.kv.Flush(ctx); err != nil {
			return err
		}
	}
	switch {
	case r.head == nil:
		return nil
	case r.careful || len(r.children) == 0:
		return r.head.Save(ctx, r.tx)
	}
	r.receipts, err = pglog.Insert(ctx, r.tx, r.head, r.children)
	return err
}

// each returns changed deliveries; those of the caller stay as they are.
func each(list []event.Delivery, change func(event.Delivery) event.Delivery) []event.Delivery {
	changed := make([]event.Delivery, len(list))
	for i := range list {
		changed[i] = change(list[i])
	}
	return changed
}
