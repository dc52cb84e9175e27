package meter

// The engine allocates 40 bytes for each execution of ref.func and keeps them until the
// instance ends: a loop took hundreds of megabytes. So each function that code refers
// to has an immutable global, initialized once, and ref.func becomes a global.get.

// refer records that code refers to a function.
func (m *module) refer(fn uint32) {
	if _, ok := m.refOf[fn]; ok {
		return
	}
	if m.refOf == nil {
		m.refOf = make(map[uint32]uint32)
	}
	m.refOf[fn] = uint32(len(m.refs))
	m.refs = append(m.refs, fn)
}

// refGlobal is the global that holds the reference.
func (m *module) refGlobal(fn uint32) uint32 { return m.stackGlobal() + 1 + m.refOf[fn] }

// declare records that a function is named outside of code. Without that, code must not
// refer to it, and a global would hide the error.
func (m *module) declare(fn uint32) {
	if fn >= m.funcs {
		return
	}
	if m.declares == nil {
		m.declares = make([]uint64, m.funcs/64+1)
	}
	m.declares[fn/64] |= 1 << (fn % 64)
}

func (m *module) isDeclared(fn uint32) bool {
	return m.declares != nil && m.declares[fn/64]>>(fn%64)&1 != 0
}
