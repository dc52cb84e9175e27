package store

import (
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// gatherer is a writer's queue without a writer.
func gatherer(callers int, sizes ...int) (s *Store, first *op) {
	s = &Store{ops: make(chan *op, maxQueued), gathered: make(chan struct{}, 1), closing: make(chan struct{}), callers: callers}
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
					if first, s.carried = s.carried, nil; first == nil {
						first = <-s.ops
					}
				}
				if got := len(s.gather(nil, first)); got != want {
					t.Errorf("group %d: got %d operations, want %d", i+1, got, want)
				}
				first = nil
			}
			if len(s.ops) > 0 || s.carried != nil {
				t.Error("operations are left")
			}
		})
	}
}

// TestGatherEnds: a group ends by its age, however many callers are expected, and
// although new ones keep coming.
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

// TestGatherLingersOnce: the writer lingers once for callers that do not come, and not
// at all with an empty group.
func TestGatherLingersOnce(t *testing.T) {
	s, lone := gatherer(64, 1)
	s.took = time.Microsecond
	if got := s.gather(nil, lone); len(got) != 1 || !s.expired {
		t.Errorf("callers that do not come: got %d operations, expired %v", len(got), s.expired)
	}
	if s.expect(1, time.Second); s.callers != 1 {
		t.Errorf("then %d callers are expected", s.callers)
	}
	if got := s.gather(nil, &op{events: 1}); len(got) != 1 || s.expired {
		t.Errorf("the next one: got %d operations, expired %v", len(got), s.expired)
	}
	s, gone := gatherer(64, 1)
	gone.state.Store(withdrawn)
	if got := s.gather(nil, gone); len(got) != 0 || s.expired {
		t.Errorf("a withdrawn operation: got %d operations, expired %v", len(got), s.expired)
	}
}

// TestAwait: the writer is woken by the last caller it waits for, by the timer, and by
// Close.
func TestAwait(t *testing.T) {
	const long = time.Minute // only a hang reaches it
	await := func(s *Store, n int) chan bool {
		done := make(chan bool, 1)
		go func() { done <- s.await(n, long) }()
		return done
	}
	t.Run("there already", func(t *testing.T) {
		s, _ := gatherer(0, 1, 1, 1, 1)
		if !s.await(3, long) {
			t.Error("got false")
		}
	})
	t.Run("they come", func(t *testing.T) {
		s, _ := gatherer(0, 1)
		done := await(s, 30)
		for range 30 {
			s.ops <- &op{events: 1}
			s.notifyWriter()
		}
		if !<-done {
			t.Error("got false")
		}
		if s.awaited.Load() != 0 {
			t.Error("callers still check for a waiting writer")
		}
	})
	t.Run("a late notification", func(t *testing.T) {
		s, _ := gatherer(0, 1)
		s.gathered <- struct{}{} // for an await that had ended
		done := await(s, 1)
		s.ops <- &op{events: 1}
		s.notifyWriter()
		if !<-done {
			t.Error("got false")
		}
	})
	t.Run("they do not come", func(t *testing.T) {
		s, _ := gatherer(0, 1, 1)
		if s.await(2, time.Microsecond) || s.await(2, 0) {
			t.Error("got true, with one of two")
		}
	})
	t.Run("they come without a notification", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for queued, want := range map[int]bool{1: false, 2: true, 3: true} {
				s, _ := gatherer(0, 1)
				done := await(s, 2)
				synctest.Wait()
				for range queued {
					s.ops <- &op{events: 1}
				}
				if got := <-done; got != want { // after the limit
					t.Errorf("%d of 2: got %v", queued, got)
				}
			}
		})
	})
	t.Run("close", func(t *testing.T) {
		s, _ := gatherer(0, 1)
		done := await(s, 2)
		close(s.closing)
		if <-done {
			t.Error("got true")
		}
	})
}

func TestExpect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		before  int
		expired bool
		came    int
		want    int
	}{
		{"a lone publisher", 1, false, 1, 1},
		{"more", 1, false, 64, 64},
		{"fewer", 64, false, 1, 55},
		{"down to one", 2, false, 1, 1},
		{"callers that did not come", 64, true, 1, 1},
		{"more than a group has", 1, false, 1000, maxGroupEvents},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Store{callers: tt.before, expired: tt.expired}
			if s.expect(tt.came, time.Second); s.callers != tt.want || s.took != time.Second {
				t.Errorf("got %d, %v, want %d", s.callers, s.took, tt.want)
			}
		})
	}
}

// TestCloseAmidPublishers: Close leaves no publisher waiting, and each gets its real
// result.
func TestCloseAmidPublishers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	for round := range 5 {
		s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
		if err != nil {
			t.Fatal(err)
		}
		var publishers sync.WaitGroup
		var mu sync.Mutex
		stored, refused := make(map[string]bool), make(map[string]bool)
		under := make(chan struct{})
		for i := range 32 {
			publishers.Go(func() {
				for n := 0; ; n++ {
					key := strconv.Itoa(round) + "." + strconv.Itoa(i) + "." + strconv.Itoa(n)
					_, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)})
					mu.Lock()
					if err == nil {
						stored[key] = true
						if len(stored) == 100 {
							close(under)
						}
						mu.Unlock()
						continue
					}
					refused[key] = true
					mu.Unlock()
					if !fault.Is(err, fault.Unavailable) {
						t.Errorf("got %v, want unavailable", err)
					}
					return
				}
			})
		}
		<-under
		closed := s.Close()
		publishers.Wait()
		s, err = Open(t.Context(), Config{Window: newWindow(), Path: path})
		if err = errors.Join(closed, err); err != nil {
			t.Fatal(err)
		}
		for _, half := range []struct {
			keys   map[string]bool
			stored bool
		}{{stored, true}, {refused, false}} {
			var again []*event.Event
			for key := range half.keys {
				again = append(again, makeEvent(t, key))
			}
			receipts, err := s.Append(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range receipts {
				if r.Duplicate != half.stored {
					t.Errorf("%s: got duplicate %v, want %v", r.IdempotencyKey, r.Duplicate, half.stored)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
