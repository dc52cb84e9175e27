package effecttest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// limited is a value with its time limit.
type limited struct {
	value string
	until time.Time
}

type values map[string]limited

func (v values) usage() (n int64) {
	for key, of := range v {
		n += int64(len(key)+len(of.value)) + spec.KVEntry
	}
	return n
}

// run is a run of the model beside an engine.
type run struct {
	*setup
	t      *rapid.T
	values values
	seq    int // of the next delivery, among 8 events
	number int // makes times and keys of children different
	last   *event.Delivery
	taken  map[string]bool // keys of children
	end    uint64          // the last Seq
}

// model makes random direct writes and atomic deliveries, in calls of several, with
// conflicts, refusals, repeats, limits and restarts, and compares the results and the values
// with a model.
func model(s *setup) {
	rapid.Check(s.T, func(t *rapid.T) {
		r := &run{setup: s, t: t, values: values{}, taken: map[string]bool{}, end: s.Last()}
		logtest.WantCode(s.T, "clear", s.KVClear(s.Context(), "p"), "")
		s.clock.Pass(time.Hour) // the times of this run's deliveries differ from those before
		t.Repeat(map[string]func(*rapid.T){
			"deliveries": r.deliveries, "more deliveries": r.deliveries, "repeat": r.repeat, "set": r.set, "delete": r.remove,
			"let time pass": func(*rapid.T) { s.clock.Pass(1) }, "restart": r.restart, "": r.check,
		})
	})
}

func (r *run) expire() {
	maps.DeleteFunc(r.values, func(_ string, v limited) bool { return !v.until.IsZero() && !v.until.After(r.clock.Now()) })
}

func (r *run) key() string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r.t, "key") }

func (r *run) value() string {
	return strings.Repeat(rapid.SampledFrom([]string{"x", "y"}).Draw(r.t, "letter"), rapid.SampledFrom([]int{0, 1, 20}).Draw(r.t, "size"))
}

func (r *run) until() time.Time {
	if n := rapid.IntRange(-3, 3).Draw(r.t, "until"); n > -2 {
		return r.clock.Now().Add(time.Duration(n))
	}
	return time.Time{}
}

// effects draws effects on the state as it is in the model.
func (r *run) effects() *event.Effects {
	e := &event.Effects{Plugin: "p"}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 2, rapid.ID).Draw(r.t, "reads") {
		v, found := r.values[key]
		if rapid.IntRange(0, 5).Draw(r.t, "another") == 0 {
			v.value, found = r.value(), true
		}
		read := event.EffectRead{Key: key, Found: found}
		if found {
			read.Sum = sha256.Sum256([]byte(v.value))
		}
		e.Reads = append(e.Reads, read)
	}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(r.t, "writes") {
		kind := rapid.SampledFrom([]event.EffectKind{event.EffectSet, event.EffectSet, event.EffectSwap, event.EffectDelete, event.EffectExpire}).Draw(r.t, "kind")
		w := event.EffectWrite{Kind: kind, Key: key, Until: r.until()}
		if kind == event.EffectSet || kind == event.EffectSwap {
			w.Value = []byte(r.value())
		}
		e.Writes = append(e.Writes, w)
	}
	return e
}

// apply returns the values after effects, and whether they are in conflict.
func (r *run) apply(e *event.Effects) (next values, conflict bool) {
	for _, read := range e.Reads {
		v, found := r.values[read.Key]
		if found != read.Found || found && sha256.Sum256([]byte(v.value)) != read.Sum {
			return nil, true
		}
	}
	next = maps.Clone(r.values)
	for _, w := range e.Writes {
		present, found := r.values[w.Key]
		switch w.Kind {
		case event.EffectSet:
			next[w.Key] = limited{string(w.Value), w.Until}
		case event.EffectSwap:
			next[w.Key] = limited{string(w.Value), present.until}
		case event.EffectDelete:
			delete(next, w.Key)
		case event.EffectExpire:
			if found {
				next[w.Key] = limited{present.value, w.Until}
			}
		}
		if v := next[w.Key]; !v.until.IsZero() && !v.until.After(r.clock.Now()) {
			delete(next, w.Key)
		}
	}
	return next, false
}

// deliveries saves one to three deliveries in one call.
func (r *run) deliveries(*rapid.T) {
	var list []event.Delivery
	var want []string
	for range rapid.IntRange(1, 3).Draw(r.t, "deliveries") {
		r.number++
		d := success(uint64(r.seq%8+1), rapid.IntRange(1, 2).Draw(r.t, "attempts"), r.effects())
		r.seq++
		d.At = r.clock.Now().Add(time.Duration(r.number) * time.Second)
		d.FirstAttempt = d.At
		name, data := "none", "1"
		if rapid.Bool().Draw(r.t, "child") {
			name = fmt.Sprintf("child %d %d", r.clock.Now().UnixNano(), r.number)
			if rapid.IntRange(0, 3).Draw(r.t, "used") == 0 {
				name, data = "parent", "2" // in conflict with the first event
			}
		}
		if name != "none" {
			key := name
			if name == "parent" {
				key = logtest.Numbered(r.setup.T, "parent", 1)[0].Metadata().IdempotencyKey
			}
			d.Children = []*event.Event{logtest.Make(r.setup.T, event.Draft{Type: "child", Data: []byte(data), IdempotencyKey: key})}
		}
		next, conflict := r.apply(d.Effects)
		switch {
		case conflict:
			want = append(want, string(event.ClassKVConflict))
		case name == "parent":
			want = append(want, string(event.ClassConflict))
		case next.usage() > quota && next.usage() > r.values.usage():
			want = append(want, string(event.ClassKVQuota))
		default:
			want = append(want, "")
			r.values = next
			if len(d.Children) > 0 {
				r.end++
			}
			kept := d
			r.last = &kept
		}
		list = append(list, d)
	}
	saved := r.save(list...)
	class := map[uint64]string{}
	for _, d := range append(saved.Refused, saved.Conflicts...) {
		class[d.Seq] = string(d.ErrorClass)
	}
	for i, d := range list {
		if class[d.Seq] != want[i] {
			r.t.Fatalf("delivery %d of %+v: got %q, want %q", i, list, class[d.Seq], want[i])
		}
		if want[i] != "" && r.last != nil && r.last.Seq == d.Seq {
			r.last = nil // its outcome was replaced
		}
	}
}

const quota = 2*(spec.KVEntry+1) + 30

// repeat saves the last delivery that was applied again: it changes nothing.
func (r *run) repeat(t *rapid.T) {
	if r.last == nil {
		t.Skip("none")
	}
	if saved := r.save(*r.last); len(saved.Refused)+len(saved.Conflicts) > 0 {
		r.t.Fatalf("repeated: got %+v", saved)
	}
}

func (r *run) set(*rapid.T) {
	key, v := r.key(), r.value()
	next := maps.Clone(r.values)
	next[key] = limited{value: v}
	refused := next.usage() > quota
	if err := r.KVSet(r.Context(), "p", key, []byte(v)); refused != fault.Is(err, fault.Exhausted) || !refused && err != nil {
		r.t.Fatalf("KVSet: got %v, want it refused: %v", err, refused)
	}
	if !refused {
		r.values = next
	}
}

func (r *run) remove(*rapid.T) {
	key := r.key()
	delete(r.values, key)
	if err := r.KVDelete(r.Context(), "p", key); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) restart(t *rapid.T) {
	if r.Restart == nil || rapid.IntRange(0, 9).Draw(t, "restart") > 0 {
		t.Skip("another time")
	}
	r.setup.Engine.Engine = r.Restart()
}

func (r *run) check(*rapid.T) {
	r.expire()
	for _, key := range []string{"a", "b", "c"} {
		want, there := r.values[key]
		if v, found, err := r.KVGet(r.Context(), "p", key); err != nil || found != there || string(v) != want.value {
			r.t.Fatalf("%s: got %q, %v, %v, want %+v, %v", key, v, found, err, want, there)
		}
	}
	items, err := r.KVList(r.Context(), "p", "", "", 10)
	if err != nil || len(items) != len(r.values) {
		r.t.Fatalf("got the keys %+v, %v, want %v", items, err, r.values)
	}
	for _, item := range items {
		if !item.Until.Equal(r.values[item.Key].until) {
			r.t.Fatalf("got %+v, want %+v", item, r.values[item.Key])
		}
	}
	if used, _, err := r.KVUsage(r.Context(), "p"); err != nil || used != r.values.usage() {
		r.t.Fatalf("usage: got %d, %v, want %d", used, err, r.values.usage())
	}
	if r.Last() != r.end {
		r.t.Fatalf("the log ends at %d, want %d", r.Last(), r.end)
	}
}
