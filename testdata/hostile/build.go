package hostile

import (
	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// Value types and opcodes without a name in wasmbin.
const (
	i32 = "\x7f"
	i64 = "\x7e"

	none = 0x40 // the block type without results

	unreachable = 0x00
	block       = 0x02
	loop        = 0x03
	when        = 0x04 // if
	end         = 0x0b
	br          = 0x0c
	brIf        = 0x0d
	ret         = 0x0f
	call        = 0x10
	drop        = 0x1a
	localGet    = 0x20
	localSet    = 0x21
	globalGet   = 0x23
	globalSet   = 0x24
	store       = 0x36 // i32.store
	store8      = 0x3a
	eqz         = 0x45
	eq          = 0x46
	lessThan    = 0x48 // i32.lt_s
	add         = 0x6a
	sub         = 0x6b
)

// Addresses in the guests' memory.
const (
	answerAt   = 0 // Fresh, before anything happened
	answerLen  = 5
	envelopeAt = 1024
	envelope   = 32 << 10 // its capacity
	page       = 64 << 10
)

// function is a defined function.
type function struct {
	signature int
	locals    []byte
	code      []byte // with its end
}

// module is a module under construction. All imports come before the first function.
type module struct {
	types     [][]byte
	byType    map[string]int
	imports   [][]byte
	byName    map[string]int
	functions []function
	tables    [][]byte
	memories  [][]byte
	globals   [][]byte
	exports   [][]byte
	start     []byte // index of the start function
	elements  [][]byte
	data      [][]byte
	customs   [][]byte
}

// wasi are the functions of WASI that guests import here.
var wasi = []struct{ name, params, results string }{
	{"fd_write", i32 + i32 + i32 + i32, i32},
	{"fd_read", i32 + i32 + i32 + i32, i32},
	{"fd_pwrite", i32 + i32 + i32 + i64 + i32, i32},
	{"fd_pread", i32 + i32 + i32 + i64 + i32, i32},
	{"poll_oneoff", i32 + i32 + i32 + i32, i32},
	{"proc_exit", i32, ""},
	{"random_get", i32 + i32, i32},
	{"sched_yield", "", i32},
	{"path_unlink_file", i32 + i32 + i32, i32},
	{"fd_renumber", i32 + i32, i32},
}

// empty is a module with a memory of one page, exported, and the imports of WASI.
func empty() *module {
	m := &module{byType: map[string]int{}, byName: map[string]int{}}
	for _, f := range wasi {
		m.imported(abi.WASIModuleName, f.name, f.params, f.results)
	}
	m.memories = [][]byte{B(0, 1)}
	m.exports = [][]byte{Export("memory", wasmbin.KindMemory, 0)}
	m.globals = [][]byte{B(i32, 1, number(0), end)}
	return m
}

// blank is an empty module with the imports of the ABI.
func blank() *module {
	m := empty()
	for _, f := range abi.Functions() {
		params, results := "", ""
		for range f.Params {
			params += i32
		}
		for range f.Results {
			results += i32
		}
		m.imported(abi.ModuleName, f.Name, params, results)
	}
	return m
}

func (m *module) signature(params, results string) int {
	key := params + ">" + results
	i, ok := m.byType[key]
	if !ok {
		i = len(m.types)
		m.byType[key] = i
		m.types = append(m.types, FuncType(params, results))
	}
	return i
}

func (m *module) imported(from, name, params, results string) {
	m.byName[name] = len(m.imports)
	m.imports = append(m.imports, Import(from, name, wasmbin.KindFunc, U(m.signature(params, results))))
}

// define adds a function and returns its index. code is without its end.
func (m *module) define(params, results string, locals []byte, code ...any) int {
	m.functions = append(m.functions, function{m.signature(params, results), locals, B(B(code...), end)})
	return len(m.imports) + len(m.functions) - 1
}

// next is the index that the next function to be defined will have.
func (m *module) next() int { return len(m.imports) + len(m.functions) }

func (m *module) export(name string, function int) {
	m.exports = append(m.exports, Export(name, wasmbin.KindFunc, function))
}

// host is a call of an import whose results are dropped.
func (m *module) host(name string, args ...int64) []byte {
	code := m.asks(name, args...)
	for _, f := range abi.Functions() {
		if f.Name == name && f.Results == 0 {
			return code
		}
	}
	if name == "proc_exit" {
		return code
	}
	return B(code, drop)
}

// asks is a call of an import that leaves its results on the stack.
func (m *module) asks(name string, args ...int64) []byte {
	var code []byte
	for _, a := range args {
		code = append(code, number(a)...)
	}
	i, ok := m.byName[name]
	if !ok {
		panic("no import " + name)
	}
	return B(code, call, U(i))
}

// number is an i32.const. A number beyond 32 bits signed is encoded as unsigned.
func number(n int64) []byte { return B(0x41, S(int64(int32(n)))) }

// long is an i64.const.
func long(n int64) []byte { return B(0x42, S(n)) }

// forever repeats code without end.
func forever(code ...any) []byte { return B(loop, none, B(code...), br, 0, end) }

// calls is a call of a defined function.
func calls(fn int) []byte { return B(call, U(fn)) }

// bytes is the finished module.
func (m *module) bytes() []byte {
	var signatures, bodies [][]byte
	for _, f := range m.functions {
		signatures = append(signatures, U(f.signature))
		locals := f.locals
		if locals == nil {
			locals = Vec()
		}
		bodies = append(bodies, BodyLocals(locals, f.code))
	}
	out := Module()
	section := func(id byte, entries [][]byte) {
		if len(entries) > 0 {
			out = append(out, Section(id, Vec(entries...))...)
		}
	}
	section(wasmbin.SectionType, m.types)
	section(wasmbin.SectionImport, m.imports)
	section(wasmbin.SectionFunction, signatures)
	section(wasmbin.SectionTable, m.tables)
	section(wasmbin.SectionMemory, m.memories)
	section(wasmbin.SectionGlobal, m.globals)
	section(wasmbin.SectionExport, m.exports)
	if m.start != nil {
		out = append(out, Section(wasmbin.SectionStart, m.start)...)
	}
	section(wasmbin.SectionElement, m.elements)
	if len(m.data) > 0 {
		out = append(out, Section(wasmbin.SectionDataCount, U(len(m.data)))...)
	}
	section(wasmbin.SectionCode, bodies)
	section(wasmbin.SectionData, m.data)
	for _, c := range m.customs {
		out = append(out, c...)
	}
	return out
}

// serve adds the entry point of a guest that reads events and runs code at the
// first attempt of each. With misdeed.Always it runs it at every attempt.
func (m *module) serve(code ...any) *module {
	m.data = append([][]byte{B(0, number(answerAt), end, Name(Fresh))}, m.data...)
	run := m.define("", "", Vec(B(4, i32)), loop, none,
		m.asks("next", envelopeAt, envelope), number(0), lessThan, when, none, ret, end,
		m.asks("attempt"), number(1), eq, when, none,
		number(1), globalSet, 0,
		number(answerAt+3), number('1'), store8, 0, 0,
		B(code...),
		end,
		number(answerAt+1), globalGet, 0, number('0'), add, store8, 0, 0,
		m.host("finish", 0, answerAt, answerLen),
		br, 0, end)
	m.export("run", run)
	return m
}

// on is a guest that reads events and runs code at the first attempt of each.
func on(code func(m *module) []byte) []byte {
	m := blank()
	c := code(m)
	return m.serve(c).bytes()
}

// large is on with a memory of so many pages.
func large(pages int, code func(m *module) []byte) []byte {
	m := blank()
	m.memories = [][]byte{B(0, U(pages))}
	c := code(m)
	return m.serve(c).bytes()
}
