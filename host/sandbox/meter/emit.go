package meter

import (
	"math"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// emit writes the module that scan has checked, and so without errors.
func (m *module) emit() ([]byte, error) {
	m.report.RefillIndex, m.report.GlobalIndex = m.importFuncs, m.globals
	// An upper bound; the eighth is for indices that grow by a byte.
	out := make([]byte, 0, len(m.wasm)+len(m.wasm)/8+m.sites*siteBytes+m.stackSites()*stackBytes+m.repeats*repeatBytes+4*len(m.folded)+1024)
	out = append(out, "\x00asm\x01\x00\x00\x00"...)

	for _, id := range [...]byte{wasmbin.SectionType, wasmbin.SectionImport, wasmbin.SectionFunction,
		wasmbin.SectionTable, wasmbin.SectionMemory, wasmbin.SectionGlobal, wasmbin.SectionExport,
		wasmbin.SectionStart, wasmbin.SectionElement, wasmbin.SectionDataCount, wasmbin.SectionCode,
		wasmbin.SectionData} {
		m.section = wasmbin.SectionName(id)
		var err error
		if id == wasmbin.SectionCode {
			out, err = m.emitCode(out)
		} else {
			out, err = m.emitSection(out, id)
		}
		if err != nil {
			return nil, err
		}
	}
	m.section = "custom"
	for _, r := range m.kept {
		name, err := r.Name()
		if err != nil {
			return nil, err
		}
		var start int
		out, start = openSection(out, wasmbin.SectionCustom)
		out = wasmbin.AppendName(out, name)
		out = append(out, r.Slice(r.Pos(), r.Pos()+r.Left())...) // no engine reads it
		out = closeSection(out, start)
	}
	if m.hasNames {
		out = m.emitNames(out)
	}
	return m.emitTrace(out), nil
}

// openSection opens a section whose size closeSection writes.
func openSection(out []byte, id byte) ([]byte, int) {
	return openSized(append(out, id))
}

// openSized reserves the bytes of a size that closeSection writes.
func openSized(out []byte) ([]byte, int) {
	return append(out, 0, 0, 0, 0, 0), len(out) + 5
}

// closeSection moves the contents up to their size, encoded in as few bytes as
// possible.
func closeSection(out []byte, start int) []byte {
	n := len(out) - start
	size := wasmbin.AppendU32(out[start-5:start-5], uint32(n))
	at := start - 5 + len(size)
	copy(out[at:], out[start:])
	return out[:at+n]
}

// emitSection appends a section, encoded anew from its decoded entries.
func (m *module) emitSection(out []byte, id byte) (_ []byte, err error) {
	r := m.sections[id]
	n := uint32(0)
	switch id {
	case wasmbin.SectionTable, wasmbin.SectionMemory, wasmbin.SectionData, wasmbin.SectionDataCount,
		wasmbin.SectionStart, wasmbin.SectionElement:
		if r.Left() == 0 {
			return out, nil
		}
	}
	if r.Left() > 0 { // a count, or the one integer of the start and data count sections
		if n, err = r.U32(); err != nil {
			return nil, err
		}
	}
	out, start := openSection(out, id)
	switch id {
	case wasmbin.SectionStart:
		return closeSection(wasmbin.AppendU32(out, m.moved(n)), start), nil
	case wasmbin.SectionDataCount:
		return closeSection(wasmbin.AppendU32(out, n), start), nil
	}
	out = wasmbin.AppendU32(out, n+m.added(id))
	for range n {
		if out, err = m.emitEntry(out, id, &r); err != nil {
			return nil, err
		}
	}
	return closeSection(m.emitAdded(out, id), start), nil
}

// added is how many entries the rewriter adds to a section.
func (m *module) added(id byte) uint32 {
	switch id {
	case wasmbin.SectionType:
		return uint32(len(addedTypes))
	case wasmbin.SectionFunction:
		return uint32(m.report.Helpers)
	case wasmbin.SectionImport:
		return 1
	case wasmbin.SectionGlobal:
		return 2 + uint32(len(m.refs))
	case wasmbin.SectionExport:
		return 2
	}
	return 0
}

// emitAdded appends the rewriter's entries of a section.
func (m *module) emitAdded(out []byte, id byte) []byte {
	switch id {
	case wasmbin.SectionType:
		for _, t := range addedTypes {
			out = append(out, t...)
		}
	case wasmbin.SectionImport:
		out = appendName(out, m.cfg.Module)
		out = appendName(out, m.cfg.Name)
		out = append(out, wasmbin.KindFunc)
		out = wasmbin.AppendU32(out, m.types+typeRefill)
	case wasmbin.SectionFunction:
		for h := range helperCount {
			if m.used[h] {
				out = wasmbin.AppendU32(out, m.types+helperTypes[h])
			}
		}
	case wasmbin.SectionGlobal:
		for _, begin := range [...]int64{0, math.MaxInt64} {
			out = append(out, wasmbin.I64, 1, byte(wasmbin.OpI64Const))
			out = append(wasmbin.AppendS64(out, begin), byte(wasmbin.OpEnd))
		}
		for _, fn := range m.refs {
			out = append(out, wasmbin.FuncRef, 0, byte(wasmbin.OpRefFunc))
			out = append(wasmbin.AppendU32(out, m.moved(fn)), byte(wasmbin.OpEnd))
		}
	case wasmbin.SectionExport:
		for i, name := range [...]string{m.cfg.Global, m.cfg.Stack} {
			out = append(appendName(out, name), wasmbin.KindGlobal)
			out = wasmbin.AppendU32(out, m.globals+uint32(i))
		}
	}
	return out
}

// emitEntry appends one entry of a section.
func (m *module) emitEntry(out []byte, id byte, r *wasmbin.Reader) ([]byte, error) {
	switch id {
	case wasmbin.SectionType:
		params, results, err := r.FuncType()
		return wasmbin.AppendFuncType(out, params, results), err
	case wasmbin.SectionImport:
		return emitImport(out, r)
	case wasmbin.SectionFunction:
		i, err := r.U32()
		return wasmbin.AppendU32(out, i), err
	case wasmbin.SectionTable:
		return emitTable(out, r)
	case wasmbin.SectionMemory:
		l, err := r.Limits()
		return wasmbin.AppendLimits(out, l), err
	case wasmbin.SectionGlobal:
		out, err := emitGlobal(out, r)
		if err != nil {
			return nil, err
		}
		return m.emitExpr(out, r)
	case wasmbin.SectionExport:
		return m.emitExport(out, r)
	case wasmbin.SectionElement:
		return m.element(out, r)
	}
	return m.emitData(out, r)
}

// moved is a function's index in the output: refill is the last import.
func (m *module) moved(fn uint32) uint32 {
	if fn < m.importFuncs {
		return fn
	}
	return fn + 1
}

func appendName(out []byte, name string) []byte {
	return append(wasmbin.AppendU32(out, uint32(len(name))), name...)
}

func emitImport(out []byte, r *wasmbin.Reader) ([]byte, error) {
	for range 2 { // module and name
		name, err := r.Name()
		if err != nil {
			return nil, err
		}
		out = wasmbin.AppendName(out, name)
	}
	kind, err := r.Kind()
	if err != nil {
		return nil, err
	}
	out = append(out, kind)
	switch kind {
	case wasmbin.KindFunc:
		i, err := r.U32()
		return wasmbin.AppendU32(out, i), err
	case wasmbin.KindTable:
		return emitTable(out, r)
	case wasmbin.KindMemory:
		l, err := r.Limits()
		return wasmbin.AppendLimits(out, l), err
	}
	return emitGlobal(out, r)
}

func emitTable(out []byte, r *wasmbin.Reader) ([]byte, error) {
	ref, l, err := r.Table()
	return wasmbin.AppendLimits(append(out, ref), l), err
}

// emitGlobal appends a global's type.
func emitGlobal(out []byte, r *wasmbin.Reader) ([]byte, error) {
	val, mutable, err := r.Global()
	out = append(out, val, 0)
	if mutable {
		out[len(out)-1] = 1
	}
	return out, err
}

// emitExpr appends a constant expression, with the functions that it names moved.
func (m *module) emitExpr(out []byte, r *wasmbin.Reader) ([]byte, error) {
	in := &m.work.in
	for {
		more, err := r.ConstInstr(in)
		if err == nil {
			err = m.checkIndex(in)
		}
		if err != nil {
			return nil, err
		}
		if in.Op == wasmbin.OpRefFunc {
			in.Index = m.moved(in.Index)
		}
		if out = wasmbin.AppendInstr(out, in); !more {
			return out, nil
		}
	}
}

func (m *module) emitExport(out []byte, r *wasmbin.Reader) ([]byte, error) {
	name, err := r.Name()
	if err != nil {
		return nil, err
	}
	kind, err := r.Kind()
	if err != nil {
		return nil, err
	}
	i, err := r.U32()
	if kind == wasmbin.KindFunc {
		i = m.moved(i)
	}
	return wasmbin.AppendU32(append(wasmbin.AppendName(out, name), kind), i), err
}

func (m *module) emitData(out []byte, r *wasmbin.Reader) ([]byte, error) {
	flags, err := r.U32()
	if err != nil {
		return nil, err
	}
	out = append(out, byte(flags)) // scan has checked that it is 2 at most
	if flags == 2 {
		i, err := r.U32()
		if err != nil {
			return nil, err
		}
		out = wasmbin.AppendU32(out, i)
	}
	if flags != 1 {
		if out, err = m.emitExpr(out, r); err != nil {
			return nil, err
		}
	}
	n, err := r.U32()
	if err != nil {
		return nil, err
	}
	data, err := r.Bytes(int(n))
	return wasmbin.AppendName(out, data), err
}

// element appends one element segment, in any of its eight encodings, with the
// functions moved. scan calls it for its checks and discards the output.
func (m *module) element(out []byte, r *wasmbin.Reader) ([]byte, error) {
	at := r.Pos()
	flags, err := r.U32()
	if err != nil {
		return nil, err
	}
	if flags > 7 {
		return nil, &wasmbin.Error{Offset: at, Reason: "unknown kind of element segment"}
	}
	out = append(out, byte(flags))
	const passiveOrDeclared, explicit, expressions = 1, 2, 4
	if flags&passiveOrDeclared == 0 {
		if flags&explicit != 0 {
			table, err := r.U32()
			if err != nil {
				return nil, err
			}
			out = wasmbin.AppendU32(out, table)
		}
		if out, err = m.emitExpr(out, r); err != nil {
			return nil, err
		}
	}
	if flags&(passiveOrDeclared|explicit) != 0 {
		at := r.Pos()
		var kind byte
		if flags&expressions != 0 {
			kind, err = r.RefType()
		} else if kind, err = r.Byte(); err == nil && kind != 0 {
			err = &wasmbin.Error{Offset: at, Reason: "unknown kind of element"}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, kind)
	}
	n, err := r.Count("elements", 1)
	if err != nil {
		return nil, err
	}
	out = wasmbin.AppendU32(out, n)
	for range n {
		if flags&expressions != 0 {
			out, err = m.emitExpr(out, r)
		} else {
			var fn uint32
			fn, err = m.function(r, addressed)
			m.declare(fn)
			out = wasmbin.AppendU32(out, m.moved(fn))
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
