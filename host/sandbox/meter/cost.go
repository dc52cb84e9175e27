package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// A function's code is cut into regions: the code outside of loops, and each
// loop's code outside of inner loops. Each region has one charge, paid when it
// is entered: at the function's entry, and at the loop's head each time it is
// passed. Without its loops a region has only forward branches, so its most
// expensive path comes out of one pass over the code.

// dead is the cost so far of code that cannot be reached.
const dead = int64(-1)

type frame struct {
	exit     int64 // most expensive way to branch to this frame's end, or dead
	saved    int64 // if: the cost at its condition; loop: the outer region's cost at its head
	opened   int64 // as assignments count; 0 but while scanning
	assigned int64 // locals that are assigned within, as often as the engine may keep them
	region   int32 // number of the region its label's code belongs to
	loops    int32 // how many loops enclose the label's code
	kind     byte  // the opcode that opened it; OpElse once its else was passed

	head     int32 // number of the loop whose head opened this block; 0: none
	dispatch int32 // loop: its dispatch's index, and 1; 0: none
}

// analysis has the costs of one function's code. Its slices are reused.
type analysis struct {
	charges []int64 // [0] the entry's, then each loop head's in order; dead: cannot be reached
	merged  bool    // the entry leads straight to the first loop, whose charge checks for both
	scratch bool    // needs a scratch local
	leaf    bool    // no loop, no call, nothing of dynamic length

	jumps   []jump // those that have a shorter way, in order
	repeats int    // br_ifs to a loop's head
	stack   stackUse

	frames []frame
	loops  []int // of frames: the enclosing loops

	heading    heading
	setting    setting
	dispatches []dispatch
	targets    []int32 // of the dispatches: frames

	in wasmbin.Instr
}

// analyse walks the code behind the locals. All indices in it are checked.
func (m *module) analyse(r wasmbin.Reader, a *analysis) error {
	a.charges = append(a.charges[:0], 0)
	a.frames = append(a.frames[:0], frame{exit: dead, kind: byte(wasmbin.OpBlock)})
	a.loops = a.loops[:0]
	a.merged, a.leaf = false, true
	a.scratch = false
	a.jumps, a.repeats = a.jumps[:0], 0
	m.assignments.now++
	a.frames[0].opened = m.assignments.now
	a.stack = stackUse{}
	a.heading, a.setting = heading{}, setting{}
	a.dispatches, a.targets = a.dispatches[:0], a.targets[:0]

	cur := int64(weightEntry)
	region := int32(0)
	straight, first := true, false // nothing but plain instructions so far; a loop came straight after the entry
	safe := true                   // and none of them can trap
	in := &a.in
	for len(a.frames) > 0 {
		if err := r.Instr(in); err != nil {
			return err
		}
		if err := m.checkIndex(in); err != nil {
			return err
		}
		if m.pins {
			m.use(in, a)
		}
		w := weight(in.Op)
		switch in.Op {
		case wasmbin.OpCall:
			w = m.callWeight(in.Index)
			a.leaf = false
		case wasmbin.OpCallIndirect:
			w += m.indirect
			a.leaf = false
		default:
			if h, ok := bulkHelper(in.Op); ok {
				a.leaf = false
				m.used[h] = true
				m.growsTable = m.growsTable || in.Op == wasmbin.OpTableGrow
				a.scratch = a.scratch || h == helperFill || h == helperCopy
			}
		}
		if cur != dead {
			cur += w
		}
		if straight {
			straight = plain(in.Op)
			safe = safe && !traps(in.Op)
			first = in.Op == wasmbin.OpLoop
		}

		switch in.Op {
		case wasmbin.OpBlock, wasmbin.OpIf, wasmbin.OpLoop:
			if len(a.frames) > m.cfg.MaxNesting {
				return &wasmbin.Error{Offset: in.At, Reason: "blocks nest too deep"}
			}
			m.assignments.now++
			f := frame{opened: m.assignments.now, exit: dead, saved: cur, region: region, loops: int32(len(a.loops)), kind: byte(in.Op)}
			if in.Op == wasmbin.OpLoop {
				a.leaf = false
				a.charges[region] = max(a.charges[region], cur) // no path may come back from the loop
				a.loops = append(a.loops, len(a.frames))
				region = int32(len(a.charges))
				a.charges = append(a.charges, dead)
				if cur != dead {
					cur = weightSimple
				}
			}
			a.frames = append(a.frames, f)
		case wasmbin.OpElse:
			f := &a.frames[len(a.frames)-1]
			if f.kind != byte(wasmbin.OpIf) {
				return &wasmbin.Error{Offset: in.At, Reason: "else without if"}
			}
			f.kind = byte(wasmbin.OpElse)
			f.exit, cur = max(f.exit, cur), f.saved
		case wasmbin.OpEnd:
			f := a.frames[len(a.frames)-1]
			a.frames = a.frames[:len(a.frames)-1]
			switch f.kind {
			case byte(wasmbin.OpLoop):
				a.charges[region] = max(a.charges[region], cur)
				a.loops = a.loops[:len(a.loops)-1]
				region = f.region
				if cur != dead {
					cur = f.saved
				}
			case byte(wasmbin.OpIf): // no else: the condition was false
				cur = max(cur, f.exit, f.saved)
			default:
				cur = max(cur, f.exit)
			}
		case wasmbin.OpBr, wasmbin.OpBrIf:
			label := in.Index
			if in.Op == wasmbin.OpBr {
				if l, ok := a.shorter(label); ok {
					label = l
					a.jumps = append(a.jumps, jump{in.At, l})
					if cur != dead {
						cur += weight(wasmbin.OpLocalGet) + weight(wasmbin.OpBrTable)
					}
				}
			}
			if err := a.branch(in, label, cur); err != nil {
				return err
			}
		case wasmbin.OpBrTable:
			labels := in.Labels
			for range in.Count {
				l, err := labels.U32()
				if err != nil {
					return err
				}
				if err := a.branch(in, l, cur); err != nil {
					return err
				}
			}
		}
		switch in.Op {
		case wasmbin.OpBr, wasmbin.OpBrTable, wasmbin.OpReturn, wasmbin.OpUnreachable:
			a.charges[region] = max(a.charges[region], cur)
			cur = dead
		}
		if err := a.watch(in, opens(in.Op) && !in.HasType && in.Type == wasmbin.BlockVoid); err != nil {
			return err
		}
	}
	a.charges[0] = max(a.charges[0], cur)
	if a.merged = first && a.charges[1] != dead; a.merged && safe && a.charges[0] <= mergeLimit {
		a.charges[1] += a.charges[0]
		a.charges[0] = 0
	}
	return r.Done("the function body")
}

// branch records the cost of the way to a label's end.
func (a *analysis) branch(in *wasmbin.Instr, label uint32, cur int64) error {
	if uint64(label) >= uint64(len(a.frames)) {
		return &wasmbin.Error{Offset: in.At, Reason: "branch to a label that does not exist"}
	}
	f := &a.frames[len(a.frames)-1-int(label)]
	if f.kind == byte(wasmbin.OpLoop) && in.Op == wasmbin.OpBrIf {
		a.repeats++
	}
	if cur == dead || f.kind == byte(wasmbin.OpLoop) { // a loop's label is its head, which has its own charge
		return nil
	}
	if int(f.loops) < len(a.loops) { // out of loops: the label's region stood still since it entered them
		cur = a.frames[a.loops[f.loops]].saved
	}
	f.exit = max(f.exit, cur)
	return nil
}

// opens reports whether an instruction has a block type.
func opens(op wasmbin.Op) bool {
	return op >= wasmbin.OpBlock && op <= wasmbin.OpIf
}

// plain instructions neither branch nor call nor take long.
func plain(op wasmbin.Op) bool {
	switch op {
	case wasmbin.OpBlock, wasmbin.OpNop:
		return true
	case wasmbin.OpMemoryGrow, wasmbin.OpRefFunc:
		return false
	}
	return op >= wasmbin.OpDrop && op < 0xfc00
}

// traps reports whether a plain instruction can trap.
func traps(op wasmbin.Op) bool {
	switch {
	case op >= wasmbin.OpI32Load && op <= wasmbin.OpI64Store32, op == wasmbin.OpTableGet, op == wasmbin.OpTableSet:
		return true
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82: // division
		return true
	}
	return op >= 0xa8 && op <= 0xb1 && op != 0xac && op != 0xad // truncation
}

// callWeight is the caller's charge for a direct call, a folded callee included.
func (m *module) callWeight(callee uint32) int64 {
	if callee < m.importFuncs {
		return weightHostCall
	}
	return weightCall + int64(m.folded[callee-m.importFuncs])
}

// checkIndex refuses indices beyond the guest's own: the rewriter's additions follow
// them.
func (m *module) checkIndex(in *wasmbin.Instr) error {
	limit, what := uint32(0), ""
	switch in.Op {
	case wasmbin.OpCall, wasmbin.OpRefFunc:
		limit, what = m.funcs, "function"
	case wasmbin.OpGlobalGet, wasmbin.OpGlobalSet:
		limit, what = m.globals, "global"
	case wasmbin.OpCallIndirect:
		limit, what = m.types, "type"
	case wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpIf:
		if !in.HasType {
			return nil
		}
		limit, what = m.types, "type"
	default:
		return nil
	}
	if in.Index >= limit {
		return &wasmbin.Error{Offset: in.At, Reason: "unknown " + what + " index"}
	}
	if in.Op == wasmbin.OpRefFunc {
		if m.section != wasmbin.SectionName(wasmbin.SectionCode) {
			m.declare(in.Index)
		} else if !m.isDeclared(in.Index) {
			return &wasmbin.Error{Offset: in.At, Reason: "undeclared function reference"}
		}
		m.mark(in.Index, addressed)
	}
	return nil
}
