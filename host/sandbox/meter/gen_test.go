package meter

import (
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"pgregory.net/rapid"
)

// generator makes valid modules from the values that rapid draws. They end by
// themselves: each function entry and loop head counts down a global of the
// guest's own, and traps at the end.
type generator struct {
	t     *rapid.T
	types [][2]string // parameters and results
	funcs []int       // type of each function, the two imports first

	// Of the function being written:
	self   int
	locals string // value types
	stack  []byte
	code   []byte
	labels []label // innermost last
	budget int     // how many more instructions to draw

	dispatches bool // begins with one; more of them, and of jumps
}

// label is an open block: the types that a branch to it takes, and the start of its stack.
type label struct {
	branch   string
	base     int
	dispatch bool // a loop that begins with a switch
	selector int  // over this local
}

// Value types; all below 0x80, so that a string of them is one of bytes too.
const (
	i32, i64, f64, v128 = string(rune(wasmbin.I32)), string(rune(wasmbin.I64)), string(rune(wasmbin.F64)), string(rune(wasmbin.V128))
	funcref, externref  = string(rune(wasmbin.FuncRef)), string(rune(wasmbin.ExternRef))
)

// Globals of a generated module.
const (
	globalSteps = 0 // i32, not written by the drawn code
	globalI32   = 1
	globalI64   = 2
	globalF64   = 3
	globalV128  = 4
	globalRef   = 5 // funcref
)

const importedFuncs = 2 // () -> () and (i32) -> (i32), of "env"

func generate(t *rapid.T) []byte {
	g := &generator{t: t, types: [][2]string{{"", ""}, {i32, i32}, {i32 + i64, i64}, {"", i32 + i64}, {i64 + i32, i32 + i64 + i32}, {v128, v128}, {funcref + i32, funcref}, {i32 + i32 + f64, f64}}}
	n := rapid.IntRange(1, 6).Draw(t, "functions")
	g.funcs = []int{0, 1}
	for range n {
		g.funcs = append(g.funcs, rapid.IntRange(0, len(g.types)-1).Draw(t, "type"))
	}
	var bodies, decls, exports [][]byte
	total := len(g.funcs)
	for i := importedFuncs; i < total; i++ {
		bodies = append(bodies, g.function(i))
		decls = append(decls, U(g.funcs[i]))
		if rapid.Bool().Draw(t, "exported") || i == importedFuncs {
			exports = append(exports, Export("f"+string(rune('0'+i)), wasmbin.KindFunc, i))
		}
	}
	exports = append(exports, Export("memory", wasmbin.KindMemory, 0), Export("g1", wasmbin.KindGlobal, globalI32), Export("g2", wasmbin.KindGlobal, globalI64))
	var types [][]byte
	for _, ty := range g.types {
		types = append(types, FuncType(ty[0], ty[1]))
	}
	last := total - 1 // the function call_indirect may reach: it calls none
	end := 0x0b
	refs := Vec(B(0xd2, U(last), end), B(0xd0, 0x70, end), B(0xd2, U(last), end))
	sections := [][]byte{
		Section(wasmbin.SectionType, Vec(types...)),
		Section(wasmbin.SectionImport, Vec(Import("env", "void", wasmbin.KindFunc, 0), Import("env", "twice", wasmbin.KindFunc, 1))),
		Section(wasmbin.SectionFunction, Vec(decls...)),
		Section(wasmbin.SectionTable, Vec(B(0x70, 1, 8, 20), B(0x6f, 1, 4, 9))),
		Section(wasmbin.SectionMemory, Vec(B(1, 1, 3))),
		Section(wasmbin.SectionGlobal, Vec(
			B(0x7f, 1, 0x41, S(3000), end), B(0x7f, 1, 0x41, S(-5), end), B(0x7e, 1, 0x42, S(1<<40), end),
			B(0x7c, 1, 0x44, "\x00\x00\x00\x00\x00\x00\xf0\x3f", end), B(0x7b, 1, 0xfd, U(12), "0123456789abcdef", end),
			B(0x70, 1, 0xd2, U(last), end))),
		Section(wasmbin.SectionExport, Vec(exports...)),
	}
	if g.types[g.funcs[importedFuncs]] == [2]string{} && rapid.Bool().Draw(t, "start") {
		sections = append(sections, Section(wasmbin.SectionStart, U(importedFuncs)))
	}
	sections = append(sections,
		Section(wasmbin.SectionElement, Vec( // one of each encoding
			B(0, 0x41, 0, end, Vec(U(last), U(0), U(1), U(last))),
			B(1, 0, Vec(U(last), U(last))),
			B(2, 0, 0x41, 5, end, 0, Vec(U(last))),
			B(3, 0, Vec(U(total-1), U(0))),
			B(4, 0x41, 3, end, refs),
			B(5, 0x70, refs),
			B(6, 0, 0x41, 1, end, 0x70, Vec(B(0xd2, U(0), end))),
			B(7, 0x70, refs))),
		Section(wasmbin.SectionDataCount, U(2)),
		Section(wasmbin.SectionCode, Vec(bodies...)),
		Section(wasmbin.SectionData, Vec(B(0, 0x41, 16, end, Name("an active segment")), B(1, Name("a passive segment of some length")))),
		Custom("name", B(1, U(1+len(Name("first"))+1), Vec(B(U(importedFuncs), Name("first"))))))
	return Module(sections...)
}

func (g *generator) emit(parts ...any) { g.code = append(g.code, B(parts...)...) }

func (g *generator) draw(n int) int { return rapid.IntRange(0, n-1).Draw(g.t, "n") }

func (g *generator) push(types string) { g.stack = append(g.stack, types...) }

func (g *generator) has(types string) bool {
	base := g.labels[len(g.labels)-1].base
	return len(g.stack)-base >= len(types) && string(g.stack[len(g.stack)-len(types):]) == types
}

func (g *generator) pop(types string) { g.stack = g.stack[:len(g.stack)-len(types)] }

// need makes the stack end with the given types.
func (g *generator) need(types string) {
	if g.has(types) {
		return
	}
	for _, b := range []byte(types) {
		g.value(string(rune(b)))
	}
}

// value pushes one value, from a local if there is one and rapid likes.
func (g *generator) value(ty string) {
	g.push(ty)
	for i := range g.locals {
		if g.locals[i:i+1] == ty && g.draw(3) == 0 {
			g.emit(0x20, U(i))
			return
		}
	}
	switch ty {
	case i32:
		if g.draw(4) == 0 {
			g.emit(0x23, globalI32)
		} else {
			g.emit(0x41, S(int64(rapid.SampledFrom([]int32{0, 1, 2, 7, 31, 100, 1000, 65535, -1, 1 << 30}).Draw(g.t, "i32"))))
		}
	case i64:
		if g.draw(4) == 0 {
			g.emit(0x23, globalI64)
		} else {
			g.emit(0x42, S(rapid.Int64().Draw(g.t, "i64")))
		}
	case f64:
		g.emit(0x23, globalF64)
	case v128:
		g.emit(0x23, globalV128)
	case funcref:
		switch g.draw(3) {
		case 0:
			g.emit(0x23, globalRef)
		case 1:
			g.emit(0xd2, U(len(g.funcs)-1))
		default:
			g.emit(0xd0, 0x70)
		}
	case externref:
		g.emit(0xd0, 0x6f)
	default:
		panic("no value of that type")
	}
}

// op is an instruction whose immediates are fixed.
type op struct {
	in, out string
	code    []byte
}

var ops = []op{
	{i32 + i32, i32, B(0x6a)}, {i32 + i32, i32, B(0x6b)}, {i32 + i32, i32, B(0x6c)}, {i32 + i32, i32, B(0x6d)}, {i32 + i32, i32, B(0x70)},
	{i32 + i32, i32, B(0x71)}, {i32 + i32, i32, B(0x74)}, {i32 + i32, i32, B(0x48)}, {i32, i32, B(0x45)}, {i32, i32, B(0x67)}, {i32, i32, B(0xc0)},
	{i64 + i64, i64, B(0x7c)}, {i64 + i64, i64, B(0x7e)}, {i64 + i64, i64, B(0x7f)}, {i64 + i64, i64, B(0x85)}, {i64, i32, B(0xa7)}, {i32, i64, B(0xad)}, {i64, i64, B(0xc4)},
	{i32, f64, B(0xb7)}, {f64 + f64, f64, B(0xa0)}, {f64, i32, B(0xfc, 2)}, {f64, i64, B(0xfc, 6)}, {f64 + f64, i32, B(0x63)},
	{i32, i32, B(0x28, 2, 0)}, {i32, i64, B(0x29, 3, U(65500))}, {i32, i32, B(0x2d, 0, 8)}, {i32 + i32, "", B(0x36, 2, 4)}, {i32 + i64, "", B(0x37, 3, 0)},
	{"", i32, B(0x3f, 0)}, {i32, i32, B(0x40, 0)},
	{i32 + i32 + i32, "", B(0xfc, 8, 1, 0)}, {"", "", B(0xfc, 9, 1)}, {i32 + i32 + i32, "", B(0xfc, 10, 0, 0)}, {i32 + i32 + i32, "", B(0xfc, 11, 0)},
	{i32 + i32 + i32, "", B(0xfc, 12, 5, 0)}, {"", "", B(0xfc, 13, 5)}, {i32 + i32 + i32, "", B(0xfc, 14, 0, 0)},
	{funcref + i32, i32, B(0xfc, 15, 0)}, {"", i32, B(0xfc, 16, 1)}, {i32 + externref + i32, "", B(0xfc, 17, 1)},
	{i32, funcref, B(0x25, 0)}, {i32 + externref, "", B(0x26, 1)}, {funcref, i32, B(0xd1)},
	{funcref + funcref + i32, funcref, B(0x1c, 1, 0x70)}, {i64 + i64 + i32, i64, B(0x1b)},
	{v128 + v128, v128, B(0xfd, 0x0d, "\x1f\x00\x01\x02\x03\x04\x05\x06\x07\x18\x09\x0a\x0b\x0c\x0d\x0e")}, {v128 + v128, v128, B(0xfd, U(0xae))},
	{v128, i32, B(0xfd, 0x1b, 3)}, {i32, v128, B(0xfd, 0x11)}, {i32, v128, B(0xfd, 0, 4, 0)}, {i32 + v128, "", B(0xfd, 11, 4, 16)},
	{i32 + v128, v128, B(0xfd, 0x54, 0, 3, 7)}, {v128, i32, B(0xfd, 0x53)}, {v128 + v128, v128, B(0xfd, U(0xd5))},
	{"", "", B(0x01)}, {i32, "", B(0x24, globalI32)}, {i64, "", B(0x24, globalI64)}, {v128, "", B(0x24, globalV128)}, {funcref, "", B(0x24, globalRef)},
}

// function writes the body of a function.
func (g *generator) function(i int) []byte {
	ty := g.types[g.funcs[i]]
	extra := rapid.SampledFrom([]string{"", i32, i32 + i64 + f64, v128 + funcref + i32 + i32}).Draw(g.t, "locals")
	if g.dispatches = rapid.Bool().Draw(g.t, "dispatches"); g.dispatches {
		extra = i32 + i32 + i64 + i32
	}
	g.self, g.locals, g.stack, g.code = i, ty[0]+extra, nil, nil
	g.budget = rapid.IntRange(0, 40).Draw(g.t, "instructions")
	g.labels = []label{{branch: ty[1]}}
	if rapid.Bool().Draw(g.t, "counts down") || i != len(g.funcs)-1 {
		g.countDown()
	}
	if g.dispatches {
		g.dispatch()
	}
	g.body(ty[1])
	g.emit(0x0b)
	var locals [][]byte
	for _, b := range []byte(extra) {
		locals = append(locals, B(1, b))
	}
	return BodyLocals(Vec(locals...), g.code)
}

// countDown traps when the guest's own steps are used up.
func (g *generator) countDown() {
	g.emit(0x23, globalSteps, 0x41, 1, 0x6b, 0x24, globalSteps, 0x23, globalSteps, 0x41, 0, 0x4c, 0x04, 0x40, 0x00, 0x0b)
}

// body draws instructions up to the end of a block, and leaves results.
func (g *generator) body(results string) {
	for g.budget > 0 {
		g.budget--
		if !g.instruction() {
			g.stack = append(g.stack[:g.labels[len(g.labels)-1].base], results...)
			return // the rest would be unreachable
		}
		if g.draw(12) == 0 {
			break
		}
	}
	for base := g.labels[len(g.labels)-1].base; len(g.stack) > base; g.stack = g.stack[:len(g.stack)-1] {
		g.emit(0x1a)
	}
	for _, b := range []byte(results) {
		g.value(string(rune(b)))
	}
}
