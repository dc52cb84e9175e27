package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// siteBytes is the upper bound of the code of one constant charge.
const siteBytes = 40

// stackBytes is the upper bound of the code of one charge of the stack.
const stackBytes = 48

// repeatBytes is the upper bound of repeat's additions to a br_if, besides a longer label.
const repeatBytes = 3

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
	out, start := openSection(out, wasmbin.SectionCode)
	out = wasmbin.AppendU32(out, n+uint32(m.report.Helpers))
	for i := range n {
		size, err := r.U32()
		if err != nil {
			return nil, err
		}
		body, err := r.Sub(size)
		if err != nil {
			return nil, err
		}
		var at int
		out, at = openSized(out)
		if out, err = m.emitBody(out, body, i); err != nil {
			return nil, err
		}
		out = closeSection(out, at)
	}
	for h := range helperCount {
		if m.used[h] {
			var at int
			out, at = openSized(out)
			out = closeSection(m.emitHelper(out, h), at)
		}
	}
	return closeSection(out, start), nil
}

// emitFrame is a block of the guest's that is open while its function is emitted.
type emitFrame struct {
	wraps   int32 // ifs that the rewriter has opened around the frame's label
	repeats bool  // a loop, whose label takes no values
	charge  int64 // of a loop whose body is in such an if; else 0
}

// emitBody appends the defined function fn, charged. No byte of the guest's is
// copied: each instruction is encoded anew from what was decoded, so that the engine
// reads the charged code, also where it decodes unusual encodings differently.
//
// A charge subtracts from the counter, and the charged code is in an if whose
// condition is that fuel is left. Its else refills and tries again: it jumps to
// the loop's head, or calls the function anew with the same arguments. So the
// engine sees no edge from the cold code into the hot: it keeps values in registers,
// and the hot code falls through. Continuing behind the cold code instead made small
// functions up to 50 % slower.
func (m *module) emitBody(out []byte, r wasmbin.Reader, fn uint32) ([]byte, error) {
	a, shape, code := &m.work, m.shapes[m.defined[fn]], r
	if _, err := code.Locals(nil); err != nil {
		return nil, err
	}
	if err := m.analyse(code, a); err != nil {
		return nil, err
	}
	out, scratch, err := m.locals(out, &r, shape, a.scratch)
	if err != nil {
		return nil, err
	}
	if m.folded[fn] != 0 { // its callers pay
		a.charges[0] = 0
	}
	for _, c := range a.charges {
		m.report.MaxCharge = max(m.report.MaxCharge, c)
	}
	entry, stack, wrapped := a.charges[0], m.stackOf[fn], false
	if a.merged && stack == 0 {
		m.report.Merged++
	}
	if entry > 0 {
		m.report.Entries++
		out = m.subtract(out, entry)
	}
	if stack > 0 {
		m.report.StackEntries++
		out = m.addStack(out, -stack)
	}
	switch {
	case entry == 0 && stack == 0:
	case a.merged && stack == 0: // the loop that follows checks the counter
	case shape.wrap && stack > 0: // a branch to the function's label now ends the if, which is the same
		out, wrapped = m.bothLeft(out, shape.result), true
	case shape.wrap:
		out, wrapped = m.fuelLeft(out, shape.result), true
	case stack > 0:
		out = append(m.refillElse(m.bothLeft(out, wasmbin.BlockVoid), 0), byte(wasmbin.OpEnd))
	default:
		out = m.refillInline(out)
	}
	frames := append(m.frames[:0], emitFrame{charge: 0})
	wraps, loop, jumps := int32(0), 0, 0
	var in wasmbin.Instr
	for r.Left() > 0 {
		if err := r.Instr(&in); err != nil {
			return nil, err
		}
		if m.marks != nil {
			m.marks = append(m.marks, mark{len(out), in.At})
		}
		switch in.Op {
		case wasmbin.OpBlock, wasmbin.OpIf:
			frames = append(frames, emitFrame{wraps: wraps})
		case wasmbin.OpLoop:
			loop++
			f := emitFrame{wraps: wraps, repeats: !in.HasType}
			out = wasmbin.AppendInstr(out, &in)
			if c := a.charges[loop]; c > 0 {
				m.report.Loops++
				f.charge = c
				wraps++
				out = m.fuelLeft(m.subtract(out, c))
				out = wasmbin.AppendBlockType(out, &in)
			}
			frames = append(frames, f)
			continue
		case wasmbin.OpEnd:
			f := frames[len(frames)-1]
			frames = frames[:len(frames)-1]
			if f.charge > 0 {
				wraps--
				out = m.refillElse(out, f.charge)
				out = append(out, byte(wasmbin.OpBr), 1, byte(wasmbin.OpEnd))
			}
			if len(frames) == 0 && wrapped {
				if m.marks != nil {
					m.marks[len(m.marks)-1].in = again
				}
				out = m.refillElse(out, entry)
				if stack > 0 {
					out = m.addStack(out, stack)
				}
				for i := range byte(shape.params) {
					out = append(out, byte(wasmbin.OpLocalGet), i)
				}
				out = wasmbin.AppendU32(append(out, byte(wasmbin.OpCall)), m.moved(m.importFuncs+fn))
				out = append(out, byte(wasmbin.OpEnd))
			}
		case wasmbin.OpBrIf:
			repeats := frames[len(frames)-1-int(in.Index)].repeats
			in.Index = moveLabel(frames, wraps, in.Index)
			if repeats {
				out = repeat(out, in.Index)
				continue
			}
		case wasmbin.OpBr:
			if jumps < len(a.jumps) && a.jumps[jumps].at == in.At {
				in.Index = a.jumps[jumps].label
				m.report.Jumps++
				jumps++
			}
			in.Index = moveLabel(frames, wraps, in.Index)
		case wasmbin.OpBrTable:
			out = wasmbin.AppendU32(append(out, byte(in.Op)), in.Count-1)
			for range in.Count {
				l, err := in.Labels.U32()
				if err != nil {
					return nil, err
				}
				out = wasmbin.AppendU32(out, moveLabel(frames, wraps, l))
			}
			continue
		case wasmbin.OpCall:
			in.Index = m.moved(in.Index)
		case wasmbin.OpRefFunc:
			in.Op, in.Index = wasmbin.OpGlobalGet, m.refGlobal(in.Index)
		case wasmbin.OpCallIndirect:
			if n := m.stackOfType[m.shapes[in.Index].same]; n > 0 {
				m.report.StackCalls++
				out = m.chargeCall(out, n)
			}
		default:
			if h, ok := bulkHelper(in.Op); ok {
				m.report.Bulk++
				if h == helperFill || h == helperCopy {
					out = m.bulk(out, h, scratch, &in)
					continue
				}
				out = m.callHelper(out, h)
			}
		}
		out = wasmbin.AppendInstr(out, &in)
	}
	m.frames = frames
	return out, nil
}

// bulk appends memory.fill or memory.copy: as it is when the length, kept in the
// local scratch, is small and so paid for by the constant charge; else its helper.
func (m *module) bulk(out []byte, h helper, scratch uint32, in *wasmbin.Instr) []byte {
	out = wasmbin.AppendU32(append(out, byte(wasmbin.OpLocalTee)), scratch)
	out = wasmbin.AppendU32(append(out, byte(wasmbin.OpLocalGet)), scratch)
	out = wasmbin.AppendS64(append(out, byte(wasmbin.OpI32Const)), smallBytes)
	out = append(out, opI32LeU, byte(wasmbin.OpIf))
	out = wasmbin.AppendS64(out, int64(m.types+typeBulk))
	out = wasmbin.AppendInstr(out, in)
	out = append(out, byte(wasmbin.OpElse))
	return append(m.callHelper(out, h), byte(wasmbin.OpEnd))
}

// locals appends the local declarations of a body, with one more local if its code
// needs that, and returns its index.
func (m *module) locals(out []byte, r *wasmbin.Reader, shape shape, scratch bool) ([]byte, uint32, error) {
	groups := *r
	n, err := groups.U32()
	if err != nil {
		return nil, 0, err
	}
	if scratch {
		n++
	}
	out = wasmbin.AppendU32(out, n)
	declared, err := r.Locals(func(n uint32, valType byte) {
		out = append(wasmbin.AppendU32(out, n), valType)
	})
	if scratch {
		out = append(out, 1, wasmbin.I32)
	}
	return out, shape.params + declared, err
}

// moveLabel is a label in the output: past the ifs opened around what lies between.
// scan has checked that it exists.
func moveLabel(frames []emitFrame, wraps int32, label uint32) uint32 {
	return label + uint32(wraps-frames[len(frames)-1-int(label)].wraps)
}

// repeat appends a br_if to a loop's head, whose label there is given, as an if around
// a br. They have the same effect, but where the block has two successors and the loop's
// head two predecessors, wazero 1.12 inserts a block between, and does not fuse the
// br_if with the comparison before it. That costs three instructions a pass, as many
// as the charge.
func repeat(out []byte, label uint32) []byte {
	out = append(out, byte(wasmbin.OpIf), wasmbin.BlockVoid, byte(wasmbin.OpBr))
	return append(wasmbin.AppendU32(out, label+1), byte(wasmbin.OpEnd))
}

// subtract appends the subtraction of a constant from the counter.
func (m *module) subtract(out []byte, fuel int64) []byte {
	out = m.globalGet(out)
	out = wasmbin.AppendS64(append(out, byte(wasmbin.OpI64Const)), fuel)
	return m.globalSet(append(out, opI64Sub))
}

// fuelLeft appends an if, of a block type to be appended unless given, whose
// condition is that the counter is not below zero.
func (m *module) fuelLeft(out []byte, blockType ...byte) []byte {
	out = m.globalGet(out)
	out = append(out, byte(wasmbin.OpI64Const), 0, opI64GeS, byte(wasmbin.OpIf))
	return append(out, blockType...)
}

// refillElse appends the else of fuelLeft up to its refill, which gives the charge
// back: it will be subtracted again.
func (m *module) refillElse(out []byte, charge int64) []byte {
	out = append(out, byte(wasmbin.OpElse), byte(wasmbin.OpI64Const))
	return m.callHelper(wasmbin.AppendS64(out, charge), helperRefill)
}

// refillInline appends a refill, if one is needed, behind which the code goes on.
// The call is in the else, since the engine lays out the then part as the likely one.
func (m *module) refillInline(out []byte) []byte {
	out = m.refillElse(m.fuelLeft(out, wasmbin.BlockVoid), 0)
	return append(out, byte(wasmbin.OpEnd))
}

func (m *module) globalGet(out []byte) []byte {
	return wasmbin.AppendU32(append(out, byte(wasmbin.OpGlobalGet)), m.globals)
}

func (m *module) globalSet(out []byte) []byte {
	return wasmbin.AppendU32(append(out, byte(wasmbin.OpGlobalSet)), m.globals)
}
