package delivery_test

import (
	"errors"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// A version that is replaced is closed while the next one is open. Its success with
// children is counted before Close returns, because nobody reads its figures later.
func TestClosedSourceHasCountedItsChildren(t *testing.T) {
	f := setUp(t)
	old := f.open(t, "h", delivery.Policy{})
	next := f.open(t, "h", delivery.Policy{})
	f.store.mu.Lock()
	f.store.refuse = errors.New("busy")
	f.store.mu.Unlock()
	f.log.publish(t, "s")
	a, _ := old.Next(nil, nil)
	old.Done(a.Attempt, event.Outcome{Children: childrenOf(t, a.Attempt, 1)})
	closed := make(chan error)
	go func() { closed <- old.Close(t.Context()) }()
	f.store.mu.Lock()
	f.store.refuse = nil
	f.store.mu.Unlock()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if s := old.Stats(); s.Delivered != 1 || s.Failed != 0 {
		t.Errorf("after Close: %d delivered, %d failed; want 1, 0", s.Delivered, s.Failed)
	}
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
