// Package wasmtest encodes WebAssembly modules for tests. It checks nothing: tests
// need invalid modules, too.
package wasmtest

import (
	"fmt"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// B concatenates bytes (as byte or int below 256), strings and byte slices.
func B(parts ...any) []byte {
	out := []byte{}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			if p < 0 || p > 255 {
				panic(fmt.Sprintf("%d is not a byte", p))
			}
			out = append(out, byte(p))
		case byte:
			out = append(out, p)
		case string:
			out = append(out, p...)
		case []byte:
			out = append(out, p...)
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return out
}

// U is v as an unsigned LEB128 integer.
func U(v int) []byte { return wasmbin.AppendU32(nil, uint32(v)) }

// S is v as a signed LEB128 integer.
func S(v int64) []byte { return wasmbin.AppendS64(nil, v) }

// Name is a length and a text.
func Name(s string) []byte { return B(U(len(s)), s) }

// Vec is a vector of entries.
func Vec(entries ...[]byte) []byte {
	out := U(len(entries))
	for _, e := range entries {
		out = append(out, e...)
	}
	return out
}

// Module is a header and sections.
func Module(sections ...[]byte) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		out = append(out, s...)
	}
	return out
}

// Section is a section with its size.
func Section(id byte, content ...any) []byte {
	b := B(content...)
	return B(id, U(len(b)), b)
}

// Custom is a custom section.
func Custom(name string, content ...any) []byte {
	return Section(wasmbin.SectionCustom, Name(name), B(content...))
}

// FuncType is a type of parameters and results, given as bytes of value types.
func FuncType(params, results string) []byte {
	return B(0x60, Name(params), Name(results))
}

// Body is an entry of the code section without locals; code ends with its end.
func Body(code ...any) []byte { return BodyLocals(Vec(), code...) }

// BodyLocals is an entry of the code section.
func BodyLocals(locals []byte, code ...any) []byte {
	b := B(locals, B(code...))
	return B(U(len(b)), b)
}

// Export is an entry of the export section.
func Export(name string, kind byte, index int) []byte { return B(Name(name), kind, U(index)) }

// Import is an entry of the import section.
func Import(module, name string, desc ...any) []byte { return B(Name(module), Name(name), B(desc...)) }

// Func is a module of one exported function "f" of the given type, with a memory of
// one page.
func Func(params, results string, locals []byte, code ...any) []byte {
	return Module(
		Section(wasmbin.SectionType, Vec(FuncType(params, results))),
		Section(wasmbin.SectionFunction, Vec(U(0))),
		Section(wasmbin.SectionMemory, Vec(B(0, 1))),
		Section(wasmbin.SectionExport, Vec(Export("f", wasmbin.KindFunc, 0), Export("memory", wasmbin.KindMemory, 0))),
		Section(wasmbin.SectionCode, Vec(BodyLocals(locals, code...))))
}
