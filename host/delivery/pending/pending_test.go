package pending

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
)

// expected is the state that the pending writes of one key lead to, applied one by one.
type expected struct {
	value string
	until time.Time
	found bool
}

func (x expected) apply(w event.EffectWrite) expected {
	switch w.Kind {
	case event.EffectSet:
		return expected{string(w.Value), w.Until, true}
	case event.EffectSwap:
		return expected{string(w.Value), x.until, true}
	case event.EffectExpire:
		if x.found {
			x.until = w.Until
		}
		return x
	}
	return expected{}
}

var names = []string{"a", "ab", "b", "ba", "c"}

func drawEffects(t *rapid.T) *event.Effects {
	e := &event.Effects{Plugin: "h"}
	for _, name := range names {
		if rapid.Bool().Draw(t, "writes "+name) {
			w := event.EffectWrite{Key: name, Kind: rapid.SampledFrom([]event.EffectKind{event.EffectSet, event.EffectSwap, event.EffectDelete,
				event.EffectExpire}).Draw(t, "kind")}
			if w.Kind == event.EffectSet || w.Kind == event.EffectSwap {
				w.Value = []byte(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value"))
			}
			if w.Kind == event.EffectSet || w.Kind == event.EffectExpire {
				w.Until = time.Unix(rapid.Int64Range(100, 103).Draw(t, "until"), 0)
			}
			e.Writes = append(e.Writes, w)
		}
	}
	return e
}

// TestSetIsTheListOfItsEffects adds and removes effects, and compares what the set shows of a
// store with the effects applied to it one after the other.
func TestSetIsTheListOfItsEffects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		var list []*event.Effects
		stored := map[string]expected{"a": {"x", time.Unix(101, 0), true}, "ba": {"y", time.Time{}, true}}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := drawEffects(t)
				list = append(list, e)
				s.Add(e)
			},
			"commit": func(t *rapid.T) {
				if len(list) == 0 {
					return
				}
				for _, w := range list[0].Writes {
					stored[w.Key] = stored[w.Key].apply(w)
				}
				s.Remove(list[0])
				list = list[1:]
			},
			"refuse": func(t *rapid.T) {
				if len(list) == 0 {
					return
				}
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				s.Remove(list[i])
				list = slices.Delete(list, i, i+1)
			},
			"": func(t *rapid.T) { check(t, &s, stored, list) },
		})
	})
}

func check(t *rapid.T, s *Set, stored map[string]expected, list []*event.Effects) {
	now := time.Unix(101, 1)
	want, written := maps.Clone(stored), make(map[string]bool)
	absent := make(map[string]bool) // a guest cannot set the limit of a key that is not there, see kv_expire
	for _, e := range list {
		for _, w := range e.Writes {
			absent[w.Key] = absent[w.Key] || w.Kind == event.EffectExpire && !want[w.Key].found
			want[w.Key], written[w.Key] = want[w.Key].apply(w), true
		}
	}
	for _, name := range names {
		if absent[name] {
			continue
		}
		got := stored[name]
		w, ok := s.Get(name)
		if ok != written[name] {
			t.Fatalf("%s has a pending write: %v, want %v", name, ok, written[name])
		}
		if ok {
			got = got.apply(w)
		}
		if got != want[name] {
			t.Fatalf("%s is %+v, want %+v", name, got, want[name])
		}
		checkConflicts(t, s, name, want[name], ok, now)
	}
	checkList(t, s, written)
}

// checkConflicts reads a key as it is, and as it is not.
func checkConflicts(t *rapid.T, s *Set, name string, x expected, pending bool, now time.Time) {
	if !x.until.IsZero() && !x.until.After(now) {
		x = expected{}
	}
	present := event.EffectRead{Key: name, Found: x.found}
	if x.found {
		present.Sum = sha256.Sum256([]byte(x.value))
	}
	w, _ := s.Get(name)
	if w.Kind == event.EffectSwap && !x.found {
		return // the limit of the stored key has ended
	}
	if s.Conflicts(&event.Effects{Reads: []event.EffectRead{present}}, now) {
		t.Fatalf("%s was read as %+v and is in conflict", name, x)
	}
	other := event.EffectRead{Key: name, Found: true, Sum: sha256.Sum256([]byte("other"))}
	known := pending && (w.Kind != event.EffectExpire || !w.Until.After(now))
	if got := s.Conflicts(&event.Effects{Reads: []event.EffectRead{other}}, now); got != known {
		t.Fatalf("%s was read with another value; in conflict: %v, want %v", name, got, known)
	}
}

func checkList(t *rapid.T, s *Set, written map[string]bool) {
	prefix := rapid.SampledFrom([]string{"", "a", "b", "z"}).Draw(t, "prefix")
	after := rapid.SampledFrom([]string{"", "a", "aa", "b", "z"}).Draw(t, "after")
	limit := rapid.IntRange(1, 3).Draw(t, "limit")
	var want, got []string
	for _, name := range names {
		if written[name] && strings.HasPrefix(name, prefix) && name > after && len(want) < limit {
			want = append(want, name)
		}
	}
	for _, w := range s.List(prefix, after, limit) {
		got = append(got, w.Key)
		if one, _ := s.Get(w.Key); string(one.Value) != string(w.Value) || one.Kind != w.Kind {
			t.Fatalf("List has %+v, Get %+v", w, one)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("List(%q, %q, %d) is %v, want %v", prefix, after, limit, got, want)
	}
}
