package bus

import (
	"crypto/sha256"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// applied returns the effects that were applied before, because the write is repeated. It is
// asked before any of the deliveries is stored: a failed attempt that is written again would
// hide the success that followed it. The caller holds mu.
func (m *Memory) applied(deliveries []event.Delivery) map[*event.Effects]bool {
	var applied map[*event.Effects]bool // nil without effects
	for len(deliveries) > 0 {
		list := deliveries[:event.Together(deliveries)]
		deliveries = deliveries[len(list):]
		if list[0].Effects == nil {
			continue
		}
		if applied == nil {
			applied = make(map[*event.Effects]bool)
		}
		applied[list[0].Effects] = m.hasApplied(list)
	}
	return applied
}

// apply applies the effects that deliveries share, and returns the deliveries as they are
// stored. The caller holds mu.
func (m *Memory) apply(list []event.Delivery, saved *event.Saved) []event.Delivery {
	e, now := list[0].Effects, m.now().UnixNano()
	if !m.stillTrue(e, now) {
		list = each(list, event.Delivery.Rerun)
		saved.Conflicts = append(saved.Conflicts, list...)
		return list
	}
	conflict := m.conflict(childrenOf(list))
	if conflict != nil {
		list = each(list, func(d event.Delivery) event.Delivery { return d.Refuse(conflict) })
		saved.Refused = append(saved.Refused, list...)
		return list
	}
	writes, reason := m.plan(e, now)
	if reason != nil {
		list = each(list, func(d event.Delivery) event.Delivery { return d.RefuseEffects(reason) })
		saved.Refused = append(saved.Refused, list...)
		return list
	}
	m.write(e.Plugin, writes)
	return list
}

// each returns changed deliveries; those of the caller stay as they are.
func each(list []event.Delivery, change func(event.Delivery) event.Delivery) []event.Delivery {
	changed := make([]event.Delivery, len(list))
	for i := range list {
		changed[i] = change(list[i])
	}
	return changed
}

func childrenOf(list []event.Delivery) (children []*event.Event) {
	for i := range list {
		children = append(children, list[i].Children...)
	}
	return children
}

// hasApplied reports whether the effects of deliveries were applied before: one of them is
// stored, for all were stored together, or all may have been trimmed since. The caller holds mu.
func (m *Memory) hasApplied(list []event.Delivery) bool {
	trimmed := 0
	for i := range list {
		d := &list[i]
		if _, there := m.find(d.Seq); !there && d.Seq <= m.trimmed {
			trimmed++
		} else if before, found := m.of(d.Handler).get(d.Seq); found && d.SameSuccess(&before.Delivery) {
			return true
		}
	}
	return trimmed == len(list)
}

// stillTrue reports whether keys have the values that effects have read. The caller holds mu.
func (m *Memory) stillTrue(e *event.Effects, now int64) bool {
	of := m.kv[e.Plugin]
	for i := range e.Reads {
		r := &e.Reads[i]
		if v, found := of.get(r.Key, now); found != r.Found || found && sha256.Sum256(v.bytes) != r.Sum {
			return false
		}
	}
	return true
}

// plan returns the values that keys have after effects, nil for those that are removed, or
// the quota's refusal. The caller holds mu.
func (m *Memory) plan(e *event.Effects, now int64) (writes map[string]*memoryValue, err error) {
	of := m.stateOf(e.Plugin)
	writes = make(map[string]*memoryValue, len(e.Writes))
	for i := range e.Writes {
		w := &e.Writes[i]
		if err := spec.CheckKV(w.Key, w.Value); err != nil {
			return nil, err
		}
		present, found := of.get(w.Key, now)
		v := memoryValue{w.Value, spec.KVUntil(w.Until)}
		switch w.Kind {
		case event.EffectSwap:
			v.until = present.until
		case event.EffectExpire:
			v.bytes = present.bytes
		}
		switch {
		case w.Kind == event.EffectDelete, w.Kind == event.EffectExpire && !found, v.expired(now):
			writes[w.Key] = nil
		default:
			v.bytes = append([]byte{}, v.bytes...)
			writes[w.Key] = &v
		}
	}
	fits := func() error { return spec.FitKV(e.Plugin, of.growth(writes), of.bytes, m.kvBytes) }
	if err = fits(); err != nil {
		of.reclaim(now)
		err = fits()
	}
	return writes, err
}

// growth returns by how many bytes writes make the state grow.
func (of *memoryKV) growth(writes map[string]*memoryValue) (n int64) {
	for key, v := range writes {
		if present, found := of.values[key]; found {
			n -= int64(len(key)+len(present.bytes)) + spec.KVEntry
		}
		if v != nil {
			n += int64(len(key)+len(v.bytes)) + spec.KVEntry
		}
	}
	return n
}

// write makes planned writes. The caller holds mu.
func (m *Memory) write(plugin string, writes map[string]*memoryValue) {
	of := m.stateOf(plugin)
	for key, v := range writes {
		if v == nil {
			of.remove(key)
		} else {
			of.set(key, *v)
		}
	}
}
