package sandbox

import "testing"

// TestGuestMemoryIsCountedAsGarbage: after the memory has grown, and after the instance ends.
func TestGuestMemoryIsCountedAsGarbage(t *testing.T) {
	b := newBudget(0)
	m := &linearMemory{budget: b, limit: 1 << 20, guest: new(countingGuest)}
	if err := m.reserve(65536); err != nil {
		t.Fatal(err)
	}
	m.Reallocate(65536)
	m.Reallocate(131072) // with a quarter more
	if b.garbage.Pending() != 65536 {
		t.Errorf("%d bytes after a copy; want 65536", b.garbage.Pending())
	}
	m.release()
	if b.garbage.Pending() != 65536+163840 || b.used.Load() != 0 {
		t.Errorf("%d bytes after the end, %d used; want 229376 and 0", b.garbage.Pending(), b.used.Load())
	}
}

// countingGuest counts the calls of a copy.
type countingGuest struct {
	looks  int
	awaits int
}

func (g *countingGuest) checkTime() { g.looks++ }

func (g *countingGuest) await(tokens chan<- struct{}) {
	g.awaits++
	tokens <- struct{}{}
}

// TestMemoryIsCopiedInChunks: of 1 MiB between two looks at the clock; memories of 4 MiB
// or more wait for each other; all bytes are copied.
func TestMemoryIsCopiedInChunks(t *testing.T) {
	for _, tt := range []struct{ size, looks, awaits int }{
		{65536, 1, 0},
		{1048576, 1, 0},
		{1048576 + 65536, 2, 0},
		{4194304 - 65536, 4, 0},
		{4194304, 4, 1},
		{4194304 + 65536, 5, 1},
	} {
		guest := new(countingGuest)
		m := &linearMemory{budget: newBudget(0), limit: 64 << 20, guest: guest}
		if err := m.reserve(int64(tt.size)); err != nil {
			t.Fatal(err)
		}
		for i, buf := 0, m.Reallocate(uint64(tt.size)); i < len(buf); i++ {
			buf[i] = byte(i>>16 + i%251)
		}
		grown := m.Reallocate(uint64(tt.size) + 65536)
		if len(grown) != tt.size+65536 || guest.looks != tt.looks || guest.awaits != tt.awaits {
			t.Errorf("%d: %d bytes, %d looks, %d waits; want %d looks and %d waits", tt.size, len(grown), guest.looks, guest.awaits, tt.looks, tt.awaits)
		}
		for i, b := range grown {
			want := byte(0)
			if i < tt.size {
				want = byte(i>>16 + i%251)
			}
			if b != want {
				t.Fatalf("%d: byte %d is %d; want %d", tt.size, i, b, want)
			}
		}
		if len(m.budget.copying) != 0 {
			t.Errorf("%d: the next copy waits for ever", tt.size)
		}
	}
}

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
