package hostile

import (
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// fib adds the recursive function that has no loop.
func fib(m *module) int {
	f := m.next()
	return m.define(i32, i32, nil,
		localGet, 0, number(2), lessThan, when, i32, localGet, 0, 0x05,
		localGet, 0, number(1), sub, calls(f), localGet, 0, number(2), sub, calls(f), add, end)
}

// loops run without end, in every place that a guest's code runs.
func loops() []Case {
	spin := func(*module) []byte { return forever() }
	inStart := blank().serve()
	inStart.start = U(inStart.define("", "", nil, forever()))
	inInitialize := blank().serve()
	inInitialize.export("_initialize", inInitialize.define("", "", nil, forever()))
	before := blank()
	before.export("run", before.define("", "", nil, forever(), before.host("next", 0, 0)))
	afterFinish := blank()
	afterFinish.export("run", afterFinish.define("", "", nil, afterFinish.host("next", 0, 0),
		afterFinish.host("finish", 0, 0, 0), forever()))
	afterEnd := blank()
	afterEnd.export("run", afterEnd.define("", "", nil, loop, none,
		afterEnd.asks("next", 0, 0), number(0), lessThan, when, none, forever(), end,
		afterEnd.host("finish", 0, 0, 0), br, 0, end))
	eventInStart := blank().serve()
	eventInStart.start = U(eventInStart.define("", "", nil, eventInStart.host("next", envelopeAt, envelope), forever()))
	return []Case{
		{Name: "spin_after_next", Wasm: on(spin), Class: event.ClassTimeout, Says: "longer than"},
		{Name: "spin_in_start_section", Wasm: inStart.bytes(), Unstarted: "longer than"},
		{Name: "spin_in_initialize", Wasm: inInitialize.bytes(), Unstarted: "longer than"},
		{Name: "spin_before_next", Wasm: before.bytes(), Unstarted: "longer than"},
		{Name: "spin_after_finish", Wasm: afterFinish.bytes(), Always: true},
		{Name: "spin_after_end", Wasm: afterEnd.bytes(), Always: true},
		{Name: "spin_in_start_section_with_event", Wasm: eventInStart.bytes(), Class: event.ClassTimeout, Always: true},
		{Name: "loop_free_fib_60", Wasm: on(func(m *module) []byte { f := fib(m); return B(number(60), calls(f), drop) }),
			Class: event.ClassTimeout},
		{Name: "random_reads_over_the_memory", Wasm: large(1024, func(m *module) []byte {
			return B(number(1), localSet, 0, forever( // a linear congruence, and a load from where it points
				localGet, 0, number(1664525), 0x6c, number(1013904223), add, localSet, 0,
				localGet, 0, number(0x3ffff00), 0x71, 0x28, 0, 0, drop))
		}), Class: event.ClassTimeout},
		{Name: "sixty_four_results", Wasm: on(func(m *module) []byte {
			results, values, discards := "", B(), B()
			for i := range 64 {
				results += i64
				values = append(values, long(int64(i))...)
				discards = append(discards, drop)
			}
			one := m.define("", results, nil, values)
			two := m.define("", results, nil, calls(one))
			three := m.define("", results, nil, calls(two))
			return forever(calls(three), discards)
		}), Class: event.ClassTimeout},
		{Name: "divisions", Wasm: on(func(m *module) []byte {
			code := B()
			for range 10000 {
				code = append(code, B(long(-1), long(3), 0x7f, drop)...)
			}
			return forever(code)
		}), Class: event.ClassTimeout},
	}
}

// floods request ever more of a resource.
func floods() []Case {
	host := func(name string, args ...int64) []byte {
		return on(func(m *module) []byte { return forever(m.host(name, args...)) })
	}
	const timeout = event.ClassTimeout
	cases := []Case{
		{Name: "memory_fill_64_mib", Wasm: large(1024, func(*module) []byte {
			return forever(number(0), number(1), number(1<<26), 0xfc, 11, 0)
		}), Class: timeout},
		{Name: "memory_copy_64_mib", Wasm: large(1024, func(*module) []byte {
			return forever(number(1), number(0), number(1<<26-1), 0xfc, 10, 0, 0)
		}), Class: timeout},
		{Name: "memory_init_1_mib", Wasm: large(1024, func(m *module) []byte {
			m.data = [][]byte{B(1, Name(string(make([]byte, 1<<20))))}
			return forever(number(0), number(0), number(1<<20), 0xfc, 8, 1, 0)
		}), Class: timeout},
		{Name: "table_fill", Wasm: on(func(m *module) []byte {
			m.tables = [][]byte{B(0x70, 0, U(100000))}
			return forever(number(0), 0xd0, 0x70, number(100000), 0xfc, 17, 0)
		}), Class: timeout},
		{Name: "table_copy", Wasm: on(func(m *module) []byte {
			m.tables = [][]byte{B(0x70, 0, U(100000))}
			return forever(number(1), number(0), number(99999), 0xfc, 14, 0, 0)
		}), Class: timeout},
		{Name: "memory_grow_page_by_page_then_trap", Wasm: on(func(m *module) []byte {
			return forever(number(1), 0x40, 0, number(0), lessThan, when, none, unreachable, end)
		}), Class: event.ClassMemory, Says: "limits.memory", Slow: true},
		{Name: "memory_grow_in_a_loop", Wasm: on(func(*module) []byte { return forever(number(1), 0x40, 0, drop) }),
			Class: event.ClassTimeout},
		{Name: "memory_grow_by_4_gib", Wasm: on(func(*module) []byte { return forever(number(-1), 0x40, 0, drop) }), Class: timeout},
		{Name: "field_in_a_loop", Wasm: host("field", answerAt, 0, 64, 64), Class: timeout},
		{Name: "field_with_a_pointer_of_60_mib", Wasm: large(1000, func(m *module) []byte {
			return forever(m.host("field", 0, 60<<20, 64, 64))
		}), Class: timeout},
		{Name: "field_with_a_pointer_of_slashes", Wasm: large(1000, func(m *module) []byte {
			return B(number(0), number('/'), number(60<<20), 0xfc, 11, 0, forever(m.host("field", 0, 60<<20, 64, 64)))
		}), Class: timeout},
		{Name: "config_in_a_loop", Wasm: host("config", 64, 64), Class: timeout},
		{Name: "last_in_a_loop", Wasm: host("last", envelopeAt, envelope), Class: timeout},
		{Name: "error_in_a_loop", Wasm: host("error", 64, 64), Class: timeout},
		{Name: "attempt_in_a_loop", Wasm: host("attempt"), Class: timeout},
		{Name: "remaining_in_a_loop", Wasm: host("remaining"), Class: timeout},
		{Name: "log_of_60_mib_in_a_loop", Wasm: large(1000, func(m *module) []byte {
			return B(number(0), number(0xff), number(60<<20), 0xfc, 11, 0, forever(m.host("log", 1, 0, 60<<20)))
		}), Class: timeout},
		{Name: "emit_in_a_loop", Wasm: host("emit", answerAt, 5), Class: timeout},
		{Name: "kv_set_in_a_loop", Wasm: host("kv_set", answerAt, 5, answerAt, 5), Class: timeout},
		{Name: "kv_list_in_a_loop", Wasm: host("kv_list", answerAt, 0, answerAt, 0, envelopeAt, envelope), Class: timeout},
		{Name: "kv_expire_in_a_loop", Wasm: host("kv_expire", answerAt, 5, 1<<31-1), Class: timeout},
		{Name: "trace_in_a_loop", Wasm: host("trace", 64, 64), Class: timeout},
		{Name: "http_in_a_loop", Wasm: host("http", answerAt, 5, 64, 64), Class: timeout},
		{Name: "finish_with_bad_json_in_a_loop", Wasm: on(func(m *module) []byte {
			return B(number(0), number('['), number(60000), 0xfc, 11, 0, forever(m.host("finish", 0, 0, 60000)))
		}), Class: timeout},
		{Name: "random_in_a_loop", Wasm: host("random_get", 0, page), Class: timeout},
		{Name: "random_of_60_mib", Wasm: large(1000, func(m *module) []byte { return forever(m.host("random_get", 0, 60<<20)) }),
			Class: timeout},
		// A table of descriptors that grew to this one would have 16 GiB.
		{Name: "renumber_to_the_last_descriptor", Wasm: on(func(m *module) []byte {
			var code []byte
			for fd := range int64(3) {
				code = B(code, m.asks("fd_renumber", fd, 1<<31-1), eqz, when, none, unreachable, end) // it must be refused
			}
			return code
		})},
		{Name: "path_of_60_mib", Wasm: large(1000, func(m *module) []byte {
			return forever(m.host("path_unlink_file", 3, 0, 60<<20))
		}), Class: timeout},
		{Name: "yield_in_a_loop", Wasm: host("sched_yield"), Class: timeout},
	}
	return append(cases, pieces()...)
}

// pieces are vectors of reads and writes.
func pieces() []Case {
	// vector puts n pieces of size bytes from 64 on into memory, doubling.
	vector := func(size, n int64) []byte {
		code := B(number(64), number(0), store, 2, 0, number(68), number(size), store, 2, 0)
		for have := int64(1); have < n; have *= 2 {
			more := min(have, n-have)
			code = append(code, B(number(64+8*have), number(64), number(8*more), 0xfc, 10, 0, 0)...)
		}
		return code
	}
	flood := func(name string, fd, size, n int64, trailing ...any) []byte {
		return large(1000, func(m *module) []byte {
			args := B(number(fd), number(64), number(n), B(trailing...), number(16))
			return B(vector(size, n), forever(args, call, U(m.byName[name]), drop))
		})
	}
	const timeout = event.ClassTimeout
	const many = 4 << 20
	return []Case{
		{Name: "stdout_flood", Wasm: flood("fd_write", 1, page, 1), Class: timeout},
		{Name: "stderr_flood", Wasm: flood("fd_write", 2, page, 1), Class: timeout},
		{Name: "iovec_bomb_of_16_mib_pieces", Wasm: flood("fd_write", 1, 16<<20, many), Class: timeout},
		{Name: "iovec_bomb_of_empty_pieces", Wasm: flood("fd_write", 1, 0, many), Class: timeout},
		{Name: "iovec_bomb_at_another_offset", Wasm: flood("fd_pwrite", 1, 0, many, long(0)), Class: timeout},
		{Name: "iovec_bomb_reading", Wasm: flood("fd_read", 0, 0, many), Class: timeout},
		{Name: "iovec_bomb_reading_at_an_offset", Wasm: flood("fd_pread", 0, 0, many, long(0)), Class: timeout},
		{Name: "iovec_count_that_overflows", Wasm: on(func(m *module) []byte {
			return forever(m.host("fd_write", 1, 64, 1<<29+1, 16))
		}), Class: timeout},
		{Name: "stdin_in_a_loop", Wasm: flood("fd_read", 0, 1, 1), Class: timeout},
	}
}

// sleepers wait instead of working.
func sleepers() []Case {
	// clock puts a subscription of a relative clock at ptr.
	clock := func(ptr, ns int64) []byte {
		return B(number(ptr+8), number(0), store, 2, 0, number(ptr+24), long(ns), 0x37, 3, 0)
	}
	poll := func(name string, class event.Class, pages int, code func(m *module) []byte) Case {
		return Case{Name: name, Wasm: large(pages, code), Class: class}
	}
	const in, out = 40 << 10, 50 << 10
	return []Case{
		poll("sleep_for_centuries", event.ClassTimeout, 1, func(m *module) []byte {
			return B(clock(in, 1<<62), m.host("poll_oneoff", in, out, 1, 16))
		}),
		poll("sleep_for_minus_one", event.ClassTimeout, 1, func(m *module) []byte {
			return B(clock(in, -1), forever(m.host("poll_oneoff", in, out, 1, 16)))
		}),
		poll("sleep_count_that_overflows", event.ClassTimeout, 1, func(m *module) []byte {
			return forever(m.host("poll_oneoff", in, out, 89478486, 16)) // times 48 is 32
		}),
		poll("sleep_on_a_million_clocks", event.ClassTimeout, 1000, func(m *module) []byte {
			return forever(m.host("poll_oneoff", 64, 64, 1_000_000, 16))
		}),
		poll("sleep_on_stdin", event.ClassTimeout, 1, func(m *module) []byte {
			return B(number(in+8), number(1), store, 2, 0, number(in+16), number(0), store, 2, 0,
				forever(m.host("poll_oneoff", in, out, 1, 16)))
		}),
	}
}

// pointers are ranges outside of the memory, for every function and every pair
// of a pointer and a length.
func pointers() []Case {
	var cases []Case
	for _, f := range abi.Functions() {
		first := f.Params % 2 // the odd one out comes first
		if f.Name == abi.FuncKVExpire {
			first = 0
		}
		for at := first; at+1 < f.Params; at += 2 {
			for _, bad := range []struct {
				name     string
				ptr, len int64
			}{
				{"beyond", 0x7fffffff, 1},
				{"wrap", 0xfffffff0, 0x20},
				{"one_past", page - 3, 4},
				{"whole_address_space", 0, 0xffffffff},
				{"empty_beyond", page + 1, 0},
			} {
				if f.Name == abi.FuncKVCAS && at == 2 && bad.len == 0xffffffff {
					continue // -1: no old value
				}
				args := make([]int64, f.Params)
				for i := first; i+1 < f.Params; i += 2 {
					args[i], args[i+1] = envelopeAt, 2
				}
				args[at], args[at+1] = bad.ptr, bad.len
				cases = append(cases, Case{
					Name:  fmt.Sprintf("pointer_%s_%d_%s", f.Name, at, bad.name),
					Wasm:  on(func(m *module) []byte { return m.host(f.Name, args...) }),
					Class: event.ClassTrap, Says: "out of bounds",
				})
			}
		}
	}
	return cases
}
