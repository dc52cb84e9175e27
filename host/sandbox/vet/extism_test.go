package vet_test

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/sandbox/extism"
	"github.com/berth-host/berth/host/sandbox/vet"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"github.com/berth-host/berth/host/spec"
)

// plugin is a module with imports and exports, whose functions do nothing.
type plugin struct {
	imports [][3]string // module, name, signature as "params:results"
	exports [][2]string // name, signature
	memory  bool
	custom  []byte
}

func (p plugin) bytes() []byte {
	wasm := strings.NewReplacer("i", "\x7f", "I", "\x7e")
	var types, imports, functions, exports, bodies [][]byte
	typeOf := func(signature string) []byte {
		params, results, _ := strings.Cut(signature, ":")
		types = append(types, FuncType(wasm.Replace(params), wasm.Replace(results)))
		return U(len(types) - 1)
	}
	for _, i := range p.imports {
		imports = append(imports, Import(i[0], i[1], 0, typeOf(i[2])))
	}
	for n, e := range p.exports {
		functions = append(functions, typeOf(e[1]))
		exports = append(exports, Export(e[0], 0, len(imports)+n))
		bodies = append(bodies, Body(0x00, 0x0b))
	}
	sections := [][]byte{p.custom, Section(1, Vec(types...)), Section(2, Vec(imports...)), Section(3, Vec(functions...))}
	if p.memory {
		sections = append(sections, Section(5, Vec(B(0, 1))))
		exports = append(exports, Export("memory", 2, 0))
	}
	return Module(append(sections, Section(7, Vec(exports...)), Section(10, Vec(bodies...)))...)
}

func TestExtismShape(t *testing.T) {
	alloc := [3]string{extism.ModuleName, "alloc", "I:I"}
	handle := [2]string{"handle", ":i"}
	var all [][3]string
	for name, f := range extism.Functions() {
		all = append(all, [3]string{extism.ModuleName, name, f.Params + ":" + f.Results})
	}
	v := newVetter(t, vet.Config{})
	for _, tt := range []struct {
		name    string
		plugin  plugin
		entry   string // "" if it is refused
		refused string // a part of the reason
	}{
		{"every function", plugin{imports: all, exports: [][2]string{handle}, memory: true}, "handle", ""},
		{"no memory", plugin{imports: [][3]string{alloc}, exports: [][2]string{{"handle", ":"}}}, "handle", ""},
		{"entry in the manifest", plugin{imports: [][3]string{alloc}, exports: [][2]string{{"run", ":i"}},
			custom: Custom("berth.manifest", `{"extism":{"entry":"run"}}`)}, "run", ""},
		{"WASI", plugin{imports: [][3]string{alloc, {"wasi_snapshot_preview1", "fd_write", "iiii:i"}}, exports: [][2]string{handle, {"_start", ":"}}, memory: true}, "handle", ""},
		{"AssemblyScript", plugin{imports: [][3]string{alloc, {"env", "abort", "iiii:"}}, exports: [][2]string{handle}, memory: true}, "handle", ""},

		{"WASI without a memory", plugin{imports: [][3]string{alloc, {"wasi_snapshot_preview1", "fd_write", "iiii:i"}}, exports: [][2]string{handle}}, "", `it exports no memory named "memory"`},
		{"an unknown function", plugin{imports: [][3]string{{extism.ModuleName, "store_u32", "Ii:"}}, exports: [][2]string{handle}}, "", "it imports extism:host/env.store_u32, which is not a function of Extism"},
		{"another signature", plugin{imports: [][3]string{{extism.ModuleName, "alloc", "i:i"}}, exports: [][2]string{handle}}, "", "it imports extism:host/env.alloc with another signature than Extism's: (i64) -> (i64)"},
		{"no result", plugin{imports: [][3]string{{extism.ModuleName, "store_u8", "II:"}}, exports: [][2]string{handle}}, "", "another signature than Extism's: (i64, i32) -> ()"},
		{"a function of an application", plugin{imports: [][3]string{alloc, {"extism:host/user", "send_mail", "I:I"}}, exports: [][2]string{handle}}, "", "it imports extism:host/user.send_mail, a function that another application adds to Extism"},
		{"a function of an application alone", plugin{imports: [][3]string{{"extism:host/user", "f", ":"}}, exports: [][2]string{handle}}, "", "extism:host/user.f"},
		{"both ABIs", plugin{imports: [][3]string{alloc, {"berth_v1", "next", "ii:i"}}, exports: [][2]string{handle, {"run", ":"}}, memory: true}, "", "it imports from berth_v1 and from extism:host/env: a guest has one style"},
		{"no entry", plugin{imports: [][3]string{alloc}, exports: [][2]string{{"handle", "i:i"}, {"other", ":I"}, {"_initialize", ":"}}}, "", "it exports no function that takes nothing and returns an i32 or nothing"},
		{"an early PDK", plugin{imports: [][3]string{{"extism:env", "extism_alloc", "I:I"}}, exports: [][2]string{handle}}, "", "it imports extism:env.extism_alloc: a guest may import from"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wasm := tt.plugin.bytes()
			if tt.entry == "" {
				if got := refusal(t, v, wasm); got.Code != vet.CodeShape || !strings.Contains(got.Reason, tt.refused) {
					t.Errorf("got %+v, want %s", got, tt.refused)
				}
				return
			}
			verdict, err := v.Vet(context.Background(), spec.NewArtifact(wasm))
			if err != nil {
				t.Fatal(err)
			}
			if r := verdict.Report; r.Style != "extism" || r.Entry != tt.entry {
				t.Errorf("the style is %q, entered at %q", r.Style, r.Entry)
			}
		})
	}
}
