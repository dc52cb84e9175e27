package store

import (
	"testing"
)

// gatherer is a writer's queue without a writer.
func gatherer(callers int, sizes ...int) (s *Store, first *op) {
	s = &Store{ops: make(chan *op, maxQueued), callers: callers}
	for _, n := range sizes {
		s.ops <- &op{events: n}
	}
	return s, <-s.ops
}

func TestGather(t *testing.T) {
	repeat := func(n, size int) []int {
		sizes := make([]int, n)
		for i := range sizes {
			sizes[i] = size
		}
		return sizes
	}
	for _, tt := range []struct {
		name    string
		callers int
		sizes   []int
		groups  []int // operations of each
	}{
		{"a lone publisher", 1, []int{1}, []int{1}},
		{"all that waits", 1, repeat(100, 1), []int{100}},
		{"at most 512 events", 64, repeat(1000, 1), []int{512, 488}},
		{"not over 512 events", 2, []int{500, 12, 500, 13, 1}, []int{2, 1, 2}},
		{"a large one alone", 2, []int{1, 5000, 1, 5000}, []int{1, 1, 1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, first := gatherer(tt.callers, tt.sizes...)
			for i, want := range tt.groups {
				if first == nil {
					if first, s.held = s.held, nil; first == nil {
						first = <-s.ops
					}
				}
				if got := len(s.gather(nil, first)); got != want {
					t.Errorf("group %d: got %d operations, want %d", i+1, got, want)
				}
				first = nil
			}
			if len(s.ops) > 0 || s.held != nil {
				t.Error("some were left")
			}
		})
	}
}

// TestGatherEnds: a group ends by its age, however many callers were expected,
// and although new ones keep coming.
func TestGatherEnds(t *testing.T) {
	s, first := gatherer(1_000_000, 1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			gone := &op{events: 1} // taken back, so that the group does not fill up
			gone.state.Store(withdrawn)
			select {
			case s.ops <- gone:
			case <-stop:
				return
			}
		}
	}()
	if got := s.gather(nil, first); len(got) != 1 || got[0] != first {
		t.Errorf("got %d operations", len(got))
	}
	close(stop)
	<-stopped
}
