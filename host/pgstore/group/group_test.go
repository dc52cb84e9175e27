package group_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/group"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type item struct{ caller, n, size int }

// Every write is done once, in the order of its caller, and no group is over its bounds.
func TestWritesOfManyCallers(t *testing.T) {
	const callers, each = 16, 200
	var last [callers]int
	groups := 0
	q := group.New(group.Config[*item]{
		Size: func(it *item) (int, int64) { return it.size, 1 },
		Write: func(list []*item) {
			groups++
			entries := 0
			for _, it := range list {
				entries += it.size
				if it.n != last[it.caller]+1 {
					t.Errorf("caller %d: write %d after %d", it.caller, it.n, last[it.caller])
				}
				last[it.caller] = it.n
			}
			if entries > 1024 && len(list) > 1 {
				t.Errorf("a group of %d entries", entries)
			}
		},
	})
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range each {
				if err := q.Do(t.Context(), &item{c, n + 1, 1 + n*7%300}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	q.Close()
	for c, n := range last {
		if n != each {
			t.Errorf("caller %d: %d writes", c, n)
		}
	}
	if groups > callers*each {
		t.Errorf("%d groups", groups)
	}
}

// The end of a context withdraws a write that waits, not one that has begun.
func TestEndedContext(t *testing.T) {
	began, proceed := make(chan string), make(chan struct{})
	var done []string
	q := group.New(group.Config[string]{
		Size: func(string) (int, int64) { return 1, 1 },
		Write: func(list []string) {
			done = append(done, list...)
			began <- list[0]
			<-proceed
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() { results <- q.Do(ctx, "first") }()
	<-began
	waits := make(chan struct{})
	go func() {
		close(waits)
		results <- q.Do(ctx, "second")
	}()
	<-waits
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("one that waits: got %v", err)
	}
	close(proceed)
	if err := <-results; err != nil {
		t.Errorf("one that had begun: got %v", err)
	}
	q.Close()
	if len(done) != 1 {
		t.Errorf("done: %v", done)
	}
}

func TestClosed(t *testing.T) {
	q := group.New(group.Config[int]{Size: func(int) (int, int64) { return 1, 1 }, Write: func([]int) {}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if err := q.Do(t.Context(), 1); err != nil {
					if !fault.Is(err, fault.Unavailable) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	q.Close()
	q.Close()
	wg.Wait()
}
