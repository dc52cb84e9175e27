package queue

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLanesAreAMap compares lanes with a map.
func TestLanesAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type task struct{ _ uint64 } // of a size, so that pointers differ
		var l Lanes[task]
		want := make(map[uint64]*task)
		// Numbers repeat, and many belong to the same entries, also at the table's end.
		numbers := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 200).Draw(t, "number")<<rapid.SampledFrom([]int{0, 6, 40}).Draw(t, "shift") -
				rapid.SampledFrom([]uint64{0, 3}).Draw(t, "before")
		})
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			n := numbers.Draw(t, "n")
			if rapid.IntRange(0, 2).Draw(t, "put") > 0 {
				fresh := &task{}
				if got := l.Put(n, fresh); got != want[n] {
					t.Fatalf("put(%d) returns %p, want %p", n, got, want[n])
				}
				want[n] = fresh
			} else {
				l.Remove(n)
				delete(want, n)
			}
			if l.n != len(want) {
				t.Fatalf("it counts %d, want %d", l.n, len(want))
			}
			for n, w := range want {
				if got := l.Last(n); got != w {
					t.Fatalf("get(%d) returns %p, want %p", n, got, w)
				}
			}
			if probe := numbers.Draw(t, "probe"); l.Last(probe) != want[probe] {
				t.Fatalf("get(%d) returns %p, want %p", probe, l.Last(probe), want[probe])
			}
		}
	})
}

// TestFIFOIsAList compares a FIFO with a list.
func TestFIFOIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type task struct{ seq int }
		var q FIFO[task]
		var want []*task
		for n := range rapid.IntRange(1, 3000).Draw(t, "steps") {
			fresh := &task{n}
			switch rapid.SampledFrom([]string{"push", "push", "push", "pop", "pop", "front", "remove"}).Draw(t, "step") {
			case "push":
				q.Push(fresh)
				want = append(want, fresh)
			case "front":
				q.PushFront(fresh)
				want = slices.Insert(want, 0, fresh)
			case "pop":
				got := q.Pop()
				if len(want) == 0 {
					if got != nil {
						t.Fatalf("popped %v of none", got)
					}
					continue
				}
				if got != want[0] {
					t.Fatalf("popped %v, want %v", got, want[0])
				}
				want = want[1:]
			case "remove":
				if q.Remove(fresh) {
					t.Fatal("removed what is not there")
				}
				if len(want) > 0 {
					i := rapid.IntRange(0, len(want)-1).Draw(t, "at")
					if !q.Remove(want[i]) {
						t.Fatalf("entry %d is not there", i)
					}
					want = slices.Delete(slices.Clone(want), i, i+1)
				}
			}
			if q.Len() != len(want) || !slices.Equal(q.All(), want) || len(want) > 0 && q.Peek() != want[0] {
				t.Fatalf("it has %d entries, want %d", q.Len(), len(want))
			}
		}
	})
}
