package vet_test

import (
	"bytes"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

const end = 0x0b

func repeat(n int, b ...any) []byte { return bytes.Repeat(B(b...), n) }

// functions is a guest by its shape with n functions of one type and body.
func functions(n int, types []byte, locals []byte, code ...any) []byte {
	body := BodyLocals(locals, code...)
	return Module(
		Section(wasmbin.SectionType, types),
		Section(wasmbin.SectionFunction, U(n), make([]byte, n)),
		Section(wasmbin.SectionMemory, Vec(B(0, 1))),
		Section(wasmbin.SectionExport, Vec(Export("run", wasmbin.KindFunc, 0), Export("memory", wasmbin.KindMemory, 0))),
		Section(wasmbin.SectionCode, U(n), bytes.Repeat(body, n)))
}

// allocated is how many bytes f allocates in this process.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// TestBombs refuses modules that are costly to compile, at no cost for this process.
func TestBombs(t *testing.T) {
	none := Vec(FuncType("", ""))
	i32s := strings.Repeat("\x7f", 1000)
	header := "\x00asm\x01\x00\x00\x00"
	tests := []struct {
		name string
		wasm []byte
		code string
		text string // the beginning of the reason
	}{
		{"nested loops", functions(1, none, Vec(), repeat(10000, 3, 0x40), repeat(10001, end)), vet.CodeLimit, "loop nest 33 is over the limit of 32"},
		{"flat loops", functions(1, none, Vec(), repeat(20000, 3, 0x40, end), end), vet.CodeLimit, "control constructs 8,193 is over the limit of 8,192"},
		{"nested blocks", functions(1, none, Vec(), repeat(10000, 2, 0x40), repeat(10001, end)), vet.CodeLimit, "block nest 2,049 is over the limit of 2,048"},
		{"a br_table", functions(1, none, Vec(), 0x41, 0, 0x0e, U(100000), make([]byte, 100001), end), vet.CodeLimit, "br_table labels 100,001 is over the limit of 8,192"},
		{"locals", functions(1, none, Vec(B(U(1<<29), 0x7f)), end), vet.CodeLimit, "locals 536,870,912 is over the limit of 4,096"},
		{"block results", functions(1, Vec(FuncType("", ""), FuncType("", i32s)), Vec(), repeat(1000, 2, 1), end), vet.CodeLimit, "results 1,000 is over the limit of 64"},
		{"signatures", functions(1, Vec(FuncType(i32s, ""), FuncType("", "")), Vec(), end), vet.CodeLimit, "parameters 1,000 is over the limit of 64"},
		{"types", functions(1, B(U(20000), repeat(20000, FuncType("", ""))), Vec(), end), vet.CodeLimit, "types 20,000 is over the limit of 4,000"},
		{"functions", functions(100000, none, Vec(), end), vet.CodeLimit, "functions 100,000 is over the limit of 20,000"},
		{"a long function", functions(1, none, Vec(), repeat(1<<20, 1), end), vet.CodeLimit, "function body 1.1 MiB is over the limit of 256 KiB"},
		{"14 bytes of imports", []byte(header + "\x02\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 imports declared, but only 0 bytes remain"},
		{"declared types", []byte(header + "\x01\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 types declared, but only"},
		{"declared functions", []byte(header + "\x03\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 functions declared, but only"},
		{"declared tables", []byte(header + "\x04\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 tables declared, but only"},
		{"declared globals", []byte(header + "\x06\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 globals declared, but only"},
		{"declared exports", []byte(header + "\x07\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 exports declared, but only"},
		{"declared elements", []byte(header + "\x09\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 element segments declared, but only"},
		{"declared bodies", []byte(header + "\x0a\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 function bodies declared, but only"},
		{"declared data", []byte(header + "\x0b\x04\xff\xff\xff\x7f"), vet.CodeMalformed, "268435455 data segments declared, but only"},
		{"a table", Module(Section(wasmbin.SectionTable, Vec(B(0x70, 0, U(1<<30))))), vet.CodeLimit, "table elements 1,073,741,824 is over the limit of 100,000"},
		{"a memory", Module(Section(wasmbin.SectionMemory, Vec(B(0, U(65536))))), vet.CodeLimit, "memory pages 65,536 is over the limit of 65,535"},
		{"a wrong type", functions(1, none, Vec(), 0x41, 0, end), vet.CodeMalformed, "not a module this host runs: "},
	}
	v := newVetter(t, vet.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r *vet.Refusal
			got := allocated(func() { r = refusal(t, v, tt.wasm) })
			if r.Code != tt.code || !strings.HasPrefix(r.Reason, tt.text) {
				t.Errorf("%s: %s\nwant %s: %s", r.Code, r.Reason, tt.code, tt.text)
			}
			if (r.Code == vet.CodeLimit) != (r.Limit != "" && r.Measured > r.Max && r.Max > 0) {
				t.Errorf("limit %q, measured %d, most %d", r.Limit, r.Measured, r.Max)
			}
			if limit := uint64(24*len(tt.wasm) + 10<<20); got > limit {
				t.Errorf("%d bytes were allocated for a module of %d", got, len(tt.wasm))
			}
		})
	}
}

// heavy passes the pre-scan, and takes a compiler long and much memory: at every
// loop each of the many locals is live.
func heavy() []byte {
	loops := []byte{}
	for i := range 8000 {
		loops = append(loops, B(3, 0x40, 0x20, U(i%4000), 0x41, 1, 0x6a, 0x21, U((i*7)%4000), end)...)
	}
	return functions(20, Vec(FuncType("", "")), Vec(B(U(4000), 0x7f)), loops, end)
}

// TestChildIsStopped: a module that passes the pre-scan is stopped by the child's limits.
// TestBrokenChildren and TestDeath cover wall time.
func TestChildIsStopped(t *testing.T) {
	wasm := heavy()
	v := newVetter(t, vet.Config{CPU: time.Second, Wall: time.Minute})
	var r *vet.Refusal
	got := allocated(func() { r = refusal(t, v, wasm) })
	if r.Code != vet.CodeCPU || r.Unit != "ms" || r.Max != 1000 || r.Measured < r.Max || !strings.Contains(r.Reason, "takes more CPU time than the limit of 1s") {
		t.Errorf("%+v", r)
	}
	if limit := uint64(24*len(wasm) + 10<<20); got > limit {
		t.Errorf("%d bytes were allocated for a module of %d", got, len(wasm))
	}
	if again := refusal(t, v, wasm); *again != *r {
		t.Errorf("asked again: %+v", again)
	}
}
