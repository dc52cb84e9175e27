package meter

import (
	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// emit writes the module that scan has checked. Its errors would be scan's.
func (m *module) emit() ([]byte, error) {
	m.report.RefillIndex, m.report.GlobalIndex = m.importFuncs, m.globals
	// An upper bound but for indices that grow by a byte, for which the eighth is.
	out := make([]byte, 0, len(m.wasm)+len(m.wasm)/8+m.sites*siteBytes+m.repeats*repeatBytes+4*len(m.folded)+1024)
	out = append(out, m.wasm[:8]...)

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
		out = append(out, wasmbin.SectionCustom)
		out = wasmbin.AppendU32(out, uint32(r.Left()))
		out = append(out, r.Slice(r.Pos(), r.Pos()+r.Left())...)
	}
	if m.hasNames {
		out = m.emitNames(out)
	}
	return out, nil
}

// openSection opens a section whose size closeSection fills in, in five bytes.
func openSection(out []byte, id byte) ([]byte, int) {
	return openSized(append(out, id))
}

// openSized leaves room for a size that closeSection fills in.
func openSized(out []byte) ([]byte, int) {
	return append(out, 0, 0, 0, 0, 0), len(out) + 5
}

func closeSection(out []byte, start int) []byte {
	n := uint32(len(out) - start)
	for i := range 5 {
		b := byte(n>>(7*i)) & 0x7f
		if i < 4 {
			b |= 0x80
		}
		out[start-5+i] = b
	}
	return out
}

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
	if r.Left() > 0 && id != wasmbin.SectionStart && id != wasmbin.SectionDataCount {
		if n, err = r.U32(); err != nil {
			return nil, err
		}
	}
	rest := r.Slice(r.Pos(), r.Pos()+r.Left())
	out, start := openSection(out, id)
	switch id {
	case wasmbin.SectionType:
		out = wasmbin.AppendU32(out, n+uint32(len(addedTypes)))
		out = append(out, rest...)
		for _, t := range addedTypes {
			out = append(out, t...)
		}
	case wasmbin.SectionImport:
		out = wasmbin.AppendU32(out, n+1)
		out = append(out, rest...)
		out = appendName(out, m.cfg.Module)
		out = appendName(out, m.cfg.Name)
		out = append(out, wasmbin.KindFunc)
		out = wasmbin.AppendU32(out, m.types+typeRefill)
	case wasmbin.SectionFunction:
		out = wasmbin.AppendU32(out, n+uint32(m.report.Helpers))
		out = append(out, rest...)
		for h := range helperCount {
			if m.used[h] {
				out = wasmbin.AppendU32(out, m.types+helperTypes[h])
			}
		}
	case wasmbin.SectionGlobal:
		out = wasmbin.AppendU32(out, n+1)
		for range n {
			if out, err = m.emitGlobal(out, &r); err != nil {
				return nil, err
			}
		}
		out = append(out, wasmbin.I64, 1, byte(wasmbin.OpI64Const), 0, byte(wasmbin.OpEnd))
	case wasmbin.SectionExport:
		out = wasmbin.AppendU32(out, n+1)
		for range n {
			if out, err = m.emitExport(out, &r); err != nil {
				return nil, err
			}
		}
		out = appendName(out, m.cfg.Global)
		out = append(out, wasmbin.KindGlobal)
		out = wasmbin.AppendU32(out, m.globals)
	case wasmbin.SectionStart:
		fn, err := m.function(&r, 0)
		if err != nil {
			return nil, err
		}
		out = wasmbin.AppendU32(out, m.moved(fn))
	case wasmbin.SectionElement:
		out = wasmbin.AppendU32(out, n)
		for range n {
			if err := m.element(&r, &out); err != nil {
				return nil, err
			}
		}
	case wasmbin.SectionDataCount:
		out = append(out, rest...)
	default:
		out = wasmbin.AppendU32(out, n)
		out = append(out, rest...)
	}
	return closeSection(out, start), nil
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

func (m *module) emitGlobal(out []byte, r *wasmbin.Reader) ([]byte, error) {
	from := r.Pos()
	if _, _, err := r.Global(); err != nil {
		return nil, err
	}
	out = append(out, r.Slice(from, r.Pos())...)
	return m.emitExpr(out, r)
}

// emitExpr copies a constant expression and moves the functions it names.
func (m *module) emitExpr(out []byte, r *wasmbin.Reader) ([]byte, error) {
	from := r.Pos()
	err := r.ConstExpr(func(in *wasmbin.Instr) error {
		if in.Op == wasmbin.OpRefFunc {
			out = append(out, r.Slice(from, in.At)...)
			out = append(out, byte(wasmbin.OpRefFunc))
			out = wasmbin.AppendU32(out, m.moved(in.Index))
			from = r.Pos()
		}
		return m.checkIndex(in)
	})
	if err != nil {
		return nil, err
	}
	return append(out, r.Slice(from, r.Pos())...), nil
}

func (m *module) emitExport(out []byte, r *wasmbin.Reader) ([]byte, error) {
	from := r.Pos()
	if _, err := r.Name(); err != nil {
		return nil, err
	}
	kind, err := r.Kind()
	if err != nil {
		return nil, err
	}
	out = append(out, r.Slice(from, r.Pos())...)
	i, err := r.U32()
	if kind == wasmbin.KindFunc {
		i = m.moved(i)
	}
	return wasmbin.AppendU32(out, i), err
}

// element checks one element segment, in any of its eight encodings, and if out is
// not nil appends it with the functions moved.
func (m *module) element(r *wasmbin.Reader, out *[]byte) error {
	from := r.Pos()
	flags, err := r.U32()
	if err != nil {
		return err
	}
	if flags > 7 {
		return &wasmbin.Error{Offset: from, Reason: "unknown kind of element segment"}
	}
	const passiveOrDeclared, explicit, expressions = 1, 2, 4
	if flags&passiveOrDeclared == 0 {
		if flags&explicit != 0 {
			if _, err := r.U32(); err != nil { // table
				return err
			}
		}
		if err := r.ConstExpr(m.checkOffset); err != nil {
			return err
		}
	}
	if flags&(passiveOrDeclared|explicit) != 0 {
		if flags&expressions != 0 {
			_, err = r.RefType()
		} else {
			at := r.Pos()
			var kind byte
			if kind, err = r.Byte(); err == nil && kind != 0 {
				err = &wasmbin.Error{Offset: at, Reason: "unknown kind of element"}
			}
		}
		if err != nil {
			return err
		}
	}
	n, err := r.Count("elements", 1)
	if err != nil {
		return err
	}
	if out != nil {
		*out = append(*out, r.Slice(from, r.Pos())...)
	}
	for range n {
		switch {
		case flags&expressions == 0:
			fn, err := m.function(r, addressed)
			if err != nil {
				return err
			}
			if out != nil {
				*out = wasmbin.AppendU32(*out, m.moved(fn))
			}
		case out == nil:
			err = r.ConstExpr(m.checkIndex)
		default:
			*out, err = m.emitExpr(*out, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
