package memory

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

// TestGuestMemoryIsCountedAsGarbage: after the memory has grown, and after the instance ends.
func TestGuestMemoryIsCountedAsGarbage(t *testing.T) {
	b := NewBudget(0)
	m := &Linear{Budget: b, Limit: 1 << 20, Guest: new(countingGuest)}
	if err := m.Reserve(65536); err != nil {
		t.Fatal(err)
	}
	m.Reallocate(65536)
	m.Reallocate(131072) // with a quarter more
	if b.garbage.Pending() != 65536 {
		t.Errorf("%d bytes after a copy; want 65536", b.garbage.Pending())
	}
	m.Release()
	if b.garbage.Pending() != 65536+163840 || b.Used() != 0 {
		t.Errorf("%d bytes after the end, %d used; want 229376 and 0", b.garbage.Pending(), b.Used())
	}
}

// countingGuest counts the calls of a copy.
type countingGuest struct {
	looks  int
	awaits int
}

func (g *countingGuest) CheckTime() { g.looks++ }

func (g *countingGuest) Await(tokens chan<- struct{}) {
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
		m := &Linear{Budget: NewBudget(0), Limit: 64 << 20, Guest: guest}
		if err := m.Reserve(int64(tt.size)); err != nil {
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
		if len(m.Budget.copying) != 0 {
			t.Errorf("%d: the next copy waits for ever", tt.size)
		}
	}
}

// TestRefusedMemoryNamesTheLimit: memory beyond a limit is refused, and the reason names the
// limit; a budget takes all of a request or nothing, also in a pool.
func TestRefusedMemoryNamesTheLimit(t *testing.T) {
	const page = 65536
	for _, tt := range []struct {
		name         string
		total, limit int64
		start, to    int64 // pages; to 0: it does not grow
		want         string
	}{
		{"it fits", 10 * page, 10 * page, 1, 2, ""},
		{"its start is over its limit", 10 * page, page, 2, 0, "it needs more bytes of memory from its start than its limit of 65536 (limits.memory)"},
		{"it grows over its limit", 10 * page, page, 1, 2, "it asked for more memory than it may have, 65536 bytes (limits.memory)"},
		{"all together start over the total", page, 10 * page, 2, 0, "the memory for all handlers together, 65536 bytes, is used up (defaults.memory_total)"},
		{"all together grow over the total", page, 10 * page, 1, 2, "the memory for all handlers together, 65536 bytes, is used up (defaults.memory_total)"},
	} {
		engine := NewBudget(tt.total)
		pool := engine.Part()
		m := &Linear{Budget: pool, Limit: tt.limit, Guest: new(countingGuest)}
		err := m.Reserve(tt.start * page)
		if err == nil {
			m.Reallocate(uint64(tt.start * page))
		} else if !fault.Is(err, fault.Exhausted) || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if tt.to > 0 && (m.Reallocate(uint64(tt.to*page)) == nil) != (tt.want != "") {
			t.Errorf("%s: it has %d bytes", tt.name, len(m.Bytes()))
		}
		if m.Reason() != tt.want || (m.Refused == NotRefused) != (tt.want == "") {
			t.Errorf("%s: got %q", tt.name, m.Reason())
		}
		if got := int64(cap(m.Bytes())); engine.Used() != got || pool.Used() != got {
			t.Errorf("%s: it has %d bytes; %d of the engine and %d of the pool are used", tt.name, got, engine.Used(), pool.Used())
		}
		m.Release()
		if engine.Used() != 0 || pool.Used() != 0 {
			t.Errorf("%s: %d and %d bytes are used after its end", tt.name, engine.Used(), pool.Used())
		}
	}
}
