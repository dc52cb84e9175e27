package kv

import (
	"bytes"
	"crypto/sha256"
	"maps"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// alive returns what readers see of a value.
func (m *model) alive(v Stored) value {
	if v.Until != 0 && v.Until <= m.clock {
		return value{}
	}
	return v.value()
}

func (m *model) allAlive(all contents) contents {
	list := maps.Clone(all)
	maps.DeleteFunc(list, func(_ Key, v Stored) bool { return !m.alive(v).found })
	return list
}

func sameStored(a, b Stored) bool { return a.value().equal(b.value()) }

// exceeds reports whether the values that a plugin would have exceed the quota.
func (m *model) exceeds(next contents, plugin string) bool {
	return usageOf(m.allAlive(next), plugin) > modelQuota
}

// changes reports whether a write changes a key, if it succeeds.
func (w *writing) changes(key Key) bool {
	return w.Kind != Sweep && (key == w.Key || w.Kind == Clear && key.Plugin == w.Key.Plugin)
}

func (m *model) drawUntil(t *rapid.T) int64 {
	if rapid.IntRange(0, 3).Draw(t, "limited") == 0 {
		return 0
	}
	return m.clock + int64(rapid.IntRange(-1, 3).Draw(t, "until"))
}

// drawEffects returns effects that write a key, and may have read one of the plugin's keys,
// as it is or otherwise.
func (m *model) drawEffects(t *rapid.T, key Key) *event.Effects {
	e := &event.Effects{Plugin: key.Plugin}
	if rapid.Bool().Draw(t, "reads") {
		of := Key{key.Plugin, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "read")}
		v := m.alive(m.want[of])
		if rapid.IntRange(0, 3).Draw(t, "another value") == 0 {
			v = value{drawValue(t), true, 0}
		}
		r := event.EffectRead{Key: of.Name, Found: v.found}
		if v.found {
			r.Sum = sha256.Sum256(v.bytes)
		}
		e.Reads = append(e.Reads, r)
	}
	w := event.EffectWrite{Key: key.Name, Until: spec.KVLimit(m.drawUntil(t)),
		Kind: rapid.SampledFrom([]event.EffectKind{event.EffectSet, event.EffectSwap, event.EffectDelete, event.EffectExpire}).Draw(t, "effect")}
	if w.Kind == event.EffectSet || w.Kind == event.EffectSwap {
		w.Value = drawValue(t)
	}
	e.Writes = append(e.Writes, w)
	return e
}

// applyEffects compares the effects' result with the sequential one; next are the values
// before them.
func (m *model) applyEffects(t *rapid.T, w *writing, next contents) {
	e, write := w.effects, &w.effects.Writes[0]
	wantConflict := false
	for _, r := range e.Reads {
		v := m.alive(next[Key{e.Plugin, r.Key}])
		wantConflict = wantConflict || v.found != r.Found || v.found && sha256.Sum256(v.bytes) != r.Sum
	}
	present := m.alive(next[w.Key])
	switch write.Kind {
	case event.EffectSet:
		next[w.Key] = Stored{write.Value, spec.KVUntil(write.Until), true}
	case event.EffectSwap:
		next[w.Key] = Stored{write.Value, present.until, true}
	case event.EffectDelete:
		delete(next, w.Key)
	case event.EffectExpire:
		if present.found {
			next[w.Key] = Stored{present.bytes, spec.KVUntil(write.Until), true}
		}
	}
	plan, conflict, refused, err := m.batch.Plan(e, m.file)
	if err != nil || conflict != wantConflict {
		t.Fatalf("%+v: conflict %v, %v, want %v", e, conflict, err, wantConflict)
	}
	wantRefused := !conflict && m.exceeds(next, e.Plugin)
	if wantRefused != (refused != nil) || refused != nil && !fault.Is(refused, fault.Exhausted) {
		t.Fatalf("%+v: refused with %v, want it refused: %v", e, refused, wantRefused)
	}
	w.err = refused
	if conflict {
		w.err = errBroken
	}
	if w.err == nil {
		m.batch.Make(plan)
		m.want = next
		if len(write.Value) > 0 {
			for i := range plan {
				if bytes.Equal(plan[i].next.bytes, write.Value) && &plan[i].next.bytes[0] == &write.Value[0] {
					t.Fatal("the batch shares the memory of the effects")
				}
			}
		}
	}
	m.group = append(m.group, w)
}
