package keys

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestHashesOfIDsFollowTheClock: later ids have higher hashes, above those of other keys.
func TestHashesOfIDsFollowTheClock(t *testing.T) {
	seed := make([]byte, seedSize)
	before := hash(seed, "0197a3c5-7b1e-7000-8000-000000000001")
	for _, id := range []string{"0197a3c5-7b1f-7000-8000-000000000001", "0197a3c6-0000-7000-8000-000000000000", uuid.Must(uuid.NewV7()).String()} {
		h := hash(seed, id)
		if h <= before {
			t.Errorf("%s: %x is not above %x", id, h, before)
		}
		before = h
	}
	for _, key := range []string{"", "order-17", "0197a3c5-7b1e-4000-8000-000000000001", "0197A3C5-7b1e-7000-8000-000000000001",
		"0197a3c5-7b1e-7000-8000-00000000000", "0197a3c5x7b1e-7000-8000-000000000001", "0197a3c5-7b1e-7000-8000x000000000001"} {
		if h := hash(seed, key); h >= 0 {
			t.Errorf("%q: %x is among those of ids", key, h)
		}
	}
}

// TestHashDependsOnTheSeed: clients cannot compute keys of one hash, nor ids.
func TestHashDependsOnTheSeed(t *testing.T) {
	other := make([]byte, seedSize)
	other[seedSize-1] = 1
	for _, key := range []string{"order-17", "0197a3c5-7b1e-7000-8000-000000000001"} {
		if hash(make([]byte, seedSize), key) == hash(other, key) {
			t.Errorf("%s: equal hashes", key)
		}
	}
}

// TestHashesAreStored: files have them, so they never change.
func TestHashesAreStored(t *testing.T) {
	seed := []byte("0123456789abcdef")
	for key, want := range map[string]int64{
		"order-17":                             -2776011195031573505,
		"0197a3c5-7b1e-7000-8000-000000000001": 3671692290903981082,
	} {
		if got := hash(seed, key); got != want {
			t.Errorf("%s: got %d, want %d", key, got, want)
		}
	}
}

// TestRecent compares the entries in memory with a plain list.
func TestRecent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recent
		var model []Entry
		entry := rapid.Custom(func(t *rapid.T) Entry {
			return Entry{rapid.Int64Range(-2, 2).Draw(t, "hash"), rapid.Uint64Range(1, 20).Draw(t, "seq")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := entry.Draw(t, "entry")
				if !slices.Contains(model, e) { // an event is added once
					r.add(e)
					model = append(model, e)
				}
			},
			"remove": func(t *rapid.T) {
				list := rapid.SliceOfNDistinct(entry, 0, 5, func(e Entry) Entry { return e }).Draw(t, "entries")
				r.remove(list)
				model = slices.DeleteFunc(model, func(e Entry) bool { return slices.Contains(list, e) })
			},
			"": func(t *rapid.T) {
				if r.len() != len(model) {
					t.Fatalf("%d entries, want %d", r.len(), len(model))
				}
				for hash := int64(-2); hash <= 2; hash++ {
					var want []uint64
					for _, e := range model {
						if e.Hash == hash {
							want = append(want, e.Seq)
						}
					}
					got := r.find(hash, nil)
					slices.Sort(got)
					slices.Sort(want)
					if !slices.Equal(got, want) {
						t.Fatalf("hash %d: got %v, want %v", hash, got, want)
					}
				}
				want := slices.DeleteFunc(slices.Clone(model), func(e Entry) bool { return e.Seq > 10 })
				sortEntries(want)
				if got := r.upTo(10); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("upTo: got %v, want %v", got, want)
				}
			},
		})
	})
}
