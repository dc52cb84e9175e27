package extism_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Blocks are apart, zero at first, and used again when they are freed.
func TestBlocks(t *testing.T) {
	g := newGuest(64 << 20)
	if g.call("alloc", 0) != 0 || g.call("length", 0) != 0 {
		t.Error("an empty block is not 0")
	}
	sizes := []uint64{1, 63, 64, 65, 128, 1000, 1024, 1025, 4097, 65536, 1 << 20}
	blocks := make(map[uint64]uint64)
	for round := range 3 {
		for _, n := range sizes {
			b := g.call("alloc", n)
			if _, twice := blocks[b]; twice || b == 0 || b%8 != 0 {
				t.Fatalf("round %d: a block of %d is at %d", round, n, b)
			}
			for i := uint64(0); i < n; i += max(1, n/7) {
				if g.call("load_u8", b+i) != 0 {
					t.Fatalf("round %d: a new block of %d is not zero at %d", round, n, i)
				}
				g.call("store_u8", b+i, uint64(round)+1)
			}
			g.call("store_u8", b+n-1, uint64(round)+1)
			blocks[b] = n
		}
		for b, n := range blocks {
			if g.call("length", b) != n || g.call("length_unsafe", b) != n || g.call("load_u8", b+n-1) == 0 {
				t.Errorf("a block of %d at %d has the length %d", n, b, g.call("length", b))
			}
		}
		top := g.call("memory_bytes")
		for b := range blocks {
			g.call("free", b)
			g.call("free", b)
			if g.call("length", b) != 0 {
				t.Error("a freed block has a length")
			}
		}
		if round > 0 && g.call("memory_bytes") > top {
			t.Error("the memory grows although blocks are freed")
		}
		clear(blocks)
	}
	before := g.call("memory_bytes")
	for range 100_000 {
		g.call("free", g.call("alloc", 700))
	}
	if got := g.call("memory_bytes"); got > before+1024 {
		t.Errorf("the memory grew from %d to %d", before, got)
	}
}

// A guest that asks for more than it may have gets 0, and one for which a value has no
// memory is trapped.
func TestMemoryIsBounded(t *testing.T) {
	g := newGuest(1 << 16)
	n := 0
	for g.call("alloc", 100) != 0 {
		n++
	}
	if n < 400 || n > 512 || len(g.host.memory) > 1<<16 {
		t.Errorf("%d blocks of 100 bytes in %d", n, len(g.host.memory))
	}
	for _, size := range []uint64{1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 63, 1<<64 - 1, 1<<64 - 64} {
		if got := g.call("alloc", size); got != 0 {
			t.Errorf("alloc of %d gives %d", size, got)
		}
	}
	g = newGuest(1 << 10)
	g.host.config["large"] = strings.Repeat("x", 2048)
	if got := g.trap("config_get", g.block("large")); got != "out of memory" {
		t.Errorf("a value without memory gives %q", got)
	}
}

// Offsets and lengths of any kind: loads give 0 and stores do nothing outside of the
// memory, and what names a block or a range that there is not traps.
func TestHostileOffsets(t *testing.T) {
	g := newGuest(1 << 20)
	g.Begin("input")
	b := g.block("key")
	end := g.call("memory_bytes")
	image := bytes.Clone(g.host.memory)
	far := []uint64{1, 7, 63, end, end + 64, 1 << 20, 1<<32 - 8, 1 << 32, 1 << 62, 1 << 63, 1<<64 - 64, 1<<64 - 8, 1<<64 - 1}
	for _, offset := range append(far, 0, end-1, end-7) {
		inside := offset == end-1 || offset == end-7 // for one byte
		if !inside && g.call("load_u8", offset) != 0 || g.call("load_u64", offset) != 0 {
			t.Errorf("a load at %d gives something", offset)
		}
		if !inside {
			g.call("store_u8", offset, 0xff)
		}
		g.call("store_u64", offset, 1<<64-1)
		if g.call("input_load_u64", offset) != 0 || offset > 4 && g.call("input_load_u8", offset) != 0 {
			t.Errorf("a load of the input at %d gives something", offset)
		}
		g.call("free", offset)
		if g.call("length", offset) != 0 {
			t.Errorf("there is a block at %d", offset)
		}
	}
	if !bytes.Equal(image, g.host.memory) {
		t.Error("a store outside has changed the memory")
	}
	if got := g.text(b); got != "key" {
		t.Errorf("the block is %q", got)
	}
	for _, offset := range append(far, b+1, b+64) {
		for name, f := range g.calls {
			switch {
			case name == "var_set":
				if g.trap(name, offset, b) == "" || g.trap(name, b, offset) == "" {
					t.Errorf("%s takes %d", name, offset)
				}
			case name == "http_request":
				if g.trap(name, offset, b) == "" || g.trap(name, b, offset) == "" {
					t.Errorf("%s takes %d", name, offset)
				}
			case name == "config_get" || name == "var_get" || name == "error_set" || strings.HasPrefix(name, "log_"):
				if got := g.trap(name, offset); !strings.Contains(got, fmt.Sprintf("there is no block at %d", offset)) {
					t.Errorf("%s of %d: %q", name, offset, got)
				}
			case name == "output_set" || name == "input_set":
				for _, length := range []uint64{end, 1 << 32, 1 << 63, 1<<64 - 1, -offset, -offset + 1} {
					if length != 0 && g.trap(name, offset, length) == "" {
						t.Errorf("%s takes the range at %d of %d", name, offset, length)
					}
				}
				if g.trap(name, offset, 0) != "" {
					t.Errorf("%s does not take an empty range", name)
				}
			case len(f.Params) > 2:
				t.Errorf("%s is not tested", name)
			}
		}
	}
}
