package namelock

import (
	"context"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

func TestLockIsOfOneName(t *testing.T) {
	var l Locks
	unlock, err := l.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Lock(t.Context(), "b"); err != nil {
		t.Fatalf("another name: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Lock(ended, "a"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a locked name: %v", err)
	}
	unlock()
	if _, err := l.Lock(t.Context(), "a"); err != nil {
		t.Errorf("an unlocked name: %v", err)
	}
}
