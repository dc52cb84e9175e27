package kv

import (
	"crypto/sha256"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Plan is what effects change.
type Plan []planned

type planned struct {
	key          Key
	before, next value
}

// Plan evaluates effects after the writes of the batch so far, and changes nothing, except
// that values may be removed whose time is over. conflict reports that a key has another
// value than the effects have read. refused is why they cannot be applied: fault.Exhausted in
// the field "value" for the quota, or an error of spec.CheckKV. err is an error of the reader.
func (b *Batch) Plan(e *event.Effects, r Reader) (p Plan, conflict bool, refused, err error) {
	for i := range e.Reads {
		read := &e.Reads[i]
		v, err := b.present(Key{e.Plugin, read.Key}, r)
		if err != nil {
			return nil, false, nil, err
		}
		if v = v.at(b.cache.now); v.found != read.Found || v.found && sha256.Sum256(v.bytes) != read.Sum {
			return nil, true, nil, nil
		}
	}
	p = make(Plan, len(e.Writes))
	for i := range e.Writes {
		w := &e.Writes[i]
		if refused := spec.CheckKV(w.Key, w.Value); refused != nil {
			return nil, false, refused, nil
		}
		key := Key{e.Plugin, w.Key}
		before, err := b.present(key, r)
		if err != nil {
			return nil, false, nil, err
		}
		p[i] = planned{key, before, b.after(before, w)}
	}
	refused, err = b.fits(e.Plugin, r, func() (growth int64) {
		for i := range p {
			growth += growthOf(p[i].key, b.newest(p[i].key, p[i].before), p[i].next)
		}
		return growth
	})
	return p, false, refused, err
}

// after returns the value of a key after a write. It shares no memory with the write.
func (b *Batch) after(before value, w *event.EffectWrite) value {
	present := before.at(b.cache.now)
	next := value{nil, true, spec.KVUntil(w.Until)}
	switch w.Kind {
	case event.EffectSwap:
		next.until = present.until
	case event.EffectDelete:
		return value{}
	case event.EffectExpire:
		if !present.found {
			return value{}
		}
		next.bytes = present.bytes
		return next.at(b.cache.now)
	}
	next.bytes = append([]byte{}, w.Value...)
	return next.at(b.cache.now)
}

// Suspend is Cache.Suspend for the plugins whose state deliveries have effects on: their
// writes are enqueued beside Enqueue. It is safe for concurrent use.
func (b *Batch) Suspend(list []event.Delivery) (resume func()) {
	var all []func()
	for i := range list {
		e := list[i].Effects
		if e != nil && (i == 0 || list[i-1].Effects == nil || list[i-1].Effects.Plugin != e.Plugin) {
			all = append(all, b.cache.Suspend(e.Plugin))
		}
	}
	return func() {
		for _, resume := range all {
			resume()
		}
	}
}

// Make adds the writes of a plan to the batch. Nothing else was added since Plan returned it.
func (b *Batch) Make(p Plan) {
	for i := range p {
		if before := b.newest(p[i].key, p[i].before); !before.equal(p[i].next) {
			b.put(p[i].key, before, p[i].next)
		}
	}
}
