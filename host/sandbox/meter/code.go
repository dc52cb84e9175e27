package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// siteBytes is the most that one constant charge adds to the code.
const siteBytes = 48

// emitCode appends the code section, the helpers included.
func (m *module) emitCode(out []byte) ([]byte, error) {
	m.section = wasmbin.SectionName(wasmbin.SectionCode)
	r := m.sections[wasmbin.SectionCode]
	n := uint32(0)
	if r.Left() > 0 {
		var err error
		if n, err = r.U32(); err != nil {
			return nil, err
		}
	}
	out, start := begin(out, wasmbin.SectionCode)
	out = wasmbin.AppendU32(out, n+uint32(m.report.Helpers))
	var scratch []byte
	for i := range n {
		size, err := r.U32()
		if err != nil {
			return nil, err
		}
		body, err := r.Sub(size)
		if err != nil {
			return nil, err
		}
		if scratch, err = m.emitBody(scratch[:0], body, i); err != nil {
			return nil, err
		}
		out = wasmbin.AppendU32(out, uint32(len(scratch)))
		out = append(out, scratch...)
	}
	for h := range helperCount {
		if m.used[h] {
			scratch = m.emitHelper(scratch[:0], h)
			out = wasmbin.AppendU32(out, uint32(len(scratch)))
			out = append(out, scratch...)
		}
	}
	return end(out, start), nil
}

// emitBody appends the defined function fn, charged.
func (m *module) emitBody(out []byte, r wasmbin.Reader, fn uint32) ([]byte, error) {
	a := &m.work
	from := r.Pos()
	if _, err := r.Locals(); err != nil {
		return nil, err
	}
	if err := m.analyse(r, a); err != nil {
		return nil, err
	}
	if m.folded[fn] != 0 { // its callers pay
		a.charges[0] = 0
	}
	if a.merged {
		m.report.Merged++
	}
	if a.charges[0] > 0 {
		m.report.Entries++
	}
	out = append(out, r.Slice(from, r.Pos())...)
	out = m.charge(out, a.charges[0])
	from = r.Pos()

	loop := 0
	var in wasmbin.Instr
	for r.Left() > 0 {
		if err := r.Instr(&in); err != nil {
			return nil, err
		}
		switch in.Op {
		case wasmbin.OpLoop:
			loop++
			if c := a.charges[loop]; c > 0 {
				m.report.Loops++
				out = append(out, r.Slice(from, r.Pos())...)
				out = m.charge(out, c)
				from = r.Pos()
			}
			continue
		case wasmbin.OpCall, wasmbin.OpRefFunc:
			if in.Index < m.importFuncs {
				continue
			}
			out = append(out, r.Slice(from, in.At)...)
			out = append(out, byte(in.Op))
			out = wasmbin.AppendU32(out, in.Index+1)
			from = r.Pos()
			continue
		}
		h, ok := bulkHelper(in.Op)
		if !ok {
			continue
		}
		m.report.Bulk++
		out = append(out, r.Slice(from, in.At)...)
		out = m.callHelper(out, h)
		if from = in.At; helperReplaces(h) {
			from = r.Pos()
		}
	}
	return append(out, r.Slice(from, r.Pos())...), nil
}

// charge appends the subtraction of a constant, and the call of refill for when the
// counter is below zero. It stands where the engine holds nothing in registers yet:
// before a function's or a loop's first instruction.
func (m *module) charge(out []byte, fuel int64) []byte {
	if fuel <= 0 {
		return out
	}
	m.report.MaxCharge = max(m.report.MaxCharge, int(fuel))
	out = m.globalGet(out)
	out = append(out, byte(wasmbin.OpI64Const))
	out = wasmbin.AppendS64(out, fuel)
	return m.subtract(out)
}

// subtract appends the part of a charge behind the counter and the amount.
func (m *module) subtract(out []byte) []byte {
	out = append(out, opI64Sub)
	out = m.globalSet(out)
	out = m.globalGet(out)
	out = append(out, byte(wasmbin.OpI64Const), 0, opI64GeS, byte(wasmbin.OpIf), blockVoid, byte(wasmbin.OpElse))
	out = m.callHelper(out, helperRefill)
	return append(out, byte(wasmbin.OpEnd))
}

func (m *module) globalGet(out []byte) []byte {
	return wasmbin.AppendU32(append(out, byte(wasmbin.OpGlobalGet)), m.globals)
}

func (m *module) globalSet(out []byte) []byte {
	return wasmbin.AppendU32(append(out, byte(wasmbin.OpGlobalSet)), m.globals)
}
