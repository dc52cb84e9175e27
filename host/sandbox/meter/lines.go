package meter

import (
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// The engine records the offset of the code of a call, and writes it in stack traces, only
// for modules with DWARF. Rewrite adds the smallest that works to the modules whose source
// lines can be found: one unit that covers all offsets, with one file and no line, so that
// each frame's offset in the output is in the trace. Origins translates it to the offset in
// the original, by rewriting once more. A table of lines with the original offsets would
// save that, but be in the memory of each host, and be searched by the engine at each
// failure; see RATIONALE.md.

// traceFile is the name of the one file.
const traceFile = "berth"

// traceSections are the added sections: name and contents.
var traceSections = [...][2]string{
	{".debug_abbrev", "\x01\x11\x00\x10\x17\x11\x01\x12\x06\x00\x00\x00"}, // a unit: stmt_list, low_pc, high_pc
	{".debug_info", "\x14\x00\x00\x00\x04\x00\x00\x00\x00\x00\x04\x01" + // version 4, addresses of 4 bytes
		"\x00\x00\x00\x00\x01\x00\x00\x00\xf0\xff\xff\xff"}, // from 1; 0 and the last ones mean dead code
	{".debug_line", "\x33\x00\x00\x00\x02\x00\x19\x00\x00\x00\x01\x01\xff\x01\x0a" + // version 2
		"\x00\x01\x01\x01\x01\x00\x00\x00\x01\x00" + traceFile + "\x00\x00\x00\x00\x00" +
		"\x00\x05\x02\x01\x00\x00\x00\x03\x7f\x01" + // at 1: line 0
		"\x00\x05\x02\xf0\xff\xff\xff\x00\x01\x01"}, // the end
}

const (
	// maxTracedCode is the largest code section, in bytes, of a module that gets DWARF: the
	// engine keeps 16 bytes for about every tenth byte of code.
	maxTracedCode = 8 << 20
	// maxTracedCustom is the largest size of the custom sections that survive in such a
	// module, in bytes: the engine then keeps them.
	maxTracedCustom = 1 << 20
)

// describesSource reports whether source lines can be found by a custom section of this
// name.
func describesSource(name string, contents []byte) bool {
	switch name {
	case ".debug_line", SourceMap:
		return true
	case SourceMapURL:
		return strings.Contains(string(contents[:min(len(contents), 16)]), "data:")
	}
	return false
}

// Custom sections with a source map: the JSON, or its URL.
const (
	SourceMap    = "berth.sourcemap"
	SourceMapURL = "sourceMappingURL"
)

// traceable reports whether the output gets DWARF.
func (m *module) traceable() bool {
	kept := 0
	for i := range m.kept {
		kept += m.kept[i].Left()
	}
	return m.described && kept <= maxTracedCustom && m.sections[wasmbin.SectionCode].Left() <= maxTracedCode
}

// emitTrace appends the DWARF.
func (m *module) emitTrace(out []byte) []byte {
	if !m.traceable() {
		return out
	}
	m.report.Traceable = true
	for _, section := range traceSections {
		var start int
		out, start = openSection(out, wasmbin.SectionCustom)
		out = append(appendName(out, section[0]), section[1]...)
		out = closeSection(out, start)
	}
	return out
}

// TraceOffset reads the line that the engine writes in a stack trace below a frame of a
// Traceable module: the offset in the output's code section, from its contents on.
func TraceOffset(line string) (offset uint64, ok bool) {
	digits, file, _ := strings.Cut(strings.TrimSpace(line), ": ")
	digits, hex := strings.CutPrefix(digits, "0x")
	if file != traceFile || !hex {
		return 0, false
	}
	offset, err := strconv.ParseUint(digits, 16, 32)
	return offset, err == nil
}

// Origin is the instruction of a guest that an offset in the output comes from.
type Origin struct {
	Known    bool   // false: the code is the rewriter's own, or there is none
	Again    bool   // the code calls its function anew after a refill: the guest has no such call
	Function uint32 // index of its function, imports counted
	Offset   int    // of the instruction, in the module
	Body     int    // of its function's code, likewise
	Section  int    // of the code section's contents, likewise
}

// mark is the start of an instruction in an emitted body, and in the module, where it is
// again for the code that calls a function anew.
type mark struct{ out, in int }

const again = -1

// Origins returns where the code of Rewrite's output at some offsets comes from. The
// offsets are those of TraceOffset. What was added at the entry of a function has the
// origin of the function's first instruction, and what was added elsewhere that of the
// instruction that it was added to.
func Origins(wasm []byte, cfg Config, offsets []uint64) ([]Origin, error) {
	m := &module{cfg: cfg.withDefaults(), wasm: wasm, section: "header"}
	out, err := m.rewrite()
	if err != nil {
		return nil, m.located(err)
	}
	origins := make([]Origin, len(offsets))
	written, start, err := codeSection(out)
	if err != nil {
		return nil, err
	}
	code := m.sections[wasmbin.SectionCode]
	begin := code.Pos()
	if code.Left() == 0 || written.Left() == 0 {
		return origins, nil
	}
	n, err := code.U32()
	if err != nil {
		return nil, err
	}
	if _, err := written.U32(); err != nil {
		return nil, err
	}
	for i := range n {
		body, err := entry(&code)
		if err != nil {
			return nil, err
		}
		emitted, err := entry(&written)
		if err != nil {
			return nil, err
		}
		m.marks = nil
		for k, offset := range offsets {
			at := start + int(min(offset, uint64(len(out)))) - emitted.Pos()
			if at < 0 || at >= emitted.Left() {
				continue
			}
			if m.marks == nil {
				m.marks = make([]mark, 0, 64)
				if _, err := m.emitBody(nil, body, i); err != nil {
					return nil, err
				}
			}
			origins[k] = m.origin(i, at)
			origins[k].Section = begin
		}
	}
	return origins, nil
}

// origin is the origin of an offset in the emitted body whose marks were just made.
func (m *module) origin(fn uint32, at int) Origin {
	if len(m.marks) == 0 {
		return Origin{}
	}
	o := Origin{Known: true, Function: m.importFuncs + fn, Body: m.marks[0].in, Offset: m.marks[0].in}
	for _, k := range m.marks {
		if k.out > at {
			break
		}
		o.Offset = k.in
	}
	if o.Offset == again {
		return Origin{Again: true, Function: o.Function}
	}
	return o
}

// entry reads one entry of the code section.
func entry(r *wasmbin.Reader) (wasmbin.Reader, error) {
	n, err := r.U32()
	if err != nil {
		return *r, err
	}
	return r.Sub(n)
}

// codeSection returns the contents of the code section, and where they start.
func codeSection(wasm []byte) (wasmbin.Reader, int, error) {
	sections, err := wasmbin.NewSections(wasm)
	if err != nil {
		return wasmbin.Reader{}, 0, err
	}
	for {
		id, body, ok, err := sections.Next()
		if err != nil || !ok {
			return wasmbin.Reader{}, 0, err
		}
		if id == wasmbin.SectionCode {
			return body, body.Pos(), nil
		}
	}
}
