package bus

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
)

// TestOutcomesAreAMap compares outcomes with a map, with deliveries that are plain
// and deliveries that nearly are.
func TestOutcomesAreAMap(t *testing.T) {
	change := deviations()
	kinds := make([]string, 0, len(change))
	for kind := range change {
		kinds = append(kinds, kind)
	}
	rapid.Check(t, func(t *rapid.T) {
		o := newOutcomes("h")
		want, purged := make(map[uint64]event.Delivery), make(map[uint64]bool)
		seq := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 40).Draw(t, "seq") + rapid.SampledFrom([]uint64{0, 1 << 40, math.MaxUint64 - 40}).Draw(t, "far")
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				d := event.Delivery{Handler: "h", Seq: seq.Draw(t, "seq"), Status: event.StatusOK, Attempts: 1,
					SHA256: rapid.SampledFrom([]string{"", "a"}).Draw(t, "module"),
					Result: rapid.SampledFrom([]string{"", "1", `{"a":"b"}`}).Draw(t, "result"), Fuel: rapid.Uint64().Draw(t, "fuel"),
					Duration: time.Duration(rapid.IntRange(-9, 9).Draw(t, "duration")), At: outcomeTime().Add(time.Duration(rapid.IntRange(0, 99).Draw(t, "at")))}
				d.FirstAttempt = d.At.Add(-d.Duration)
				change[rapid.SampledFrom(kinds).Draw(t, "kind")](&d)
				o.put(&d)
				want[d.Seq] = d
				delete(purged, d.Seq) // a new outcome of a purged one is a dead letter again
			},
			"put all": func(t *rapid.T) {
				list := event.Successes{Handler: "h", Digest: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "module")}
				for _, n := range rapid.SliceOfNDistinct(seq, 1, 60, rapid.ID[uint64]).Draw(t, "seqs") {
					of := event.Success{At: outcomeTime().Add(time.Duration(rapid.IntRange(0, 99).Draw(t, "at"))), Fuel: n}
					if rapid.IntRange(0, 9).Draw(t, "when") == 0 {
						of.At = outcomeTime().AddDate(3000, 0, 0) // beyond what a plain outcome can express
					}
					list.Append(n, of, []byte(rapid.SampledFrom([]string{"", "1", `{"a":"b"}`}).Draw(t, "result")))
				}
				o.putAll(&list)
				for i := range list.List {
					d := list.Delivery(i)
					want[d.Seq] = d
					delete(purged, d.Seq)
				}
				clear(list.List)
				clear(list.Results)
			},
			"purge": func(t *rapid.T) {
				for n, d := range o.others {
					d.purged = true
					o.others[n], purged[n] = d, true
				}
			},
			"remove": func(t *rapid.T) {
				n := seq.Draw(t, "seq")
				o.remove(func(seq uint64) bool { return seq == n })
				delete(want, n)
				delete(purged, n)
			},
			"remove many": func(t *rapid.T) {
				odd := rapid.Uint64Range(0, 1).Draw(t, "odd")
				o.remove(func(seq uint64) bool { return seq%2 == odd })
				for n := range want {
					if n%2 == odd {
						delete(want, n)
						delete(purged, n)
					}
				}
			},
			"": func(t *rapid.T) {
				seen := make(map[uint64]bool)
				for n, got := range o.all {
					if seen[n] || got.Seq != n || !same(got.Delivery, want[n]) || got.purged != purged[n] {
						t.Fatalf("it yields %d (seen: %v) with %+v, want %+v", n, seen[n], got, want[n])
					}
					seen[n] = true
				}
				if len(seen) != len(want) {
					t.Fatalf("it yields %d deliveries, want %d", len(seen), len(want))
				}
				for n, d := range want {
					got, found := o.get(n)
					if !found || !same(got.Delivery, d) || got.purged != purged[n] {
						t.Fatalf("%d is %+v, want %+v", n, got, d)
					}
				}
				if !slices.IsSortedFunc(o.plain, func(a, b plainOutcome) int { return cmp.Compare(a.seq, b.seq) }) {
					t.Fatal("the plain outcomes are out of order")
				}
			},
		})
	})
}

func outcomeTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) }

// deviations change a plain success, such that nearly all are no longer plain.
func deviations() map[string]func(*event.Delivery) {
	at := outcomeTime()
	now := time.Now() // with a monotonic reading, which must not matter
	return map[string]func(*event.Delivery){
		"": func(*event.Delivery) {},
		"dead": func(d *event.Delivery) {
			d.Status, d.ErrorClass, d.ErrorMessage = event.StatusDead, event.ClassTrap, "no"
		},
		"attempts":      func(d *event.Delivery) { d.Attempts = 2 },
		"message":       func(d *event.Delivery) { d.ErrorMessage = "odd" },
		"class":         func(d *event.Delivery) { d.ErrorClass = event.ClassRetry },
		"due":           func(d *event.Delivery) { d.Due = at },
		"first attempt": func(d *event.Delivery) { d.FirstAttempt = d.FirstAttempt.Add(-1) },
		"no attempt":    func(d *event.Delivery) { d.FirstAttempt = time.Time{} },
		"epoch":         func(d *event.Delivery) { d.At = time.Unix(0, 0).UTC(); d.FirstAttempt = d.At.Add(-d.Duration) },
		"no time":       func(d *event.Delivery) { d.At = time.Time{}; d.FirstAttempt = d.At.Add(-d.Duration) },
		"now":           func(d *event.Delivery) { d.At = now; d.FirstAttempt = now.Add(-d.Duration) },
		"here":          func(d *event.Delivery) { d.At = d.At.Local() },
		"long":          func(d *event.Delivery) { d.Duration = 1 << 62; d.FirstAttempt = d.At.Add(-d.Duration) },
		"far":           func(d *event.Delivery) { d.At = at.AddDate(3000, 0, 0); d.FirstAttempt = d.At.Add(-d.Duration) },
	}
}

// same compares two deliveries without children.
func same(a, b event.Delivery) bool {
	times := a.At.Equal(b.At) && a.Due.Equal(b.Due) && a.FirstAttempt.Equal(b.FirstAttempt)
	a.At, a.Due, a.FirstAttempt, a.Children = b.At, b.Due, b.FirstAttempt, nil
	return times && a.Handler == b.Handler && a.Seq == b.Seq && a.Status == b.Status && a.Attempts == b.Attempts && a.Result == b.Result &&
		a.ErrorClass == b.ErrorClass && a.ErrorMessage == b.ErrorMessage && a.Duration == b.Duration && a.Fuel == b.Fuel && a.SHA256 == b.SHA256
}
