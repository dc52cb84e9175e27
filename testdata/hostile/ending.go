package hostile

import (
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// codes are exit codes of guests: two of WASI, and two that the runtime uses for a
// cancelled and an expired context.
var codes = []int64{0, 1, abi.ExitRetry, 0xffffffff, 0xefffffff}

// exits leave with proc_exit, at any time.
func exits() []Case {
	var cases []Case
	for _, code := range codes {
		before := blank()
		before.export("run", before.define("", "", nil, before.host("proc_exit", code), before.host("next", 0, 0)))
		start := blank().serve()
		start.start = U(start.define("", "", nil, start.host("proc_exit", code)))
		after := blank()
		after.export("run", after.define("", "", nil, loop, none,
			after.asks("next", envelopeAt, envelope), number(0), lessThan, when, none, after.host("proc_exit", code), end,
			after.host("finish", 0, 0, 0), br, 0, end))
		said := fmt.Sprintf("exited with code %d", code)
		cases = append(cases,
			Case{Name: fmt.Sprintf("exit_%d_before_next", code), Wasm: before.bytes(), Unstarted: said},
			Case{Name: fmt.Sprintf("exit_%d_in_start_section", code), Wasm: start.bytes(), Unstarted: said},
			Case{Name: fmt.Sprintf("exit_%d_with_event", code), Wasm: on(func(m *module) []byte { return m.host("proc_exit", code) }),
				Class: event.ClassExit, Says: said},
			Case{Name: fmt.Sprintf("exit_%d_after_end", code), Wasm: after.bytes(), Always: true},
		)
	}
	atOnce := blank()
	atOnce.export("run", atOnce.define("", "", nil))
	neverNext := blank()
	neverNext.export("_start", neverNext.define("", "", nil, neverNext.host("config", 0, 0), neverNext.host("proc_exit", 0)))
	afterEnd := blank()
	afterEnd.export("run", afterEnd.define("", "", nil, forever(afterEnd.host("next", envelopeAt, envelope))))
	abandons := blank()
	abandons.export("run", abandons.define("", "", nil, abandons.host("next", envelopeAt, envelope)))
	return append(cases,
		Case{Name: "returns_at_once", Wasm: atOnce.bytes(), Unstarted: "without asking for an event"},
		Case{Name: "exits_0_without_next", Wasm: neverNext.bytes(), Unstarted: "exited with code 0"},
		Case{Name: "next_after_end", Wasm: afterEnd.bytes(), Always: true},
		Case{Name: "returns_with_event", Wasm: abandons.bytes(), Class: event.ClassExit, Says: "with the event open", Always: true},
	)
}

// traps are of every kind.
func traps() []Case {
	float32NaN := B(0x43, 0, 0, 0xc0, 0x7f)
	table := func(m *module) {
		m.tables = [][]byte{B(0x70, 0, 4)}
		f := m.define(i32, "", nil)
		m.elements = [][]byte{B(0, number(1), end, Vec(U(f)))}
	}
	trap := func(name, says string, code ...any) Case {
		return Case{Name: "trap_" + name, Wasm: on(func(m *module) []byte {
			table(m)
			m.data = [][]byte{B(1, Name("passive"))}
			return B(code...)
		}), Class: event.ClassTrap, Says: says}
	}
	// A type that the modules of on have: next's, (i32, i32) -> i32, is not the table's.
	none := blank().signature("", "")
	unstarted := func(name, says string, code ...any) Case {
		m := blank().serve()
		m.start = U(m.define("", "", nil, code...))
		return Case{Name: "trap_" + name + "_in_start_section", Wasm: m.bytes(), Unstarted: says}
	}
	initialize := blank().serve()
	initialize.export("_initialize", initialize.define("", "", nil, unreachable))
	dataOutside := blank().serve()
	dataOutside.data = append(dataOutside.data, B(0, number(page-1), end, Name("two")))
	longName := blank()
	deep := longName.next()
	longName.define("", "", nil, unreachable)
	for i := range 29 {
		longName.define("", "", nil, calls(deep+i), unreachable)
	}
	longName.serve(calls(deep + 29))
	names := make([][]byte, 30)
	for i := range names {
		names[i] = B(U(deep+i), Name(string(make([]byte, 1<<20))))
	}
	sub := Vec(names...)
	longName.customs = [][]byte{Custom("name", 1, U(len(sub)), sub)}
	written := func(name, text, says string, code func(m *module) []byte) Case {
		return Case{Name: name, Wasm: on(func(m *module) []byte {
			vector := []byte{72, 0, 0, 0, byte(len(text)), 0, 0, 0} // of the text behind it
			m.data = [][]byte{B(0, number(64), end, Name(string(vector)+text))}
			return B(m.host("fd_write", 2, 64, 1, 16), code(m))
		}), Class: event.ClassTrap, Says: says}
	}
	exit := func(m *module) []byte { return m.host("proc_exit", 2) }
	trapped := func(*module) []byte { return B(unreachable) }
	panics := written("panics_as_go", "panic: no ledger\n\ngoroutine 1 [running]:\nmain.handle(...)\n\tshop/hello/main.go:12 +0x9\n",
		"panic: no ledger (hello/main.go:12)\nit exited with code 2\n", exit)
	panics.Class = event.ClassExit
	return []Case{
		panics,
		written("panics_as_rust", "thread 'main' panicked at src/lib.rs:5:9:\nno ledger\nnote: run with\n",
			"panic: no ledger (src/lib.rs:5:9)\nunreachable at ", trapped),
		written("trap_after_a_line", "reading\nno ledger\n", ": no ledger\n\tat ", trapped),
		trap("unreachable", "unreachable", unreachable),
		trap("division_by_zero", "divide by zero", number(1), number(0), 0x6d, drop),
		trap("remainder_by_zero", "divide by zero", long(1), long(0), 0x82, drop),
		trap("integer_overflow", "integer overflow", number(-1<<31), number(-1), 0x6d, drop),
		trap("conversion_of_nan", "invalid conversion", float32NaN, 0xa8, drop),
		trap("conversion_overflow", "integer overflow", 0x44, "\xff\xff\xff\xff\xff\xff\xef\x7f", 0xaa, drop),
		trap("load_out_of_bounds", "out of bounds memory", number(-1), 0x28, 0, 0, drop),
		trap("load_with_offset_that_wraps", "out of bounds memory", number(-4), 0x28, 2, U(0xffffffff), drop),
		trap("store_out_of_bounds", "out of bounds memory", number(page-3), number(1), store, 0, 0),
		trap("fill_out_of_bounds", "out of bounds memory", number(1), number(0), number(page), 0xfc, 11, 0),
		trap("copy_that_wraps", "out of bounds memory", number(0), number(-1), number(2), 0xfc, 10, 0, 0),
		trap("init_out_of_bounds", "out of bounds memory", number(0), number(0), number(8), 0xfc, 8, 1, 0),
		trap("table_get_out_of_bounds", "table", number(4), 0x25, 0, drop),
		trap("table_fill_out_of_bounds", "table", number(0), 0xd0, 0x70, number(5), 0xfc, 17, 0),
		trap("call_indirect_out_of_bounds", "table", number(4), 0x11, U(none), 0),
		trap("call_indirect_of_null", "table", number(0), 0x11, U(none), 0),
		trap("call_indirect_of_another_type", "mismatch", number(1), 0x11, U(none), 0),
		unstarted("unreachable", "unreachable", unreachable),
		{Name: "trap_in_initialize", Wasm: initialize.bytes(), Unstarted: "unreachable"},
		{Name: "data_segment_outside", Wasm: dataOutside.bytes(), Unstarted: "out of bounds"},
		{Name: "trap_under_names_of_30_mib", Wasm: longName.bytes(), Class: event.ClassTrap, Says: "unreachable"},
	}
}

// answers are results and calls at the wrong time.
func answers() []Case {
	finish := func(status int64, text string) []byte {
		return on(func(m *module) []byte {
			m.data = [][]byte{B(0, number(64), end, Name(text))}
			return B(m.host("finish", status, 64, int64(len(text))), br, 1)
		})
	}
	early := func(m *module) []byte { // INVALID is -2: anything else traps
		code := B()
		for _, c := range [][]byte{m.asks("finish", 0, 0, 0), m.asks("field", 0, 0, 0, 0), m.asks("attempt"), m.asks("remaining")} {
			code = append(code, B(c, number(int64(abi.Invalid)), 0x47, when, none, unreachable, end)...)
		}
		return code
	}
	without := blank()
	init := without.define("", "", nil, early(without))
	without.export("_initialize", init)
	without.serve()
	twice := func(m *module) []byte {
		return B(m.host("finish", 0, answerAt, answerLen), early(m))
	}
	const deep = 20000
	return []Case{
		{Name: "finish_without_event", Wasm: without.bytes(), Says: Stale},
		{Name: "finish_twice", Wasm: on(twice), Says: "[0,1]"},
		{Name: "result_is_not_json", Wasm: finish(0, "{oops"), Class: event.ClassBadResult, Says: "not JSON"},
		{Name: "result_is_two_values", Wasm: finish(0, "{}{}"), Class: event.ClassBadResult, Says: "not JSON"},
		{Name: "result_is_invalid_utf8", Wasm: finish(0, "\"\xff\""), Class: event.ClassBadResult, Says: "not JSON"},
		{Name: "result_is_nested_deep", Wasm: on(func(m *module) []byte {
			return B(number(64), number('['), number(deep), 0xfc, 11, 0, number(64+deep), number(']'), number(deep), 0xfc, 11, 0,
				m.host("finish", 0, 64, 2*deep), br, 1)
		}), Class: event.ClassBadResult, Says: "not JSON"},
		{Name: "result_one_byte_too_large", Wasm: large(4, func(m *module) []byte {
			return B(number(0), number('1'), number(abi.MaxResult+1), 0xfc, 11, 0, m.host("finish", 0, 0, abi.MaxResult+1))
		}), Class: event.ClassBadResult, Says: "the limit is"},
		{Name: "result_of_60_mib", Wasm: large(1000, func(m *module) []byte { return m.host("finish", 0, 0, 60<<20) }),
			Class: event.ClassBadResult, Says: "the limit is"},
		{Name: "reason_is_invalid_utf8", Wasm: finish(2, "no\xff\xfe"), Class: event.ClassRejected, Says: "no"},
		{Name: "reason_of_60_mib", Wasm: large(1000, func(m *module) []byte {
			return B(m.host("finish", 2, 0, 60<<20), br, 1)
		}), Class: event.ClassRejected},
		{Name: "unknown_status", Wasm: on(func(m *module) []byte { return m.host("finish", 3, 0, 0) }), Says: Stale},
		{Name: "emit_denied", Wasm: on(func(m *module) []byte {
			return B(m.asks("emit", 0, 5), number(int64(abi.Denied)), 0x47, when, none, unreachable, end)
		}), Says: Stale},
	}
}

// stdios are WASI commands without the ABI.
func stdios() []Case {
	command := func(name string, class event.Class, says string, code func(m *module) []byte) Case {
		m := empty()
		c := code(m)
		m.export("_start", m.define("", "", nil, c))
		return Case{Name: "stdio_" + name, Wasm: m.bytes(), Class: class, Says: says, Always: true}
	}
	write := func(m *module, fd int64, text string) []byte {
		m.data = [][]byte{B(0, number(64), end, Name(text))}
		return B(number(0), number(64), store, 2, 0, number(4), number(int64(len(text))), store, 2, 0,
			m.host("fd_write", fd, 0, 1, 16))
	}
	cases := []Case{
		command("spin", event.ClassTimeout, "longer than", func(*module) []byte { return forever() }),
		command("trap", event.ClassTrap, "unreachable", func(*module) []byte { return B(unreachable) }),
		command("fib_60", event.ClassTimeout, "", func(m *module) []byte { f := fib(m); return B(number(60), calls(f), drop) }),
		command("result_is_not_json", event.ClassBadResult, "not JSON", func(m *module) []byte { return write(m, 1, "{oops") }),
		command("result_is_invalid_utf8", event.ClassBadResult, "not JSON", func(m *module) []byte { return write(m, 1, "\"\xff\"") }),
		command("result_too_large", event.ClassBadResult, "limit", func(m *module) []byte {
			return B(number(4), number(page), store, 2, 0, m.host("fd_write", 1, 0, 1, 16), m.host("fd_write", 1, 0, 1, 16))
		}),
		command("stdout_flood", event.ClassTimeout, "", func(m *module) []byte {
			return B(number(4), number(page), store, 2, 0, forever(m.host("fd_write", 1, 0, 1, 16)))
		}),
		command("reads_stdin_forever", event.ClassTimeout, "", func(m *module) []byte {
			return B(number(0), number(64), store, 2, 0, number(4), number(1000), store, 2, 0, forever(m.host("fd_read", 0, 0, 1, 16)))
		}),
	}
	for _, code := range codes {
		class := event.ClassRejected
		switch code {
		case abi.ExitOK:
			class = ""
		case abi.ExitRetry:
			class = event.ClassRetry
		}
		cases = append(cases, command(fmt.Sprintf("exit_%d", code), class, "", func(m *module) []byte { return m.host("proc_exit", code) }))
	}
	return cases
}
