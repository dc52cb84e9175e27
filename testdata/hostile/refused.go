package hostile

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// healthy is a valid guest, from which others are derived.
func healthy() *module { return blank().serve() }

// shapes have other imports and exports than a guest has.
func shapes() []Case {
	refused := func(name, says string, change func(m *module)) Case {
		m := healthy()
		change(m)
		return Case{Name: name, Wasm: m.bytes(), Refused: says}
	}
	without := func(m *module, name string) {
		var kept [][]byte
		for _, e := range m.exports {
			if !bytes.HasPrefix(e, Name(name)) {
				kept = append(kept, e)
			}
		}
		m.exports = kept
	}
	importing := func(from, name, params, results string) []byte {
		m := blank()
		own, taken := m.byName[name]
		m.imported(from, name, params, results)
		if taken {
			m.byName[name] = own
		}
		return m.serve().bytes()
	}
	entry := func(name, params, results string, code ...any) func(*module) {
		return func(m *module) {
			without(m, name)
			m.export(name, m.define(params, results, nil, code...))
		}
	}
	named := func(name string) []byte {
		m := healthy()
		sub := Name(name)
		m.customs = [][]byte{Custom("name", 0, U(len(sub)), sub)}
		return m.bytes()
	}
	counter := func(op byte) []byte {
		m := healthy() // it has one global: the counter comes behind it
		m.define("", "", nil, long(1<<62), op, 1)
		return m.bytes()
	}
	importsGlobal := blank() // behind the functions: it shifts no index of theirs
	read := importsGlobal.define("", "", nil, importsGlobal.host("next", 0, 0))
	importsGlobal.export("run", read)
	importsGlobal.imports = append(importsGlobal.imports, Import("berth_v1", "fuel", wasmbin.KindGlobal, 0x7e, 0))
	idle := empty()
	idle.export("run", idle.define("", "", nil))
	return []Case{
		refused("no_memory_export", `no memory named "memory"`, func(m *module) { without(m, "memory") }),
		refused("memory_under_another_name", `no memory named "memory"`, func(m *module) {
			without(m, "memory")
			m.exports = append(m.exports, Export("mem", wasmbin.KindMemory, 0))
		}),
		refused("memory_is_a_function", `no memory named "memory"`, func(m *module) {
			without(m, "memory")
			m.export("memory", m.define("", "", nil))
		}),
		refused("memory_is_a_global", `no memory named "memory"`, func(m *module) {
			without(m, "memory")
			m.exports = append(m.exports, Export("memory", wasmbin.KindGlobal, 0))
		}),
		refused("no_memory_at_all", "memory must exist", func(m *module) { m.memories, m.data = nil, nil; without(m, "memory") }),
		refused("memory_export_of_nothing", "out of range", func(m *module) {
			without(m, "memory")
			m.exports = append(m.exports, Export("memory", wasmbin.KindMemory, 1))
		}),
		refused("no_entry_point", "no entry point", func(m *module) { without(m, "run") }),
		refused("two_entry_points", "both", func(m *module) { m.export("_start", m.define("", "", nil)) }),
		refused("entry_point_renamed", "no entry point", func(m *module) { without(m, "run"); m.export("Run", m.next()-1) }),
		refused("entry_point_is_a_global", "no entry point", func(m *module) {
			without(m, "run")
			m.exports = append(m.exports, Export("run", wasmbin.KindGlobal, 0))
		}),
		refused("run_with_parameters", "must take and return nothing", entry("run", i32, "")),
		refused("run_with_results", "must take and return nothing", entry("run", "", i32, number(0))),
		refused("initialize_with_parameters", "must take and return nothing", entry("_initialize", i32, "")),
		refused("export_twice", "duplicates name", func(m *module) { m.export("run", m.next()-1) }),
		refused("start_section_with_parameters", "start function", func(m *module) { m.start = U(m.define(i32, "", nil)) }),
		refused("code_read_in_two_ways", "encoded in more bytes than it needs", func(m *module) {
			m.define("", "", nil, block, none, 0x41, 1, brIf, 0, // over the unreachable below
				0xfd, 0x0c, make([]byte, 16), 0x41, 0,
				0xfd, 0x8c, 0x00, end, loop, none, br, 0, end, block, none, unreachable,
				1, 1, 1, 1, 1, 1, 1, // a v128.const, or a shift and an endless loop
				drop, drop, drop, end)
		}),
		{Name: "never_reads", Wasm: idle.bytes(), Refused: "never reads an event"},
		{Name: "imports_another_function_of_the_abi", Wasm: importing("berth_v1", "format_disk", "", ""), Refused: "berth_v1.format_disk"},
		{Name: "imports_next_with_another_signature", Wasm: importing("berth_v1", "finish", i64, i64), Refused: "another signature"},
		{Name: "imports_a_later_abi", Wasm: importing("berth_v2", "next", i32+i32, i32), Refused: "berth_v2.next"},
		{Name: "imports_something_else", Wasm: importing("env", "system", i32, i32), Refused: "env.system"},
		{Name: "imports_abort_with_another_signature", Wasm: importing("env", "abort", i32, ""), Refused: "env.abort"},
		{Name: "imports_an_unknown_wasi_function", Wasm: importing("wasi_snapshot_preview1", "sudo", "", i32), Refused: "sudo"},
		{Name: "imports_wasi_with_another_signature", Wasm: importing("wasi_snapshot_preview1", "fd_close", i64, i64), Refused: "fd_close"},
		{Name: "imports_the_meter", Wasm: importing("berth_meter", "refill", i64, i64), Refused: "berth_meter"},
		{Name: "imports_a_global", Wasm: importsGlobal.bytes(), Refused: "berth_v1.fuel"},
		{Name: "imports_the_memory", Wasm: Module(Section(2, Vec(Import("env", "memory", wasmbin.KindMemory, 0, 1)))),
			Refused: "env.memory"},
		{Name: "imports_a_table", Wasm: Module(Section(2, Vec(Import("env", "t", wasmbin.KindTable, 0x70, 0, 1)))), Refused: "env.t"},
		refused("exports_the_counters_name", "berth:fuel", func(m *module) {
			m.exports = append(m.exports, Export("berth:fuel", wasmbin.KindGlobal, 0))
		}),
		{Name: "sets_the_counter", Wasm: counter(globalSet), Refused: "global index"},
		{Name: "reads_the_counter", Wasm: counter(globalGet), Refused: "global index"},
		refused("exports_the_counter", "unknown global index",
			func(m *module) { m.exports = append(m.exports, Export("mine", wasmbin.KindGlobal, 1)) }),
		refused("calls_the_refill", "function index", func(m *module) { m.define("", "", nil, calls(m.next()+1)) }),
		{Name: "names_itself_env", Wasm: named("env"), Says: Stale},
		{Name: "names_itself_berth_v1", Wasm: named("berth_v1"), Says: Stale},
		{Name: "names_itself_the_meter", Wasm: named("berth_meter"), Says: Stale},
		{Name: "names_itself_at_length", Wasm: named(strings.Repeat("x", 8<<20)), Says: Stale},
	}
}

// features use WebAssembly beyond CoreFeaturesV2.
func features() []Case {
	code := func(name, says string, code ...any) Case {
		m := healthy()
		m.define("", "", nil, code...)
		return Case{Name: name, Wasm: m.bytes(), Refused: says}
	}
	memory := func(name, says string, memories ...[]byte) Case {
		m := healthy()
		m.memories = memories
		return Case{Name: name, Wasm: m.bytes(), Refused: says}
	}
	return []Case{
		{Name: "component", Wasm: []byte("\x00asm\x0d\x00\x01\x00"), Refused: "build a core module instead"},
		{Name: "another_version", Wasm: []byte("\x00asm\x02\x00\x00\x00"), Refused: "version"},
		{Name: "empty_file", Wasm: []byte{}, Refused: "not a WebAssembly module"},
		{Name: "not_wasm", Wasm: []byte("#!/bin/sh\n"), Refused: "not a WebAssembly module"},
		{Name: "half_a_module", Wasm: healthy().bytes()[:300], Refused: "bytes that remain"},
		code("tail_call", "tail calls", 0x12, 0),
		code("atomics", "threads", 0xfe, 3, 0),
		code("exceptions_try", "exception handling", 0x06, none, end),
		code("exceptions_throw", "exception handling", 0x08, 0),
		code("garbage_collection", "garbage collection", 0xfb, 0, 0),
		code("relaxed_simd", "relaxed SIMD", 0xfd, U(0x100)),
		code("table_grow", "table.grow", 0xd0, 0x70, number(1), 0xfc, 15, 0, drop),
		{Name: "tags", Wasm: Module(Section(13, Vec())), Refused: "exception handling"},
		memory("two_memories", "multiple memories", B(0, 1), B(0, 1)),
		memory("shared_memory", "threads", B(3, 1, 1)),
		memory("memory64", "memory64", B(4, 1)),
		memory("memory_of_4_gib", "over the limit", B(0, U(65536))),
		memory("memory_of_1_gib", "limits.memory", B(0, U(16384))),
		memory("memory_one_page_too_large", "limits.memory", B(0, U(1025))),
	}
}

// counts are larger than the host takes, or than the bytes that follow.
func counts() []Case {
	declared := func(name string, section byte, n int, says string) Case {
		return Case{Name: name, Wasm: Module(Section(section, U(n))), Refused: says}
	}
	return []Case{
		{Name: "import_count_bomb_of_14_bytes", Wasm: []byte("\x00asm\x01\x00\x00\x00\x02\x04\xff\xff\xff\x7f"),
			Refused: "268435455 imports declared"},
		declared("type_count_bomb", 1, 1<<31, "types declared"),
		declared("function_count_bomb", 3, 1<<31, "functions declared"),
		declared("table_count_bomb", 4, 1<<31, "tables declared"),
		declared("global_count_bomb", 6, 1<<31, "globals declared"),
		declared("export_count_bomb", 7, 1<<31, "exports declared"),
		declared("element_count_bomb", 9, 1<<31, "element segments declared"),
		declared("body_count_bomb", 10, 1<<31, "function bodies declared"),
		declared("data_count_bomb", 11, 1<<31, "data segments declared"),
		{Name: "section_longer_than_the_file", Wasm: B(Module(), 1, U(1<<30)), Refused: "bytes that remain"},
		{Name: "element_vector_bomb", Wasm: Module(Section(9, Vec(B(1, 0, U(1<<30))))), Refused: "elements declared"},
		{Name: "data_bytes_bomb", Wasm: Module(Section(11, Vec(B(1, U(1<<30))))), Refused: "bytes of data declared"},
		{Name: "locals_bomb", Wasm: Func("", "", Vec(B(U(1<<29), 0x7f)), end), Refused: "locals"},
		{Name: "parameters_bomb", Wasm: Module(Section(1, Vec(B(0x60, U(1<<30))))), Refused: "parameters declared"},
		{Name: "br_table_bomb", Wasm: Func("", "", Vec(), number(0), 0x0e, U(1<<30), 0, end), Refused: "br_table"},
		{Name: "huge_signature", Wasm: Module(Section(1, Vec(FuncType(strings.Repeat(i64, 1000), "")))),
			Refused: "parameters 1,000 is over the limit"},
		{Name: "huge_results", Wasm: Module(Section(1, Vec(FuncType("", strings.Repeat(i64, 1000))))),
			Refused: "results 1,000 is over the limit"},
		{Name: "huge_table", Wasm: Module(Section(4, Vec(B(0x70, 0, U(1<<31))))), Refused: "table elements"},
		{Name: "huge_import_name",
			Wasm:    Module(Section(1, Vec(FuncType("", ""))), Section(2, Vec(Import(strings.Repeat("m", 1<<20), "f", 0, 0)))),
			Refused: "name 1 MiB is over the limit"},
		{Name: "huge_export_name", Wasm: Module(Section(7, Vec(Export(strings.Repeat("m", 1<<20), 2, 0)))),
			Refused: "name 1 MiB is over the limit"},
		{Name: "name_section_count_bomb", Wasm: B(healthy().bytes(), Custom("name", 1, U(5), U(1<<31))), Says: Stale},
	}
}

// bombs take long to compile, or would.
func bombs() []Case {
	body := func(name, says string, locals []byte, code ...any) Case {
		m := healthy()
		m.define("", "", locals, code...)
		return Case{Name: name, Wasm: m.bytes(), Refused: says}
	}
	repeat := func(n int, b ...any) []byte { return bytes.Repeat(B(b...), n) }
	atLimit := func(name string, locals []byte, code ...any) Case {
		c := body(name, "", locals, code...)
		c.Says, c.Slow = Stale, true
		return c
	}
	many := func(n int, locals []byte, code ...any) []byte {
		m := healthy()
		for range n {
			m.define("", "", locals, code...)
		}
		return m.bytes()
	}
	name := func(subsections ...[]byte) []byte { return Custom("name", B(), bytes.Join(subsections, nil)) }
	moduleName := Name(strings.Repeat("n", 1<<20))
	local := B(U(30), Vec())
	locals := B(U(500000), bytes.Repeat(local, 500000))
	exporting := func(exports, functions int) []byte {
		m := healthy()
		for range functions {
			m.define("", "", nil)
		}
		for i := range exports {
			m.export(strconv.Itoa(i), m.next()-1)
		}
		return m.bytes()
	}
	return []Case{
		body("nested_loops", "loop nest", nil, repeat(5000, loop, none), repeat(5000, end)),
		body("nested_blocks", "block nest", nil, repeat(5000, block, none), repeat(5000, end)),
		body("flat_loops", "control constructs", nil, repeat(50000, loop, none, end)),
		body("block_results", "control constructs", nil, repeat(40000, block, i32, number(1), end, drop)),
		body("br_table_of_100000", "br_table labels", nil, number(0), 0x0e, U(100000), make([]byte, 100001)),
		body("locals_of_50000", "locals 50,000", Vec(B(U(50000), 0x7e))),
		body("body_of_1_mib", "function body", nil, repeat(1<<20, 1)),
		atLimit("loops_below_the_limit", Vec(B(U(64), i32)), repeat(1500, loop, none, localGet, 0, localSet, 1, end)),
		atLimit("nest_at_the_limit", Vec(B(U(64), i32)), repeat(2000, block, none, localGet, 1, brIf, 0), repeat(2000, end)),
		{Name: "module_name_times_functions", Wasm: B(many(2000, nil), name(B(0, U(len(moduleName)), moduleName))),
			Says: Stale, Slow: true},
		{Name: "local_names_times_functions", Wasm: B(many(2000, nil), name(B(2, U(len(locals)), locals))), Says: Stale, Slow: true},
		{Name: "exports_times_functions", Wasm: exporting(10000-2, 15000), Says: Stale, Slow: true},
		atLimit("br_table_at_the_limit", nil, block, none, number(0), 0x0e, U(8000), make([]byte, 8001), end),
	}
}
