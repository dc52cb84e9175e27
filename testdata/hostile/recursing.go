package hostile

import (
	"strings"

	"github.com/berth-host/berth/host/event"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// recursion adds a function that calls itself for ever.
func recursion(m *module) int {
	f := m.next()
	return m.define("", "", nil, calls(f))
}

// wide adds a function with many locals that are needed after it has called the function
// of an index.
func wide(m *module, locals, callee int) int {
	begin, after := B(), B()
	for i := range locals {
		begin = append(begin, B(localGet, 0, long(int64(i)), 0x7c, localSet, U(i+1))...)
		after = append(after, B(number(int64(i%1000*8)), localGet, U(i+1), 0x37, 3, 0)...) // i64.store
	}
	return m.define(i64, "", Vec(B(U(locals), i64)), begin, localGet, 0, calls(callee), after)
}

// recursions nest calls without end, in every place and way that a guest can.
func recursions() []Case {
	inStart := blank().serve()
	inStart.start = U(recursion(inStart))
	inInitialize := blank().serve()
	inInitialize.export("_initialize", recursion(inInitialize))
	before := blank()
	f := recursion(before)
	before.export("run", before.define("", "", nil, calls(f), before.host("next", 0, 0)))
	nested := func(name string, code func(m *module) []byte) Case {
		return Case{Name: name, Wasm: on(code), Class: event.ClassStack, Says: "limits.stack"}
	}
	return []Case{
		{Name: "recursion_in_start_section", Wasm: inStart.bytes(), Unstarted: "limits.stack"},
		{Name: "recursion_in_initialize", Wasm: inInitialize.bytes(), Unstarted: "limits.stack"},
		{Name: "recursion_before_next", Wasm: before.bytes(), Unstarted: "limits.stack"},
		nested("deep_recursion", func(m *module) []byte { return calls(recursion(m)) }),
		nested("recursion_with_2000_locals", func(m *module) []byte { return B(long(7), calls(wide(m, 2000, m.next()))) }),
		nested("mutual_recursion_of_narrow_and_wide", func(m *module) []byte {
			narrow := m.define(i64, "", nil, localGet, 0, calls(m.next()+1))
			wide(m, 500, narrow)
			return B(long(7), calls(narrow))
		}),
		nested("recursion_with_64_results", func(m *module) []byte {
			f := m.next()
			m.define(i64, strings.Repeat(i64, 64), nil, localGet, 0, calls(f))
			return B(long(7), calls(f), strings.Repeat("\x1a", 64))
		}),
		nested("recursion_of_vectors", func(m *module) []byte {
			const v128 = "\x7b"
			f := m.next()
			args := B()
			for i := range 32 {
				args = append(args, B(localGet, U(i))...)
			}
			m.define(strings.Repeat(v128, 32), "", nil, args, calls(f), args, strings.Repeat("\x1a", 32))
			zero := B(0xfd, 0x0c, make([]byte, 16))
			return B(strings.Repeat(string(zero), 32), calls(f))
		}),
		nested("mutual_recursion_with_wide_frames", func(m *module) []byte {
			f := m.next()
			code := B()
			for i := range 60 { // all live over the call
				code = append(code, B(localGet, i)...)
			}
			params, discards := "", B()
			for range 60 {
				params += i64
				discards = append(discards, drop)
			}
			m.define(params, "", nil, code, calls(f+1), code, discards)
			m.define(params, "", nil, code, calls(f), code, discards)
			args := B()
			for i := range 60 {
				args = append(args, long(int64(i))...)
			}
			return B(args, calls(f))
		}),
		nested("recursion_by_call_indirect", func(m *module) []byte {
			m.tables = [][]byte{B(0x70, 0, 1)}
			t := m.signature("", "")
			f := m.define("", "", nil, number(0), 0x11, U(t), 0)
			m.elements = [][]byte{B(0, number(0), end, Vec(U(f)))}
			return calls(f)
		}),
		nested("recursion_by_ref_func", func(m *module) []byte { // the table gets the function when it runs
			m.tables = [][]byte{B(0x70, 0, 1)}
			t := m.signature("", "")
			f := m.next()
			m.define("", "", nil, number(0), 0xd2, U(f), 0x26, 0, number(0), 0x11, U(t), 0)
			m.elements = [][]byte{B(3, 0, Vec(U(f)))} // declared
			return calls(f)
		}),
		nested("recursion_out_of_loops", func(m *module) []byte { // each call begins with a loop, whose head looks for both
			f := m.next()
			m.define("", "", nil, loop, none, calls(f), end)
			return calls(f)
		}),
	}
}
