package sandbox

import "testing"

// TestBackoffDoubles: from its minimum to its maximum, and from its minimum once cleared.
func TestBackoffDoubles(t *testing.T) {
	var b backoff
	for i, want := range []int64{2, 4, 8, 16, 32, 64, 100, 100} {
		if got := b.next(restartBackoffMin, restartBackoffMax).Milliseconds(); got != want {
			t.Errorf("wait %d is %d ms; want %d", i+1, got, want)
		}
	}
	b = 0
	if got := b.next(restartBackoffMin, restartBackoffMax).Milliseconds(); got != 2 {
		t.Errorf("after success it is %d ms; want 2", got)
	}
	b = 0
	for i, want := range []int64{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		if got := b.next(startBackoffMin, startBackoffMax).Milliseconds(); got != want {
			t.Errorf("wait %d after a failed start is %d ms; want %d", i+1, got, want)
		}
	}
}
