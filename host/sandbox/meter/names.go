package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// namesFunctions is the subsection of the name section that stack traces are written with.
// The others are dropped: the engine would repeat the module's name for each function and
// search local names for each function, and labels are numbered by the order of blocks, to
// which each charge adds one.
const namesFunctions = 1

// maxName is the longest name of a function that is kept, in bytes: a stack trace
// repeats it for every frame.
const maxName = 4096

// emitNames appends the name section with the functions moved and the added ones
// named. A malformed one is dropped, as the specification allows: it only affects
// stack traces.
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
		if err == nil && id == namesFunctions {
			var inner int
			out, inner = openSection(out, id)
			if out, err = m.emitFunctionNames(out, &sub); err == nil {
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
		if len(name) > maxName {
			name = nil
		}
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
