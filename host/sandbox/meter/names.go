package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// Subsections of the name section that number functions. Labels are numbered by
// the order of blocks in a function, to which each charge adds one: they are left
// out. The other subsections number what does not move.
const (
	namesFunctions = 1
	namesLocals    = 2
	namesLabels    = 3
)

// emitNames appends the name section with the functions moved and the added ones
// named. A malformed one is left out, as the specification allows: it decides
// nothing but how a stack trace reads.
func (m *module) emitNames(out []byte) []byte {
	before := len(out)
	out, start := openSection(out, wasmbin.SectionCustom)
	out = appendName(out, "name")
	r := m.names
	for r.Left() > 0 {
		id, _ := r.Byte()
		size, err := r.U32()
		var sub wasmbin.Reader
		if err == nil {
			sub, err = r.Sub(size)
		}
		if err == nil && id != namesLabels {
			var inner int
			out, inner = openSection(out, id)
			switch id {
			case namesFunctions:
				out, err = m.emitFunctionNames(out, &sub)
			case namesLocals:
				out, err = m.emitLocalNames(out, &sub)
			default:
				out = append(out, sub.Slice(sub.Pos(), sub.Pos()+sub.Left())...)
			}
			if err == nil {
				out = closeSection(out, inner)
			}
		}
		if err != nil {
			m.report.DroppedNames = true
			return out[:before]
		}
	}
	return closeSection(out, start)
}

func (m *module) emitFunctionNames(out []byte, r *wasmbin.Reader) ([]byte, error) {
	n, err := r.Count("function names", 2)
	if err != nil {
		return out, err
	}
	out = wasmbin.AppendU32(out, n+1+uint32(m.report.Helpers))
	refill := false
	addRefill := func() {
		out = wasmbin.AppendU32(out, m.importFuncs)
		out = appendName(out, m.cfg.Module+"."+m.cfg.Name)
		refill = true
	}
	next := uint64(0)
	for range n {
		fn, err := r.U32()
		if err != nil {
			return out, err
		}
		if uint64(fn) < next || fn >= m.funcs {
			return out, r.Errorf("function names out of order")
		}
		next = uint64(fn) + 1
		name, err := r.Name()
		if err != nil {
			return out, err
		}
		if fn >= m.importFuncs && !refill {
			addRefill()
		}
		out = wasmbin.AppendU32(out, m.moved(fn))
		out = appendName(out, string(name))
	}
	if !refill {
		addRefill()
	}
	fn := m.funcs + 1
	for h, used := range m.used {
		if used {
			out = wasmbin.AppendU32(out, fn)
			out = appendName(out, m.cfg.Module+"."+helperNames[h])
			fn++
		}
	}
	return out, r.Done("the function names")
}

func (m *module) emitLocalNames(out []byte, r *wasmbin.Reader) ([]byte, error) {
	n, err := r.Count("functions with local names", 2)
	if err != nil {
		return out, err
	}
	out = wasmbin.AppendU32(out, n)
	for range n {
		fn, err := r.U32()
		if err != nil {
			return out, err
		}
		if fn >= m.funcs {
			return out, r.Errorf("local names of a function that does not exist")
		}
		out = wasmbin.AppendU32(out, m.moved(fn))
		from := r.Pos()
		locals, err := r.Count("local names", 2)
		if err != nil {
			return out, err
		}
		for range locals {
			if _, err := r.U32(); err != nil {
				return out, err
			}
			if _, err := r.Name(); err != nil {
				return out, err
			}
		}
		out = append(out, r.Slice(from, r.Pos())...)
	}
	return out, r.Done("the local names")
}
