package hostile

import (
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/extism"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// kernels are Extism plugins, which misbehave by their kernel's functions.
func kernels() []Case {
	types := strings.NewReplacer("i", i32, "I", i64)
	plugin := func(name string, class event.Class, says string, code func(call func(name string, args ...int64) []byte) []byte) Case {
		m := empty()
		ask := func(name string, args ...int64) []byte {
			f := extism.Functions()[name]
			if _, known := m.byName[name]; !known {
				m.imported(extism.ModuleName, name, types.Replace(f.Params), types.Replace(f.Results))
			}
			var passed []byte
			for i, arg := range args {
				if f.Params[i] == 'i' {
					passed = append(passed, number(arg)...)
				} else {
					passed = append(passed, long(arg)...)
				}
			}
			return B(passed, call, U(m.byName[name]))
		}
		c := code(ask)
		m.export("handle", m.define("", "", Vec(B(2, i64)), c))
		return Case{Name: "extism_" + name, Wasm: m.bytes(), Class: class, Says: says, Always: true}
	}
	cases := []Case{
		plugin("spin", event.ClassTimeout, "longer than", func(call func(string, ...int64) []byte) []byte {
			return B(call("reset"), forever())
		}),
		plugin("spin_in_lengths", event.ClassTimeout, "longer than", func(call func(string, ...int64) []byte) []byte {
			return forever(call("length", -1), drop)
		}),
		plugin("alloc_and_free_forever", event.ClassTimeout, "longer than", func(call func(string, ...int64) []byte) []byte {
			return forever(call("alloc", 1<<20), 0x22, 0, call("free"), 0x20, 0, call("free"))
		}),
		plugin("alloc_until_refused", event.ClassMemory, "limits.memory", func(call func(string, ...int64) []byte) []byte {
			return forever(call("alloc", 1<<20), 0x50, when, none, unreachable, end)
		}),
		plugin("alloc_of_2_63", event.ClassMemory, "limits.memory", func(call func(string, ...int64) []byte) []byte {
			return B(call("alloc", -1<<63), drop, unreachable)
		}),
		plugin("store_everywhere", event.ClassTimeout, "longer than", func(call func(string, ...int64) []byte) []byte {
			return forever(0x20, 0, 0x42, S(-1), call("store_u64"), 0x20, 0, long(0x12345678901), 0x7c, 0x21, 0)
		}),
		plugin("output_of_no_block", event.ClassTrap, "out of bounds: output_set", func(call func(string, ...int64) []byte) []byte {
			return call("output_set", 1<<62, 1<<62)
		}),
		plugin("output_that_wraps", event.ClassTrap, "out of bounds: output_set", func(call func(string, ...int64) []byte) []byte {
			return call("output_set", 64, -64)
		}),
		plugin("output_of_freed_memory", event.ClassBadResult, "is not JSON", func(call func(string, ...int64) []byte) []byte {
			return B(call("alloc", 4096), 0x22, 0, long(4096), call("output_set"), 0x20, 0, call("free"), call("alloc", 4096), drop)
		}),
		plugin("error_of_no_block", event.ClassTrap, "out of bounds: error_set", func(call func(string, ...int64) []byte) []byte {
			return call("error_set", 65)
		}),
		plugin("log_flood", event.ClassTimeout, "longer than", func(call func(string, ...int64) []byte) []byte {
			return B(call("alloc", 1<<16), 0x21, 0, forever(0x20, 0, call("log_error")))
		}),
		plugin("variable_flood", event.ClassTrap, "var_set: its variables are over", func(call func(string, ...int64) []byte) []byte {
			return B(call("alloc", 8), 0x21, 0, forever(0x20, 0, 0x20, 1, long(1), 0x7c, 0x22, 1, call("store_u64"),
				0x20, 0, call("alloc", 8), call("var_set")))
		}),
		plugin("request_of_no_block", event.ClassTrap, "out of bounds: http_request", func(call func(string, ...int64) []byte) []byte {
			return B(call("http_request", 8, 8), drop)
		}),
		plugin("reset_and_read", "", "", func(call func(string, ...int64) []byte) []byte {
			return B(call("input_offset"), 0x21, 0, call("reset"), 0x20, 0, call("load_u64"), drop, call("input_load_u64", 0), drop)
		}),
	}
	for i := range cases {
		cases[i].Slow = cases[i].Class == event.ClassMemory
	}
	return cases
}
