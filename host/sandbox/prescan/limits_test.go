package prescan_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

func TestDefaultLimits(t *testing.T) {
	want := prescan.Limits{ModuleBytes: 67108864, BodyBytes: 262144, Locals: 4096, Controls: 8192, LoopNest: 32, BlockNest: 2048,
		BrTable: 8192, Params: 64, Types: 4000, Functions: 20000, Imports: 1000, Exports: 10000, Globals: 10000, Tables: 4,
		TableElements: 100000, Elements: 200000, DataSegments: 100000, MemoryPages: 65535, CustomBytes: 67108864, NameBytes: 4096}
	if got := (prescan.Limits{}).WithDefaults(); got != want {
		t.Errorf("got %+v", got)
	}
	if got := (prescan.Limits{Locals: -1}).WithDefaults(); got != want {
		t.Errorf("below zero: got %+v", got)
	}
	// Each field is its own, and custom sections may fill a module.
	own := prescan.Limits{}
	v := reflect.ValueOf(&own).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(i + 1))
	}
	if got := own.WithDefaults(); got != own {
		t.Errorf("got %+v", got)
	}
	if got := (prescan.Limits{ModuleBytes: 7}).WithDefaults(); got.CustomBytes != 7 {
		t.Errorf("custom sections may have %d bytes", got.CustomBytes)
	}
}

// many is a vector of n times an entry.
func many(n int, entry []byte) []byte { return B(U(n), bytes.Repeat(entry, n)) }

// TestEachLimit: 3 of a thing pass a limit of 3, and 4 are refused with the limit's
// name, both numbers and the offset.
func TestEachLimit(t *testing.T) {
	types := Section(wasmbin.SectionType, Vec(FuncType("", "")))
	funcs := func(n int) []byte {
		return Module(types, Section(3, many(n, U(0))), Section(10, many(n, Body(end))))
	}
	for _, tt := range []struct {
		name   string
		limits prescan.Limits
		module func(n int) []byte
		limit  string
		at     int    // offset of the refusal
		want   string // the error's text
	}{
		{"types", prescan.Limits{Types: 3}, func(n int) []byte { return Module(Section(1, many(n, FuncType("", "")))) },
			"types", 10, "types 4 is over the limit of 3 (type section, byte 10)"},
		{"parameters", prescan.Limits{Params: 3}, func(n int) []byte { return Module(Section(1, Vec(FuncType(strings.Repeat(i32s, n), "")))) },
			"parameters", 11, "parameters 4 is over the limit of 3 (type section, byte 11)"},
		{"results", prescan.Limits{Params: 3}, func(n int) []byte { return Module(Section(1, Vec(FuncType("", strings.Repeat(i32s, n))))) },
			"results", 11, "results 4 is over the limit of 3 (type section, byte 11)"},
		{"imports", prescan.Limits{Imports: 3}, func(n int) []byte { return Module(types, Section(2, many(n, Import("", "", 0, 0)))) },
			"imports", 16, "imports 4 is over the limit of 3 (import section, byte 16)"},
		{"functions", prescan.Limits{Functions: 3}, funcs,
			"functions", 16, "functions 4 is over the limit of 3 (function section, byte 16)"},
		{"imported functions count", prescan.Limits{Functions: 5}, func(n int) []byte {
			return Module(types, Section(2, many(2, Import("", "", 0, 0))), Section(3, many(n, U(0))), Section(10, many(n, Body(end))))
		}, "functions", 27, "functions 4 is over the limit of 3 (function section, byte 27)"},
		{"tables", prescan.Limits{Tables: 3}, func(n int) []byte { return Module(Section(4, many(n, B(0x70, 0, 1)))) },
			"tables", 10, "tables 4 is over the limit of 3 (table section, byte 10)"},
		{"table elements", prescan.Limits{TableElements: 3}, func(n int) []byte { return Module(Section(4, Vec(B(0x70, 0, 1), B(0x70, 0, n)))) },
			"table elements", 14, "table elements 4 is over the limit of 3 (table section, byte 14)"},
		{"memory pages", prescan.Limits{MemoryPages: 3}, func(n int) []byte { return Module(Section(5, Vec(B(0, n)))) },
			"memory pages", 11, "memory pages 4 is over the limit of 3 (memory section, byte 11)"},
		{"globals", prescan.Limits{Globals: 3}, func(n int) []byte { return Module(Section(6, many(n, B(0x7f, 0, 0x41, 0, end)))) },
			"globals", 10, "globals 4 is over the limit of 3 (global section, byte 10)"},
		{"exports", prescan.Limits{Exports: 3}, func(n int) []byte { return Module(Section(7, many(n, Export("", wasmbin.KindMemory, 0)))) },
			"exports", 10, "exports 4 is over the limit of 3 (export section, byte 10)"},
		{"element segments", prescan.Limits{Elements: 3}, func(n int) []byte { return Module(Section(9, many(n, B(1, 0, 0)))) },
			"element segments", 10, "element segments 4 is over the limit of 3 (element section, byte 10)"},
		{"elements of two segments", prescan.Limits{Elements: 3}, func(n int) []byte {
			return Module(types, Section(3, many(1, U(0))), Section(9, Vec(B(1, 0, Vec(U(0))), B(1, 0, many(n-1, U(0))))), Section(10, Vec(Body(end))))
		}, "elements", 27, "elements 4 is over the limit of 3 (element section, byte 27)"},
		{"data segments", prescan.Limits{DataSegments: 3}, func(n int) []byte { return Module(Section(11, many(n, B(1, 0)))) },
			"data segments", 10, "data segments 4 is over the limit of 3 (data section, byte 10)"},
		{"a data count", prescan.Limits{DataSegments: 3}, func(n int) []byte { return Module(Section(12, U(n)), Section(11, many(n, B(1, 0)))) },
			"data segments", 10, "data segments 4 is over the limit of 3 (data count section, byte 10)"},
		{"a name of an import", prescan.Limits{NameBytes: 3}, func(n int) []byte { return Module(types, Section(2, Vec(Import("m", strings.Repeat("x", n), 0, 0)))) },
			"name", 19, "name 4 bytes is over the limit of 3 bytes (import section, byte 19)"},
		{"a module's name of an import", prescan.Limits{NameBytes: 3}, func(n int) []byte { return Module(types, Section(2, Vec(Import(strings.Repeat("x", n), "f", 0, 0)))) },
			"name", 17, "name 4 bytes is over the limit of 3 bytes (import section, byte 17)"},
		{"a name of an export", prescan.Limits{NameBytes: 3}, func(n int) []byte {
			return Module(Section(7, Vec(Export(strings.Repeat("x", n), wasmbin.KindMemory, 0))))
		},
			"name", 11, "name 4 bytes is over the limit of 3 bytes (export section, byte 11)"},
		{"a name of a custom section", prescan.Limits{NameBytes: 3}, func(n int) []byte { return Module(Custom(strings.Repeat("x", n))) },
			"name", 10, "name 4 bytes is over the limit of 3 bytes (custom section, byte 10)"},
		{"custom sections together", prescan.Limits{CustomBytes: 5}, func(n int) []byte { return Module(Custom("a"), Custom("b", strings.Repeat("x", n-2))) },
			"custom sections", 14, "custom sections 6 bytes is over the limit of 5 bytes (custom section, byte 14)"}, // 3 are 1+1 and 1+1+1
		{"a body", prescan.Limits{BodyBytes: 3}, func(n int) []byte { return code(bytes.Repeat([]byte{1}, n-2), end) },
			"function body", 42, "function body 4 bytes is over the limit of 3 bytes (code section, function 0, byte 42)"},
		{"locals", prescan.Limits{Locals: 3}, func(n int) []byte { return Func("", "", Vec(B(1, 0x7f), B(n-1, 0x7e)), end) },
			"locals", 43, "locals 4 is over the limit of 3 (code section, function 0, byte 43)"},
		{"controls", prescan.Limits{Controls: 3}, func(n int) []byte { return code(bytes.Repeat(B(2, 0x40, end), n), end) },
			"control constructs", 53, "control constructs 4 is over the limit of 3 (code section, function 0, byte 53)"},
		{"a nest of blocks", prescan.Limits{BlockNest: 3}, func(n int) []byte { return code(bytes.Repeat(B(2, 0x40), n), bytes.Repeat(B(end), n+1)) },
			"block nest", 50, "block nest 4 is over the limit of 3 (code section, function 0, byte 50)"},
		{"a nest of loops", prescan.Limits{LoopNest: 3}, func(n int) []byte {
			return code(2, 0x40, 3, 0x40, end, end, bytes.Repeat(B(3, 0x40, 2, 0x40), n), bytes.Repeat(B(end), 2*n+1))
		}, "loop nest", 62, "loop nest 4 is over the limit of 3 (code section, function 0, byte 62)"},
		{"labels", prescan.Limits{BrTable: 3}, func(n int) []byte { return code(0x41, 0, 0x0e, many(n-1, U(0)), 0, end) },
			"br_table labels", 46, "br_table labels 4 is over the limit of 3 (code section, function 0, byte 46)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := prescan.Scan(tt.module(3), tt.limits); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, err := prescan.Scan(tt.module(4), tt.limits)
			var e *prescan.Error
			if !errors.As(err, &e) || e.Limit != tt.limit || e.Offset != tt.at || e.Error() != tt.want {
				t.Fatalf("over it: got %v at %+v\nwant %s", err, e, tt.want)
			}
			limit := uint64(3)
			if tt.limits.CustomBytes != 0 {
				limit = 5
			}
			if e.Max != limit || e.Got != limit+1 {
				t.Errorf("got %d of %d", e.Got, e.Max)
			}
		})
	}
}

// TestCustomSectionsAreCounted: 1,000 and no more, however small.
func TestCustomSectionsAreCounted(t *testing.T) {
	if _, err := prescan.Scan(Module(bytes.Repeat(Custom(""), 1000)), prescan.Limits{}); err != nil {
		t.Error(err)
	}
	_, err := prescan.Scan(Module(bytes.Repeat(Custom(""), 1001)), prescan.Limits{})
	if err == nil || err.Error() != "custom sections 1,001 is over the limit of 1,000 (custom section, byte 3010)" {
		t.Error(err)
	}
}

// TestModuleBytes: a module as large as the limit, and one byte larger.
func TestModuleBytes(t *testing.T) {
	wasm := code(end)
	if _, err := prescan.Scan(wasm, prescan.Limits{ModuleBytes: len(wasm)}); err != nil {
		t.Error(err)
	}
	if _, err := prescan.Scan(wasm, prescan.Limits{ModuleBytes: len(wasm) - 1}); err == nil || !strings.HasPrefix(err.Error(), "module 45 bytes is over the limit of 44 bytes (header section, byte 0)") {
		t.Error(err)
	}
}

// TestAmounts: numbers as a person reads them, never as small as the limit they are over.
func TestAmounts(t *testing.T) {
	for _, tt := range []struct {
		size, limit int
		want        string
	}{
		{1024, 1023, "module 1 KiB is over the limit of 1023 bytes"},
		{1025, 1024, "module 1.1 KiB is over the limit of 1 KiB"},
		{1536, 1535, "module 1.5 KiB is over the limit of 1.5 KiB"},
		{1 << 20, 1<<20 - 1, "module 1 MiB is over the limit of 1024 KiB"},
		{1<<20 + 1, 1 << 20, "module 1.1 MiB is over the limit of 1 MiB"},
		{3 << 19, 1 << 20, "module 1.5 MiB is over the limit of 1 MiB"},
	} {
		_, err := prescan.Scan(make([]byte, tt.size), prescan.Limits{ModuleBytes: tt.limit})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want+" (") {
			t.Errorf("got %v; want %s", err, tt.want)
		}
	}
	for n, want := range map[int]string{999: "types 999 is over", 1000: "types 1,000 is over", 12345: "types 12,345 is over", 1234567: "types 1,234,567 is over"} {
		_, err := prescan.Scan(Module(Section(1, many(n, FuncType("", "")))), prescan.Limits{Types: 3})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
