package store

import (
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/kv"
)

// apply applies the effects that deliveries share, after it has appended their children, and
// returns the deliveries as they are stored.
func (g *group) apply(list []event.Delivery, saved *event.Saved) ([]event.Delivery, error) {
	var plan kv.Plan
	var conflict bool
	var refused error
	repeated, err := g.hasApplied(list)
	if err != nil || repeated {
		return list, err // the children are stored with the effects, or trimmed like them
	}
	if plan, conflict, refused, err = g.s.kvBatch.Plan(list[0].Effects, g.s.kvFile.In(conn{g})); err != nil {
		return nil, err
	}
	if conflict {
		list = each(list, event.Delivery.Rerun)
		saved.Conflicts = append(saved.Conflicts, list...)
		return list, nil
	}
	taken, err := g.appendAll(childrenOf(list), refused != nil)
	switch {
	case err != nil:
		return nil, err
	case taken != nil:
		list = each(list, func(d event.Delivery) event.Delivery { return d.Refuse(taken) })
	case refused != nil:
		list = each(list, func(d event.Delivery) event.Delivery { return d.RefuseEffects(refused) })
	default:
		g.s.kvBatch.Make(plan)
		return list, nil
	}
	saved.Refused = append(saved.Refused, list...)
	return list, nil
}

// hasApplied reports whether the effects of deliveries were applied before: one of them is
// stored, for all were stored together, or all may have been trimmed since.
func (g *group) hasApplied(list []event.Delivery) (bool, error) {
	trimmed := 0
	for i := range list {
		there, err := g.exists(list[i].Seq)
		if err != nil {
			return false, err
		}
		if !there {
			trimmed++
			continue
		}
		if same, err := g.s.blocks.HasSuccess(conn{g}, &list[i]); err != nil || same {
			return same, err
		}
	}
	return trimmed == len(list), nil
}

func childrenOf(list []event.Delivery) (children []*event.Event) {
	for i := range list {
		children = append(children, list[i].Children...)
	}
	return children
}

// each returns changed deliveries; those of the caller stay as they are.
func each(list []event.Delivery, change func(event.Delivery) event.Delivery) []event.Delivery {
	changed := make([]event.Delivery, len(list))
	for i := range list {
		changed[i] = change(list[i])
	}
	return changed
}
