package overlay_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/overlay"
	"github.com/berth-host/berth/host/spec"
)

// entry is a value with its limit.
type entry struct {
	value string
	until time.Time
}

// base is a state with pending writes. It implements overlay.Base.
type base struct {
	now     time.Time
	stored  map[string]entry
	pending map[string]event.EffectWrite
	quota   int64
	fails   error
}

func newBase() *base {
	return &base{now: time.Unix(1000, 0), stored: map[string]entry{}, pending: map[string]event.EffectWrite{}, quota: 1 << 30}
}

func (b *base) Pending(key string) (event.EffectWrite, bool) {
	w, ok := b.pending[key]
	return w, ok
}

func (b *base) PendingKeys(prefix, after string, limit int) (list []event.EffectWrite) {
	for _, key := range slices.Sorted(maps.Keys(b.pending)) {
		if strings.HasPrefix(key, prefix) && key > after && len(list) < limit {
			list = append(list, b.pending[key])
		}
	}
	return list
}

func (b *base) Load(key string) ([]byte, bool, error) {
	e, found := get(b.stored, key, b.now)
	return []byte(e.value), found, b.fails
}

func (b *base) List(prefix, after string, limit int) (keys []string, err error) {
	return list(b.stored, prefix, after, limit, b.now), b.fails
}

func (b *base) Usage() (used, quota int64, err error) {
	for key, e := range b.stored {
		used += int64(len(key)+len(e.value)) + spec.KVEntry
	}
	return used, b.quota, b.fails
}

func get(state map[string]entry, key string, now time.Time) (entry, bool) {
	e, found := state[key]
	if !found || !e.until.IsZero() && !now.Before(e.until) {
		return entry{}, false
	}
	return e, true
}

func list(state map[string]entry, prefix, after string, limit int, now time.Time) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if _, found := get(state, key, now); found && strings.HasPrefix(key, prefix) && key > after && len(keys) < limit {
			keys = append(keys, key)
		}
	}
	return keys
}

// apply does a write as an engine does.
func apply(state map[string]entry, w event.EffectWrite, now time.Time) {
	present, found := get(state, w.Key, now)
	switch w.Kind {
	case event.EffectSet:
		state[w.Key] = entry{string(w.Value), w.Until}
	case event.EffectSwap:
		state[w.Key] = entry{string(w.Value), present.until}
	case event.EffectDelete:
		delete(state, w.Key)
	case event.EffectExpire:
		if found {
			state[w.Key] = entry{present.value, w.Until}
		}
	}
}

// whole is the state with the pending writes.
func (b *base) whole() map[string]entry {
	state := maps.Clone(b.stored)
	for _, w := range b.pending {
		apply(state, w, b.now)
	}
	return state
}

func isTooLarge(err error) bool {
	var known *fault.Error
	return err != nil && fault.Is(err, fault.Exhausted) && asField(err, &known)
}

func asField(err error, known **fault.Error) bool {
	e, ok := err.(*fault.Error)
	*known = e
	return ok && e.Field != ""
}

// TestOverlayIsLikeDirectWrites: what an attempt reads is what it would read if its writes
// took effect at once, and its effects, applied to the state, give the same state.
func TestOverlayIsLikeDirectWrites(t *testing.T) {
	keys := []string{"a", "a:1", "a:2", "b", "b:1", "c"}
	rapid.Check(t, func(t *rapid.T) {
		b := newBase()
		value := rapid.SampledFrom([]string{"", "x", "y"})
		until := rapid.SampledFrom([]time.Time{{}, b.now.Add(time.Second), b.now.Add(5 * time.Second)})
		// What is below does not expire meanwhile: then a read would be in conflict.
		below := rapid.SampledFrom([]time.Time{{}, b.now.Add(time.Hour)})
		for _, key := range keys {
			if rapid.Bool().Draw(t, "stored") {
				b.stored[key] = entry{value.Draw(t, "value"), below.Draw(t, "until")}
			}
			switch rapid.IntRange(0, 5).Draw(t, "pending") {
			case 0:
				b.pending[key] = event.EffectWrite{Kind: event.EffectSet, Key: key, Value: []byte(value.Draw(t, "value")), Until: below.Draw(t, "until")}
			case 1:
				b.pending[key] = event.EffectWrite{Kind: event.EffectDelete, Key: key}
			case 2:
				if _, found := b.stored[key]; found {
					b.pending[key] = event.EffectWrite{Kind: event.EffectExpire, Key: key, Until: below.Draw(t, "until")}
				}
			}
		}
		budget := memory.NewBudget(0)
		o := overlay.New("p", budget)
		direct := b.whole()
		for range rapid.IntRange(0, 25).Draw(t, "calls") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			present, found := get(direct, key, b.now)
			switch call := rapid.SampledFrom([]string{"get", "set", "swap", "swap absent", "delete", "expire", "list", "wait"}).Draw(t, "call"); call {
			case "get":
				got, ok, err := o.Get(b, b.now, key)
				if string(got) != present.value || ok != found || err != nil {
					t.Fatalf("get %s: got %q, %v, %v, want %q, %v", key, got, ok, err, present.value, found)
				}
			case "set":
				v := value.Draw(t, "value")
				if err := o.Set(b, key, []byte(v)); err != nil {
					t.Fatal(err)
				}
				direct[key] = entry{value: v}
			case "swap", "swap absent":
				var old []byte
				if call == "swap" {
					old = []byte(value.Draw(t, "old"))
				}
				v := value.Draw(t, "value")
				fits := found == (old != nil) && string(old) == present.value
				err := o.Swap(b, b.now, key, old, []byte(v))
				if fits != (err == nil) || !fits && !fault.Is(err, fault.Conflict) {
					t.Fatalf("swap %s of %q for %q: %v", key, old, present.value, err)
				}
				if fits {
					direct[key] = entry{v, present.until}
				}
			case "delete":
				if err := o.Delete(b, key); err != nil {
					t.Fatal(err)
				}
				delete(direct, key)
			case "expire":
				at := until.Draw(t, "until")
				if err := o.Expire(b, b.now, key, at); found != (err == nil) || !found && !fault.Is(err, fault.NotFound) {
					t.Fatalf("expire %s: %v", key, err)
				}
				if found {
					direct[key] = entry{present.value, at}
				}
			case "list":
				prefix, after := rapid.SampledFrom([]string{"", "a", "a:", "c"}).Draw(t, "prefix"), rapid.SampledFrom([]string{"", "a:1", "b"}).Draw(t, "after")
				limit := rapid.IntRange(1, 4).Draw(t, "limit")
				got, err := o.List(b, b.now, prefix, after, limit)
				if want := list(direct, prefix, after, limit, b.now); !slices.Equal(got, want) || err != nil {
					t.Fatalf("list %q after %q: got %q, %v, want %q", prefix, after, got, err, want)
				}
			case "wait":
				b.now = b.now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "seconds")) * time.Second)
			}
		}
		state := b.whole()
		e := o.Effects()
		if e != nil {
			for _, w := range e.Writes {
				apply(state, w, b.now)
			}
			if budget.Used() <= 0 {
				t.Error("the effects are not charged")
			}
			e.Release()
		}
		for _, key := range keys {
			got, ok := get(state, key, b.now)
			want, found := get(direct, key, b.now)
			if ok != found || got != want {
				t.Errorf("%s is %+v, %v, want %+v, %v", key, got, ok, want, found)
			}
		}
		if budget.Used() != 0 {
			t.Errorf("%d bytes are not given back", budget.Used())
		}
	})
}

// TestReadsAreRemembered: what was read below is in the effects, and nothing else.
func TestReadsAreRemembered(t *testing.T) {
	b := newBase()
	b.stored["there"], b.stored["listed:1"], b.stored["blind"] = entry{value: "v"}, entry{value: "w"}, entry{value: "z"}
	b.pending["pending"] = event.EffectWrite{Kind: event.EffectSet, Key: "pending", Value: []byte("new")}
	b.pending["listed:2"] = event.EffectWrite{Kind: event.EffectDelete, Key: "listed:2"}
	o := overlay.New("p", memory.NewBudget(0))
	for _, key := range []string{"there", "none", "pending"} {
		if _, _, err := o.Get(b, b.now, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Set(b, "blind", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Get(b, b.now, "blind"); err != nil { // its own write
		t.Fatal(err)
	}
	if keys, err := o.List(b, b.now, "listed:", "", 10); len(keys) != 1 || err != nil {
		t.Fatal(keys, err)
	}
	if err := o.Swap(b, b.now, "swapped", []byte("a"), []byte("b")); !fault.Is(err, fault.Conflict) {
		t.Fatal(err)
	}
	e := o.Effects()
	want := map[string]string{"there": "v", "none": "", "pending": "new", "listed:1": "w", "swapped": ""}
	for _, r := range e.Reads {
		value, known := want[r.Key]
		delete(want, r.Key)
		if !known || r.Found != (value != "") || r.Found && r.Sum != sha256.Sum256([]byte(value)) {
			t.Errorf("got %+v", r)
		}
	}
	if len(want) > 0 || len(e.Writes) != 1 || e.Plugin != "p" {
		t.Errorf("missing %v of %+v", want, e)
	}
	if again := o.Effects(); again != nil {
		t.Errorf("the overlay is not empty afterwards: %+v", again)
	}
}

// TestTwoStatesAreInConflict: a key that was something else at the second read is in conflict
// with every value.
func TestTwoStatesAreInConflict(t *testing.T) {
	b := newBase()
	o := overlay.New("p", memory.NewBudget(0))
	b.stored["k"] = entry{value: "a"}
	for _, value := range []string{"a", "b", "a"} {
		b.stored["k"] = entry{value: value}
		if got, _, err := o.Get(b, b.now, "k"); string(got) != value || err != nil {
			t.Fatal(got, err)
		}
	}
	if r := o.Effects().Reads; len(r) != 1 || !r[0].Found || r[0].Sum != [sha256.Size]byte{} {
		t.Errorf("got %+v", r)
	}
}

func TestBounds(t *testing.T) {
	b := newBase()
	budget := memory.NewBudget(0)
	o := overlay.New("p", budget)
	for i := range abi.MaxAtomicKeys {
		if err := o.Set(b, fmt.Sprintf("%04d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Set(b, "one more", nil); !isTooLarge(err) {
		t.Errorf("another key: %v", err)
	}
	if err := o.Set(b, "0000", []byte("again")); err != nil {
		t.Errorf("a key that was written: %v", err)
	}
	o.Drop()
	big := make([]byte, abi.MaxKVValue-1)
	for i := range abi.MaxAtomicBytes / abi.MaxKVValue {
		if err := o.Set(b, fmt.Sprint(i), big); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Set(b, "x", nil); !isTooLarge(err) {
		t.Errorf("another byte: %v", err)
	}
	if err := o.Set(b, "0", nil); err != nil {
		t.Errorf("a shorter value: %v", err)
	}
	if err := o.Set(b, "x", nil); err != nil {
		t.Errorf("after a shorter value: %v", err)
	}
	o.Drop()
	for i := range overlay.MaxReads {
		if _, _, err := o.Get(b, b.now, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := o.Get(b, b.now, "x"); !isTooLarge(err) {
		t.Errorf("another read: %v", err)
	}
	o.Drop()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are not given back", budget.Used())
	}
}

// TestMemoryIsBounded: an overlay beyond the budget fails without a change.
func TestMemoryIsBounded(t *testing.T) {
	b := newBase()
	budget := memory.NewBudget(4096)
	o := overlay.New("p", budget)
	if err := o.Set(b, "k", bytes.Repeat([]byte("x"), 2048)); err != nil {
		t.Fatal(err)
	}
	err := o.Set(b, "l", bytes.Repeat([]byte("x"), 2048))
	if !fault.Is(err, fault.Exhausted) || isTooLarge(err) {
		t.Errorf("got %v", err)
	}
	if _, found, err := o.Get(b, b.now, "l"); found || err != nil {
		t.Errorf("it was written: %v", err)
	}
	e := o.Effects()
	if used := budget.Used(); used < 2048 || len(e.Writes) != 1 {
		t.Errorf("%d bytes are charged for %d writes", used, len(e.Writes))
	}
	e.Release()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are not given back", budget.Used())
	}
}

// TestQuota: a write with which the state would grow beyond its bound is refused, by what it
// is then and not by what each write adds.
func TestQuota(t *testing.T) {
	b := newBase()
	b.stored["k"] = entry{value: strings.Repeat("x", 1000)}
	b.quota = 2*spec.KVEntry + 2 + 1500
	o := overlay.New("p", memory.NewBudget(0))
	for _, tt := range []struct {
		key  string
		size int
		ok   bool
	}{
		{"k", 1500, true}, {"l", 1, false}, {"k", 1400, true}, {"l", 100, true}, {"l", 101, false}, {"l", 99, true}, {"k", 1402, false}, {"m", 0, false},
	} {
		if err := o.Set(b, tt.key, make([]byte, tt.size)); (err == nil) != tt.ok || err != nil && !isTooLarge(err) {
			t.Errorf("%s of %d bytes: %v", tt.key, tt.size, err)
		}
	}
	if err := o.Delete(b, "k"); err != nil {
		t.Fatal(err)
	}
	if err := o.Set(b, "m", nil); err != nil {
		t.Errorf("after a deletion: %v", err)
	}
}

// TestErrorsOfTheStoreChangeNothing: a call whose store fails has no effect.
func TestErrorsOfTheStoreChangeNothing(t *testing.T) {
	b := newBase()
	b.fails = fault.New(fault.Unavailable, "the store fails")
	o := overlay.New("p", memory.NewBudget(0))
	_, _, getErr := o.Get(b, b.now, "k")
	_, listErr := o.List(b, b.now, "", "", 1)
	for what, err := range map[string]error{
		"get": getErr, "list": listErr, "set": o.Set(b, "k", nil), "swap": o.Swap(b, b.now, "k", nil, nil), "expire": o.Expire(b, b.now, "k", b.now),
	} {
		if err != b.fails {
			t.Errorf("%s: %v", what, err)
		}
	}
	if e := o.Effects(); e != nil {
		t.Errorf("got %+v", e)
	}
}
