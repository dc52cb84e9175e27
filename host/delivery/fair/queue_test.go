package fair_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery/fair"
)

// TestReadyEntriesFollowWeights: each round takes as many entries of a value as its weight.
func TestReadyEntriesFollowWeights(t *testing.T) {
	q := fair.New[string](&fair.Policy{Weights: map[string]int{"gold": 3, "": 2}})
	for i := range 6 {
		for _, value := range []string{"gold", "silver", ""} {
			q.Push(q.Group(value), new(fmt.Sprint(value, i)))
		}
	}
	got := ""
	for range 12 {
		got += *q.Pop() + " "
	}
	if want := "gold0 gold1 gold2 silver0 0 1 gold3 gold4 gold5 silver1 2 3 "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	q.SetPolicy(&fair.Policy{Weights: map[string]int{"silver": 2}})
	got = ""
	for q.Len() > 0 {
		got += *q.Pop() + " "
	}
	if want := "silver2 4 silver3 silver4 5 silver5 "; got != want {
		t.Errorf("after a change of the weights got %s, want %s", got, want)
	}
}

// entry is a ready entry of a model.
type entry struct {
	value  string
	number int
}

// TestNoValueWaitsLongerThanARound: the entries of a value come in order, and a value with
// ready entries waits at most for one round of the others.
func TestNoValueWaitsLongerThanARound(t *testing.T) {
	weights := map[string]int{"a": 1, "b": 2, "c": 5, "d": 1}
	round := 1 + 2 + 5 + 1
	rapid.Check(t, func(t *rapid.T) {
		q := fair.New[entry](&fair.Policy{Weights: weights})
		ready, waited, number := make(map[string][]*entry), make(map[string]int), 0
		value := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		total := func() (n int) {
			for _, list := range ready {
				n += len(list)
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				v := value.Draw(t, "value")
				number++
				e := &entry{v, number}
				q.Push(q.Group(v), e)
				ready[v] = append(ready[v], e)
			},
			"first": func(t *rapid.T) {
				v := value.Draw(t, "value")
				number++
				e := &entry{v, number}
				q.PushFront(q.Group(v), e)
				if got := q.Pop(); got != e {
					t.Fatalf("got %+v, want %+v", got, e)
				}
				clear(waited) // it was served out of the order
			},
			"return": func(t *rapid.T) {
				v := value.Draw(t, "value")
				number++
				e := &entry{v, number}
				q.Return(q.Group(v), e)
				ready[v] = append([]*entry{e}, ready[v]...)
			},
			"remove": func(t *rapid.T) {
				v := value.Draw(t, "value")
				if len(ready[v]) == 0 {
					return
				}
				i := rapid.IntRange(0, len(ready[v])-1).Draw(t, "which")
				e := ready[v][i]
				ready[v] = append(ready[v][:i:i], ready[v][i+1:]...)
				if !q.Remove(q.Group(v), e) || q.Remove(q.Group(v), e) {
					t.Fatalf("%+v was not removed once", e)
				}
				waited[v] = 0
			},
			"pop": func(t *rapid.T) {
				first := q.Peek()
				e := q.Pop()
				if e != first {
					t.Fatalf("got %+v, and saw %+v", e, first)
				}
				if e == nil {
					if total() > 0 {
						t.Fatalf("%d are ready, and none was taken", total())
					}
					return
				}
				if first := ready[e.value][0]; first != e {
					t.Fatalf("got %+v before %+v", e, first)
				}
				ready[e.value] = ready[e.value][1:]
				waited[e.value] = 0
				for v, list := range ready {
					if v == e.value || len(list) == 0 {
						waited[v] = 0
					} else if waited[v]++; waited[v] > 2*round {
						t.Fatalf("%s has waited for %d entries of others", v, waited[v])
					}
				}
			},
			"": func(t *rapid.T) {
				if q.Len() != total() {
					t.Fatalf("%d are ready, want %d", q.Len(), total())
				}
			},
		})
	})
}
