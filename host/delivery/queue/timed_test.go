package queue

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type entry struct{ at time.Time }

func (a *entry) DueAt() time.Time { return a.at }

// TestTimedIsAList compares the queue with a list: what is due is popped in order, and
// nothing else.
func TestTimedIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := func(label string) time.Time { return time.Unix(rapid.Int64Range(0, 9).Draw(t, label), 0) }
		var q Timed[*entry]
		var want []*entry
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "add", "pop", "remove", "reorder"}).Draw(t, "step") {
			case "add":
				fresh := &entry{second("at")}
				q.Add(fresh)
				want = append(want, fresh)
			case "pop":
				now := second("now")
				got, ok := q.Pop(now)
				if !ok {
					if slices.ContainsFunc(want, func(a *entry) bool { return !a.at.After(now) }) {
						t.Fatal("one is due")
					}
					continue
				}
				i := slices.Index(want, got)
				if i < 0 || got.at.After(now) || slices.ContainsFunc(want, func(a *entry) bool { return a.at.Before(got.at) }) {
					t.Fatalf("popped %v at %v of %v", got, now, want)
				}
				want = slices.Delete(want, i, i+1)
			case "remove":
				if q.Remove(new(entry)) {
					t.Fatal("removed what is not there")
				}
				if len(want) > 0 {
					i := rapid.IntRange(0, len(want)-1).Draw(t, "which")
					if !q.Remove(want[i]) {
						t.Fatalf("entry %d is not there", i)
					}
					want = slices.Delete(want, i, i+1)
				}
			case "reorder":
				for _, a := range want {
					a.at = second("at")
				}
				q.Reorder()
			}
			if q.Len() != len(want) || len(q) != len(want) {
				t.Fatalf("it has %d entries, want %d", q.Len(), len(want))
			}
			for _, a := range want {
				if !slices.Contains(q, a) || q.First().After(a.at) {
					t.Fatalf("the first is due at %v; %v is in it: %v", q.First(), a, slices.Contains(q, a))
				}
			}
		}
	})
}
