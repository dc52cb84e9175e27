package meter

import (
	"testing"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// TestWeights: the weight of every opcode, in literal numbers. Opcodes that are
// not listed weigh 1.
func TestWeights(t *testing.T) {
	want := map[wasmbin.Op]int64{
		0x00: 0, 0x01: 0, 0x02: 0, 0x03: 0, 0x05: 0, 0x0b: 0, 0x0f: 0, 0x1a: 0, // unreachable to end, return, drop
		0x0e: 2, 0x11: 8, 0x25: 2, 0x26: 2, 0x40: 192, // br_table, call_indirect, tables, memory.grow; ref.func becomes global.get
		0x6d: 8, 0x6e: 8, 0x6f: 8, 0x70: 8, 0x7f: 8, 0x80: 8, 0x81: 8, 0x82: 8, // integer division
		0x91: 16, 0x95: 8, 0x9f: 16, 0xa3: 8, // float division and square root
		0xfc08: 8, 0xfc09: 8, 0xfc0a: 64, 0xfc0b: 64, 0xfc0c: 8, 0xfc0d: 8, 0xfc0e: 8, 0xfc0f: 192, 0xfc11: 8,
		0xfd62: 12, 0xfd6b: 12, 0xfd6c: 12, 0xfd6d: 12, 0xfdcb: 12, 0xfdcc: 12, 0xfdcd: 12, 0xfdd5: 12,
		0xfde3: 12, 0xfde7: 12, 0xfdef: 12, 0xfdf3: 12, 0xfdf8: 12, 0xfdf9: 12, 0xfdfa: 12, 0xfdfb: 12, 0xfdfc: 12, 0xfdfd: 12, 0xfdfe: 12, 0xfdff: 12,
	}
	every(func(op wasmbin.Op) {
		w, listed := want[op]
		if !listed {
			w = 1
		}
		if got := weight(op); got != w {
			t.Errorf("%#x weighs %d; want %d", op, got, w)
		}
	})
}

// every calls check for all opcodes there could be.
func every(check func(op wasmbin.Op)) {
	for b := range wasmbin.Op(256) {
		for _, prefix := range []wasmbin.Op{0, 0xfc00, 0xfd00} {
			check(prefix | b)
		}
	}
}

// ranges reports whether op is in one of the ranges.
func ranges(op wasmbin.Op, pairs ...wasmbin.Op) bool {
	for i := 0; i < len(pairs); i += 2 {
		if op >= pairs[i] && op <= pairs[i+1] {
			return true
		}
	}
	return false
}

// TestPlainAndTrapping: which instructions may stand between an entry and the loop it
// leads straight to, and which of them can trap.
func TestPlainAndTrapping(t *testing.T) {
	every(func(op wasmbin.Op) {
		// nop, block; all of one byte from drop on, but memory.grow and ref.func.
		if got, want := plain(op), ranges(op, 0x01, 0x02, 0x1a, 0x3f, 0x41, 0xd1, 0xd3, 0xff); got != want {
			t.Errorf("plain(%#x) is %v", op, got)
		}
		// loads and stores, table.get and table.set, division, truncation.
		if got, want := traps(op), ranges(op, 0x25, 0x26, 0x28, 0x3e, 0x6d, 0x70, 0x7f, 0x82, 0xa8, 0xab, 0xae, 0xb1); got != want {
			t.Errorf("traps(%#x) is %v", op, got)
		}
		if got, want := opens(op), ranges(op, 0x02, 0x04); got != want {
			t.Errorf("opens(%#x) is %v", op, got)
		}
	})
}

// TestBulkHelpers: which instructions are charged by their length, and by which helper.
func TestBulkHelpers(t *testing.T) {
	want := map[wasmbin.Op]helper{0x40: helperPages, 0xfc08: helperBytes, 0xfc0a: helperCopy, 0xfc0b: helperFill,
		0xfc0c: helperElems, 0xfc0e: helperElems, 0xfc0f: helperElems, 0xfc11: helperElems}
	every(func(op wasmbin.Op) {
		h, listed := want[op]
		if got, ok := bulkHelper(op); ok != listed || got != h {
			t.Errorf("%#x: %d, %v", op, got, ok)
		}
	})
}
