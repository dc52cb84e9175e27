package main

import (
	"errors"
	"fmt"
)

// Section ids.
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
	sectionTag       = 13
)

const typeI32 = 0x7f

var errEnd = errors.New("the module ends within a value")

// reader reads the WebAssembly binary format. The first error is kept, and values read
// after it are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err, r.b = err, nil
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errEnd)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.fail(errEnd)
		return nil
	}
	head := r.b[:n:n]
	r.b = r.b[n:]
	return head
}

// u32 reads an unsigned number in LEB128.
func (r *reader) u32() uint32 {
	var n uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		n |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.fail(errors.New("a number has too many bytes"))
	return 0
}

// leb reads a number in LEB128 of at most max bytes and yields its encoding.
func (r *reader) leb(max int) []byte {
	b := r.b
	for i := 0; i < max && i < len(b); i++ {
		if b[i] < 0x80 {
			r.b = b[i+1:]
			return b[: i+1 : i+1]
		}
	}
	r.fail(errEnd)
	return nil
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// u appends an unsigned number in LEB128.
func u(b []byte, n uint32) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// s appends a signed number in LEB128.
func s(b []byte, n int64) []byte {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// vector appends bytes with their length before them.
func vector(b, contents []byte) []byte {
	return append(u(b, uint32(len(contents))), contents...)
}

// function is the type of a function: the value types of its parameters and results.
type function struct{ params, results string }

// imported is an import of a function.
type imported struct {
	module, name string
	index        uint32 // of its type
}

// module is what this command knows of a module: its parts in the order of the format.
type module struct {
	types   []function
	imports []imported
	defined []uint32 // the types of the defined functions
	tables  []byte
	memory  []byte
	globals []byte // without their number
	exports []byte
	element []uint32 // the functions of the only segment, which begins at offset
	offset  []byte
	bodies  [][]byte
	data    []byte // the segments, without their number

	globalCount, dataCount uint32
}

// parse reads a module. It refuses what the interpreter does not have: imports that are no
// functions, a start function, element segments of other kinds, more than one tag.
func parse(wasm []byte) (*module, error) {
	if len(wasm) < 8 || string(wasm[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("not a WebAssembly module")
	}
	m := new(module)
	r := &reader{b: wasm[8:]}
	for len(r.b) > 0 && r.err == nil {
		id := r.byte()
		section := &reader{b: r.bytes(r.u32())}
		switch id {
		case sectionCustom:
			continue
		case sectionType:
			m.readTypes(section)
		case sectionImport:
			m.readImports(section)
		case sectionFunction:
			for n := section.u32(); n > 0 && section.err == nil; n-- {
				m.defined = append(m.defined, section.u32())
			}
		case sectionTable:
			m.tables = section.bytes(uint32(len(section.b)))
		case sectionMemory:
			m.memory = section.bytes(uint32(len(section.b)))
		case sectionTag:
			m.readTag(section)
		case sectionGlobal:
			m.globalCount = section.u32()
			m.globals = section.bytes(uint32(len(section.b)))
		case sectionExport:
			m.exports = section.bytes(uint32(len(section.b)))
		case sectionElement:
			m.readElement(section)
		case sectionDataCount:
			section.u32()
		case sectionCode:
			for n := section.u32(); n > 0 && section.err == nil; n-- {
				m.bodies = append(m.bodies, section.bytes(section.u32()))
			}
		case sectionData:
			m.dataCount = section.u32()
			m.data = section.bytes(uint32(len(section.b)))
		default:
			return nil, fmt.Errorf("a section with the id %d", id)
		}
		if section.err == nil && len(section.b) > 0 {
			section.fail(errors.New("bytes after its end"))
		}
		if section.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, section.err)
		}
	}
	if len(m.bodies) != len(m.defined) {
		r.fail(errors.New("not as many bodies as functions"))
	}
	for _, t := range m.defined {
		if int(t) >= len(m.types) {
			r.fail(fmt.Errorf("no type %d", t))
		}
	}
	return m, r.err
}

func (m *module) readTypes(r *reader) {
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		if r.byte() != 0x60 {
			r.fail(errors.New("a type that is no function type"))
		}
		m.types = append(m.types, function{r.name(), r.name()})
	}
}

func (m *module) readImports(r *reader) {
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		i := imported{module: r.name(), name: r.name()}
		if r.byte() != 0 {
			r.fail(fmt.Errorf("the import %s.%s is no function", i.module, i.name))
		}
		i.index = r.u32()
		m.imports = append(m.imports, i)
	}
}

// readTag reads the tag section: one exception, whose value is one i32.
func (m *module) readTag(r *reader) {
	count, attribute, index := r.u32(), r.byte(), r.u32()
	if count != 1 || attribute != 0 || int(index) >= len(m.types) || m.types[index] != (function{"\x7f", ""}) {
		r.fail(errors.New("exceptions other than one with an i32"))
	}
}

func (m *module) readElement(r *reader) {
	if r.u32() != 1 || r.u32() != 0 {
		r.fail(errors.New("element segments other than one active one of functions"))
	}
	if r.byte() != opI32Const {
		r.fail(errors.New("an offset that is no i32.const"))
	}
	m.offset = r.leb(5)
	if r.byte() != opEnd {
		r.fail(errors.New("an offset that is no i32.const"))
	}
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		m.element = append(m.element, r.u32())
	}
}
