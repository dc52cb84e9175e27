package bus

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
)

// TestRowsAreAMap compares memoryRows with a map, with rows that are plain and
// rows that nearly are.
func TestRowsAreAMap(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	now := time.Now() // with a monotonic reading, which must not matter
	change := map[string]func(*event.Delivery){
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
	kinds := make([]string, 0, len(change))
	for kind := range change {
		kinds = append(kinds, kind)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := newMemoryRows("h")
		want, purged := make(map[uint64]event.Delivery), make(map[uint64]bool)
		seq := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 40).Draw(t, "seq") + rapid.SampledFrom([]uint64{0, 1 << 40, math.MaxUint64 - 40}).Draw(t, "far")
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				d := event.Delivery{Handler: "h", Seq: seq.Draw(t, "seq"), Status: event.StatusOK, Attempts: 1,
					Result: rapid.SampledFrom([]string{"", "1", `{"a":"b"}`}).Draw(t, "result"), Fuel: rapid.Uint64().Draw(t, "fuel"),
					Duration: time.Duration(rapid.IntRange(-9, 9).Draw(t, "duration")), At: at.Add(time.Duration(rapid.IntRange(0, 99).Draw(t, "at")))}
				d.FirstAttempt = d.At.Add(-d.Duration)
				change[rapid.SampledFrom(kinds).Draw(t, "kind")](&d)
				m.put(&d)
				want[d.Seq] = d
				delete(purged, d.Seq) // a new outcome of a purged one is a dead letter again
			},
			"purge": func(t *rapid.T) {
				for n, row := range m.full {
					row.purged = true
					m.full[n], purged[n] = row, true
				}
			},
			"remove": func(t *rapid.T) {
				n := seq.Draw(t, "seq")
				m.remove(n)
				delete(want, n)
				delete(purged, n)
			},
			"remove some": func(t *rapid.T) {
				odd := rapid.Uint64Range(0, 1).Draw(t, "odd")
				for n := range m.seqs {
					if n%2 == odd {
						m.remove(n)
						delete(want, n)
						delete(purged, n)
					}
				}
			},
			"": func(t *rapid.T) {
				seen, plain := 0, 0
				for n := range m.seqs {
					seen++
					if got, found := m.get(n); !found || got.Seq != n {
						t.Fatalf("it yields %d and has %+v", n, got)
					}
				}
				if seen != len(want) || m.len() != len(want) {
					t.Fatalf("it yields %d and counts %d, want %d", seen, m.len(), len(want))
				}
				for n, d := range want {
					got, found := m.get(n)
					if !found || !same(got.Delivery, d) || got.purged != purged[n] {
						t.Fatalf("%d is %+v, want %+v", n, got, d)
					}
				}
				for n, row := range m.others {
					if isPlain(&row.Delivery) || !same(row.Delivery, want[n]) {
						t.Fatalf("%d is among the others: %+v", n, row)
					}
				}
				for number, page := range m.pages {
					n := 0
					for i := range page.rows {
						if page.rows[i].at != 0 {
							n++
						}
					}
					if page.number != number || page.n != n || n == 0 {
						t.Fatalf("page %d is number %d and counts %d, want %d", number, page.number, page.n, n)
					}
					plain += n
				}
				if m.plain != plain || m.latest != nil && m.pages[m.latest.number] != m.latest {
					t.Fatalf("it counts %d plain rows, want %d; the latest page: %+v", m.plain, plain, m.latest)
				}
				if len(want) == 0 && len(m.pages) > 0 {
					t.Fatal("empty pages are kept")
				}
			},
		})
	})
}

// same compares two deliveries without children.
func same(a, b event.Delivery) bool {
	times := a.At.Equal(b.At) && a.Due.Equal(b.Due) && a.FirstAttempt.Equal(b.FirstAttempt)
	a.At, a.Due, a.FirstAttempt, a.Children = b.At, b.Due, b.FirstAttempt, nil
	return times && a.Handler == b.Handler && a.Seq == b.Seq && a.Status == b.Status && a.Attempts == b.Attempts && a.Result == b.Result &&
		a.ErrorClass == b.ErrorClass && a.ErrorMessage == b.ErrorMessage && a.Duration == b.Duration && a.Fuel == b.Fuel
}
