package meter

import (
	"fmt"
	"sort"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// A second counter, the stack left, bounds how far the call stack can grow before the
// host measures it. It is subtracted from where a call can lead deeper without end:
// at the entry of one function, or at the call_indirects of one type, of each cycle of
// the call graph. The charge is a bound of the stack that the engine uses from
// there to the next such point. Nothing is added back on return: the host measures
// the real stack when the counter is below zero, and sets it to the bytes that may be
// used before the next measurement. So a bound that is too high costs time only, and
// leaf functions do not charge.

const (
	// maxChain bounds the stack of a chain of calls without a charge, in bytes; beyond
	// it one of the functions charges for all.
	maxChain = 16 << 10
	// maxFrame is the largest bound of one function's frame, in bytes. Compilers stay
	// far below it.
	maxFrame = 16 << 20

	// The parts of the engine's frame of a function, in bytes.
	frameFixed    = 64 // return address, frame pointer, alignment, the engine's own check
	frameSaved    = 16 // a register that the function saves for its caller
	savedRegs     = 24 // as many are there at most, on any architecture
	frameSlot     = 8  // a spilled value
	wideSlot      = 16 // one of a function with vectors
	valuesSimple  = 1  // values that the engine makes of an instruction: its result and a temporary
	valuesMemory  = 2  // of a load or store
	valuesComplex = 4  // of a vector instruction, a call, a bulk instruction
)

// trackedLocals is the number of locals whose assignments are counted once for each
// block. Each assignment of a later local counts for every block around it.
const trackedLocals = 1 << 13

// stackUse describes a function's frame while its code is read.
type stackUse struct {
	values  int64 // that the engine may keep on the stack
	outputs int64 // most bytes of arguments and results of one call
	wide    bool  // it has vectors
}

// frameBytes is the bound of the frame.
func (u *stackUse) frameBytes() int64 {
	slot := int64(frameSlot)
	if u.wide {
		slot = wideSlot
	}
	return frameFixed + frameSaved*min(u.values, savedRegs) + slot*u.values + u.outputs
}

// assignments counts the locals that are assigned within blocks: where two branches
// join, the engine makes a value of each local that was assigned on one of them.
type assignments struct {
	now  int64
	last []int64 // when each local was assigned; see trackedLocals
}

// assigned records the assignment of a local.
func (a *analysis) assigned(s *assignments, local uint32) {
	s.now++
	top := len(a.frames) - 1
	a.frames[top].assigned++
	if local >= trackedLocals {
		for i := range a.frames[:top] {
			a.frames[i].assigned++
		}
		return
	}
	for int(local) >= len(s.last) {
		s.last = append(s.last, make([]int64, max(64, len(s.last)))...)
	}
	// It is new to the frames that were opened since it was assigned last.
	known := sort.Search(len(a.frames), func(i int) bool { return a.frames[i].opened >= s.last[local] }) - 1
	if s.last[local] != 0 && known >= 0 {
		a.frames[known].assigned--
	}
	s.last[local] = s.now
}

// use adds an instruction to the stackUse of a function. It is called with each
// instruction before its frame is opened or closed.
func (m *module) use(in *wasmbin.Instr, a *analysis) {
	u := &a.stack
	switch op := in.Op; {
	case op == wasmbin.OpBlock, op == wasmbin.OpLoop, op == wasmbin.OpIf:
		if in.HasType {
			s := &m.shapes[in.Index]
			u.values += int64(s.params) + int64(s.results)
			u.wide = u.wide || s.wide
		} else {
			u.values++
		}
	case op == wasmbin.OpLocalSet, op == wasmbin.OpLocalTee:
		a.assigned(&m.assignments, in.Index)
	case op == wasmbin.OpEnd:
		if top := len(a.frames) - 1; top > 0 {
			f := &a.frames[top]
			u.values += f.assigned
			a.frames[top-1].assigned += f.assigned
		}
	case op == wasmbin.OpRefFunc:
		m.refer(in.Index)
		u.values += valuesSimple
	case op == wasmbin.OpCall:
		if in.Index < m.importFuncs {
			m.calling(u, m.imported[in.Index])
		} else {
			m.calling(u, m.defined[in.Index-m.importFuncs])
			m.calls = append(m.calls, in.Index-m.importFuncs)
		}
	case op == wasmbin.OpCallIndirect:
		m.calling(u, in.Index)
		m.indirects++
		m.calls = append(m.calls, uint32(len(m.defined))+m.shapes[in.Index].same)
	case op >= 0xfd00:
		u.values += valuesComplex
		u.wide = true
	case op >= wasmbin.OpMemoryInit:
		u.values += valuesComplex
	case op >= wasmbin.OpI32Load && op <= wasmbin.OpI64Store32, op == wasmbin.OpTableGet, op == wasmbin.OpTableSet:
		u.values += valuesMemory
	case op >= wasmbin.OpSelect && op != wasmbin.OpLocalGet:
		u.values += valuesSimple
	}
}

// frame is the bound of the frame of a defined function, whose code was read.
func (m *module) frame(fn uint32, a *analysis) (int32, error) {
	u, s := &a.stack, &m.shapes[m.defined[fn]]
	u.values += int64(s.params) + int64(s.results) + int64(m.declared.count)
	u.wide = u.wide || s.wide || m.declared.wide
	n := u.frameBytes()
	m.report.MaxFrame = max(m.report.MaxFrame, int32(min(n, maxFrame)))
	if n > maxFrame {
		return 0, fmt.Errorf("one call of function %d may need %d bytes of stack, more than %d: split it", m.importFuncs+fn, n, maxFrame)
	}
	return int32(n), nil
}

// calling adds a call of a function of a type.
func (m *module) calling(u *stackUse, typ uint32) {
	s := &m.shapes[typ]
	u.values += valuesComplex + int64(s.results)
	u.wide = u.wide || s.wide
	u.outputs = max(u.outputs, wideSlot*(int64(s.params)+int64(s.results)))
}

// callGraph finds where the stack is charged. Its nodes are the defined functions and,
// behind them, the types: a call_indirect calls its type, and a type each function of
// that type which has an address.
type callGraph struct {
	m      *module
	first  []uint32 // of a type: the first function that has an address, and 1
	next   []uint32 // of a function: the next of its type, and 1
	state  []uint8  // of a node
	chain  []int32  // of a node: the bytes of stack that it and what it calls may use, up to what charges
	charge []int32  // of a node; 0 for none
}

const (
	unseen = iota
	open   // it is being visited, or what it calls
	closed
)

// chargeStack decides which functions and types charge the stack. It is called when
// all code has been read.
func (m *module) chargeStack() {
	types := len(m.sameType)
	nodes := len(m.defined) + types
	g := &callGraph{m: m, first: make([]uint32, types), next: make([]uint32, len(m.defined)),
		state: make([]uint8, nodes), chain: make([]int32, nodes), charge: make([]int32, nodes)}
	for fn, typ := range m.defined {
		if m.folded[fn]&addressed != 0 || m.sharesTable {
			same := m.shapes[typ].same
			g.next[fn], g.first[same] = g.first[same], uint32(fn)+1
		}
	}
	// Types first: a cycle through a type is then charged at its call_indirects.
	for typ := range types {
		g.visit(uint32(len(m.defined) + typ))
	}
	for fn := range m.defined {
		g.visit(uint32(fn))
	}
	m.stackOf, m.stackOfType = g.charge[:len(m.defined)], g.charge[len(m.defined):]
}

// visited is a node on the way from the one where a visit began.
type visited struct {
	node uint32
	edge uint32 // of a function: how many of its calls were followed; of a type: the next function, and 1
}

// visit goes through what a node calls, depth first. A call of a node that is open
// closes a cycle: that node charges.
func (g *callGraph) visit(root uint32) {
	if g.state[root] != unseen {
		return
	}
	way := append(g.m.way[:0], g.enter(root))
	for len(way) > 0 {
		at := &way[len(way)-1]
		callee, ok := g.callee(at)
		if ok {
			switch g.state[callee] {
			case unseen:
				way = append(way, g.enter(callee))
			case open:
				g.charge[callee] = 1 // the amount is known when it is closed
			case closed:
				g.below(at.node, callee)
			}
			continue
		}
		node := at.node
		way = way[:len(way)-1]
		g.close(node)
		if len(way) > 0 {
			g.below(way[len(way)-1].node, node)
		}
	}
	g.m.way = way
}

func (g *callGraph) enter(node uint32) visited {
	g.state[node] = open
	v := visited{node: node}
	if fns := uint32(len(g.m.defined)); node >= fns {
		v.edge = g.first[node-fns]
	}
	return v
}

// callee is the next node that a node calls.
func (g *callGraph) callee(at *visited) (uint32, bool) {
	if at.node >= uint32(len(g.m.defined)) {
		if at.edge == 0 {
			return 0, false
		}
		fn := at.edge - 1
		at.edge = g.next[fn]
		return fn, true
	}
	calls := g.m.calls[g.m.callsOf[at.node]:g.m.callsOf[at.node+1]]
	if int(at.edge) == len(calls) {
		return 0, false
	}
	at.edge++
	return calls[at.edge-1], true
}

// below records that a node calls a closed node.
func (g *callGraph) below(node, callee uint32) {
	if g.charge[callee] == 0 {
		g.chain[node] = max(g.chain[node], g.chain[callee])
	}
}

func (g *callGraph) close(node uint32) {
	g.state[node] = closed
	if int(node) < len(g.m.frameBytes) {
		g.chain[node] += g.m.frameBytes[node]
	}
	if g.charge[node] != 0 || g.chain[node] > maxChain {
		g.charge[node] = max(1, g.chain[node])
	}
}

// stackSites is an upper bound of the number of charges of the stack.
func (m *module) stackSites() int {
	n := m.indirects
	for _, charge := range m.stackOf {
		if charge > 0 {
			n++
		}
	}
	return n
}

// stackGlobal is the index of the stack left.
func (m *module) stackGlobal() uint32 { return m.globals + 1 }

// addStack appends the addition of a constant to the stack left.
func (m *module) addStack(out []byte, n int32) []byte {
	out = wasmbin.AppendU32(append(out, byte(wasmbin.OpGlobalGet)), m.stackGlobal())
	out = wasmbin.AppendS64(append(out, byte(wasmbin.OpI64Const)), int64(n))
	return wasmbin.AppendU32(append(out, opI64Add, byte(wasmbin.OpGlobalSet)), m.stackGlobal())
}

// bothLeft is fuelLeft for both counters.
func (m *module) bothLeft(out []byte, blockType byte) []byte {
	out = m.lesser(out)
	return append(out, byte(wasmbin.OpI64Const), 0, opI64GeS, byte(wasmbin.OpIf), blockType)
}

// lesser pushes a value that is below zero if one of the counters is.
func (m *module) lesser(out []byte) []byte {
	out = wasmbin.AppendU32(append(m.globalGet(out), byte(wasmbin.OpGlobalGet)), m.stackGlobal())
	return append(out, opI64Or)
}

// chargeCall charges the stack for a call_indirect, whose arguments are on the stack.
func (m *module) chargeCall(out []byte, n int32) []byte {
	out = m.refillElse(m.bothLeft(m.addStack(out, -n), wasmbin.BlockVoid), 0)
	return append(out, byte(wasmbin.OpEnd))
}
