package main

import (
	"bytes"
	"math/rand/v2"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	"github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// generator makes modules that are valid except for the unusual encodings it chooses.
type generator struct {
	rand *rand.Rand
	pad  float64 // how often an integer takes more bytes than it needs
	long float64 // how often the opcode behind a prefix does: the rewriter refuses those

	depth int // open blocks of the function that is being made
}

// Each module declares as many of each, for code to refer to.
const (
	numTypes   = 5 // () -> (), (i32) -> (i32), () -> (i32 i64), (i32 i64) -> (), (v128) -> (v128)
	numImports = 2
	numGlobals = 6
	numTables  = 2
	numData    = 3
	numElems   = 8
	numLocals  = 6
)

var signatures = [numTypes][]byte{wasmtest.FuncType("", ""), wasmtest.FuncType("\x7f", "\x7f"), wasmtest.FuncType("", "\x7f\x7e"),
	wasmtest.FuncType("\x7f\x7e", ""), wasmtest.FuncType("\x7b", "\x7b")}

// longer appends, with the probability often, bytes to an integer that do not change it.
func (g *generator) longer(b []byte, fill byte, limit int, often float64) []byte {
	if g.rand.Float64() >= often || len(b) >= limit {
		return b
	}
	b = bytes.Clone(b)
	b[len(b)-1] |= 0x80
	for range g.rand.IntN(limit - len(b)) {
		b = append(b, 0x80|fill)
	}
	return append(b, fill)
}

func (g *generator) u32(v int) []byte { return g.longer(wasmtest.U(v), 0, 5, g.pad) }

func (g *generator) signed(v int64, limit int) []byte {
	return g.longer(wasmtest.S(v), byte(v>>63)&0x7f, limit, g.pad)
}

// value is an integer of any size, the ends of the ranges more often than chance.
func (g *generator) value() int64 {
	v := int64(g.rand.Uint64()) >> g.rand.IntN(64)
	if g.rand.IntN(4) == 0 {
		v = int64(1)<<g.rand.IntN(64) - int64(g.rand.IntN(2))
	}
	return v
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rand.Uint32())
	}
	return b
}

func (g *generator) name(s string) []byte { return wasmtest.B(g.u32(len(s)), s) }

func (g *generator) vec(entries ...[]byte) []byte {
	return wasmtest.B(g.u32(len(entries)), bytes.Join(entries, nil))
}

func (g *generator) section(id byte, content ...any) []byte {
	b := wasmtest.B(content...)
	return wasmtest.B(id, g.u32(len(b)), b)
}

// module is a module of up to eight functions.
func (g *generator) module() []byte {
	n := 1 + g.rand.IntN(8)
	var types, indices, bodies, exports [][]byte
	for _, s := range signatures {
		types = append(types, s)
	}
	for i := range n {
		t := g.rand.IntN(numTypes)
		indices = append(indices, g.u32(t))
		bodies = append(bodies, g.body(t, numImports+n))
		if g.rand.IntN(3) == 0 {
			exports = append(exports, wasmtest.B(g.name("f"+string(rune('a'+i))), wasmbin.KindFunc, g.u32(numImports+i)))
		}
	}
	exports = append(exports, wasmtest.B(g.name("memory"), wasmbin.KindMemory, g.u32(0)))
	var funcs [][]byte
	for i := range numImports + n {
		funcs = append(funcs, wasmtest.B(0xd2, g.u32(i), 0x0b))
	}
	fn := func() []byte { return g.u32(g.rand.IntN(numImports + n)) }
	offset := func() []byte { return wasmtest.B(0x41, g.signed(int64(g.rand.IntN(3)), 5), 0x0b) }
	return wasmtest.Module(
		g.section(wasmbin.SectionType, g.vec(types...)),
		g.section(wasmbin.SectionImport, g.vec(wasmtest.B(g.name("env"), g.name("a"), 0, g.u32(0)),
			wasmtest.B(g.name("env"), g.name("b"), 0, g.u32(1)))),
		g.section(wasmbin.SectionFunction, g.vec(indices...)),
		g.section(wasmbin.SectionTable, g.vec(wasmtest.B(0x70, 0, g.u32(40)), wasmtest.B(0x6f, 1, g.u32(2), g.u32(300)))),
		g.section(wasmbin.SectionMemory, g.vec(wasmtest.B(1, g.u32(1), g.u32(200)))),
		g.section(wasmbin.SectionGlobal, g.vec(
			wasmtest.B(0x7f, 1, 0x41, g.signed(int64(int32(g.value())), 5), 0x0b), wasmtest.B(0x7e, 1, 0x42, g.signed(g.value(), 10), 0x0b),
			wasmtest.B(0x7d, 1, 0x43, g.bytes(4), 0x0b), wasmtest.B(0x7c, 1, 0x44, g.bytes(8), 0x0b),
			wasmtest.B(0x7b, 1, 0xfd, 0x0c, g.bytes(16), 0x0b), wasmtest.B(0x70, 1, 0xd2, fn(), 0x0b))),
		g.section(wasmbin.SectionExport, g.vec(exports...)),
		g.section(wasmbin.SectionElement, g.vec(
			wasmtest.B(g.u32(0), offset(), g.vec(fn())), wasmtest.B(g.u32(1), 0, g.vec(fn(), fn())),
			wasmtest.B(g.u32(2), g.u32(0), offset(), 0, g.vec(fn())),
			wasmtest.B(g.u32(3), 0, g.vec(fn())), wasmtest.B(g.u32(4), offset(), g.vec(wasmtest.B(0xd2, fn(), 0x0b))),
			wasmtest.B(g.u32(5), 0x70, g.vec(funcs...)),
			wasmtest.B(g.u32(6), g.u32(1), offset(), 0x6f, g.vec(wasmtest.B(0xd0, 0x6f, 0x0b))),
			wasmtest.B(g.u32(7), 0x70, g.vec(wasmtest.B(0xd0, 0x70, 0x0b))))),
		g.section(wasmbin.SectionDataCount, g.u32(numData)),
		g.section(wasmbin.SectionCode, g.vec(bodies...)),
		g.section(wasmbin.SectionData, g.vec(
			wasmtest.B(g.u32(0), offset(), g.name("zero")), wasmtest.B(g.u32(1), g.name("one")),
			wasmtest.B(g.u32(2), g.u32(0), offset(), g.name("two")))))
}

// body is a function of a type of signatures.
func (g *generator) body(signature, functions int) []byte {
	locals := g.vec(wasmtest.B(g.u32(3), 0x7f), wasmtest.B(g.u32(1), 0x7e), wasmtest.B(g.u32(1), 0x7b), wasmtest.B(g.u32(1), 0x7d))
	g.depth = 0
	var code []byte
	for range g.rand.IntN(12) {
		code = append(code, g.statement(functions)...)
	}
	if len(signatures[signature]) > 0 && signature != 0 && signature != 3 { // it has results
		code = append(code, 0x00)
	}
	b := wasmtest.B(locals, code, 0x0b)
	return wasmtest.B(g.u32(len(b)), b)
}

// statement returns code that does not change the stack's height, reachable for the most part.
func (g *generator) statement(functions int) []byte {
	inside := func(parts ...func() []byte) (code []byte) {
		g.depth++
		for _, part := range parts {
			code = append(code, part()...)
		}
		g.depth--
		return code
	}
	again := func() []byte { return g.statement(functions) }
	i32 := func() []byte { return wasmtest.B(0x41, g.signed(int64(int32(g.value())), 5)) }
	choice := g.rand.IntN(11)
	if g.depth > 6 && choice < 5 {
		choice = 5
	}
	void := wasmtest.B(wasmbin.BlockVoid)
	if g.rand.IntN(2) == 0 {
		void = g.signed(0, 5) // type 0, which is the same
	}
	switch choice {
	case 0:
		return wasmtest.B(0x02, void, inside(again, again), 0x0b)
	case 1:
		return wasmtest.B(0x03, void, inside(again, again), 0x0b)
	case 2:
		return wasmtest.B(i32(), 0x04, void, inside(again), 0x05, inside(again), 0x0b)
	case 3:
		return wasmtest.B(i32(), 0x04, void, inside(again, again), 0x0b)
	case 4: // a loop that ends by a conditional repeat
		return wasmtest.B(0x03, void, inside(again, i32), 0x0d, g.u32(0), 0x0b)
	case 5: // code that cannot be reached, where any operand is right
		return wasmtest.B(0x02, wasmbin.BlockVoid, inside(func() []byte { return g.island(functions) }), 0x0b)
	case 6:
		return wasmtest.B(i32(), 0x1a)
	case 7:
		return wasmtest.B(i32(), 0x21, g.u32(2)) // an i32 in functions of every type
	case 8:
		return wasmtest.B(0x10, g.u32(0))
	case 9:
		if g.depth == 0 {
			return wasmtest.B(0x01)
		}
		return wasmtest.B(i32(), 0x0d, g.u32(g.rand.IntN(g.depth)))
	}
	return wasmtest.B(0x41, 0, 0x41, 0, 0x41, g.u32(g.rand.IntN(40)), 0xfc, g.sub(0x0b), 0)
}

// sub is the opcode behind a prefix.
func (g *generator) sub(v int) []byte { return g.longer(wasmtest.U(v), 0, 5, g.long) }

// island returns arbitrary instructions in unreachable code.
func (g *generator) island(functions int) []byte {
	code := wasmtest.B(0x00)
	for range 1 + g.rand.IntN(8) {
		code = append(code, g.any(functions)...)
		if g.rand.IntN(3) == 0 {
			code = append(code, 0x1a)
		} else {
			code = append(code, 0x00)
		}
	}
	return append(code, 0x00)
}

// any is one instruction with its immediates, or a block.
func (g *generator) any(functions int) []byte {
	index := func(limit int) []byte { return g.u32(g.rand.IntN(limit)) }
	memArg := func() []byte { return wasmtest.B(g.u32(0), g.u32(int(uint32(g.value())))) }
	switch prefix := g.rand.IntN(3); prefix {
	case 1:
		sub := g.rand.IntN(18)
		if sub == 15 && g.rand.IntN(100) > 0 { // table.grow, which is refused
			sub = 16
		}
		code := wasmtest.B(0xfc, g.sub(sub))
		switch {
		case sub < 8:
			return code
		case sub == 8:
			return wasmtest.B(code, index(numData), 0)
		case sub == 9:
			return wasmtest.B(code, index(numData))
		case sub == 10:
			return wasmtest.B(code, 0, 0)
		case sub == 11:
			return wasmtest.B(code, 0)
		case sub == 12:
			return wasmtest.B(code, g.u32(0), g.u32(0))
		case sub == 13:
			return wasmtest.B(code, index(numElems))
		case sub == 14:
			return wasmtest.B(code, g.u32(1), g.u32(1))
		}
		return wasmtest.B(code, index(numTables))
	case 2:
		for {
			sub := g.rand.IntN(256)
			if g.rand.IntN(2) == 0 { // those with immediates
				sub = g.rand.IntN(94)
			}
			code := wasmtest.B(0xfd, g.sub(sub))
			switch {
			case sub <= 11 || sub == 92 || sub == 93:
				return wasmtest.B(code, memArg())
			case sub == 12:
				return wasmtest.B(code, g.bytes(16))
			case sub == 13:
				lanes := g.bytes(16)
				for i := range lanes {
					lanes[i] %= 32
				}
				return wasmtest.B(code, lanes)
			case sub >= 21 && sub <= 34:
				return wasmtest.B(code, g.rand.IntN(2))
			case sub >= 84 && sub <= 91:
				return wasmtest.B(code, memArg(), g.rand.IntN(2))
			case bytes.IndexByte(vectorHoles, byte(sub)) < 0:
				return code
			}
		}
	}
	for {
		op := byte(g.rand.IntN(256))
		switch {
		case op >= 0x02 && op <= 0x04:
			if g.depth > 6 {
				continue
			}
			g.depth++
			inner := g.island(functions)
			g.depth--
			t := wasmtest.B(wasmbin.BlockVoid)
			switch g.rand.IntN(3) {
			case 1:
				t = g.signed(int64(g.rand.IntN(numTypes)), 5)
			case 2:
				t = wasmtest.B(0x7f - g.rand.IntN(5))
			}
			if op == 0x04 {
				return wasmtest.B(op, t, inner, 0x05, g.island(functions), 0x0b)
			}
			return wasmtest.B(op, t, inner, 0x0b)
		case op == 0x0c || op == 0x0d:
			return wasmtest.B(op, index(g.depth+1))
		case op == 0x0e:
			n := g.rand.IntN(6)
			label := g.rand.IntN(g.depth + 1) // all of one arity
			code := wasmtest.B(op, g.u32(n))
			for range n + 1 {
				code = append(code, g.u32(label)...)
			}
			return code
		case op == 0x10 || op == 0xd2:
			return wasmtest.B(op, index(functions))
		case op == 0x11:
			return wasmtest.B(op, index(numTypes), g.u32(0))
		case op == 0x1c:
			return wasmtest.B(op, g.u32(1), []byte{0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f}[g.rand.IntN(7)])
		case op >= 0x20 && op <= 0x22:
			return wasmtest.B(op, index(numLocals))
		case op == 0x23 || op == 0x24:
			return wasmtest.B(op, index(numGlobals))
		case op == 0x25 || op == 0x26:
			return wasmtest.B(op, index(numTables))
		case op >= 0x28 && op <= 0x3e:
			return wasmtest.B(op, memArg())
		case op == 0x3f || op == 0x40:
			return wasmtest.B(op, 0)
		case op == 0x41:
			return wasmtest.B(op, g.signed(int64(int32(g.value())), 5))
		case op == 0x42:
			return wasmtest.B(op, g.signed(g.value(), 10))
		case op == 0x43:
			return wasmtest.B(op, g.bytes(4))
		case op == 0x44:
			return wasmtest.B(op, g.bytes(8))
		case op == 0xd0:
			return wasmtest.B(op, 0x6f+g.rand.IntN(2))
		case op == 0x00 || op == 0x01 || op == 0x0f || op == 0x1a || op == 0x1b || op == 0xd1 || op >= 0x45 && op <= 0xc4:
			return wasmtest.B(op)
		}
	}
}

// vectorHoles are the undefined opcodes behind 0xfd.
var vectorHoles = []byte{0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb,
	0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee}

// mutate changes some bytes of a module behind its header.
func (g *generator) mutate(wasm []byte) []byte {
	wasm = bytes.Clone(wasm)
	for range 1 + g.rand.IntN(4) {
		at := 8 + g.rand.IntN(len(wasm)-8)
		switch g.rand.IntN(4) {
		case 0:
			wasm[at] = byte(g.rand.Uint32())
		case 1:
			wasm[at] ^= 1 << g.rand.IntN(8)
		case 2:
			wasm[at] |= 0x80
		case 3: // the bytes from elsewhere
			from := 8 + g.rand.IntN(len(wasm)-8)
			copy(wasm[at:], wasm[from:min(len(wasm), from+1+g.rand.IntN(8))])
		}
	}
	return wasm
}
