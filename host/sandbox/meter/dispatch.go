package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// A compiler that does not express a function's jumps by blocks, such as Go's, makes
// the function one loop that begins with a switch over the next block,
//
//	loop  block block ...  local.get p  br_table ...
//
// and each jump, forwards too, a branch to the loop:
//
//	i32.const k  local.set p  br (to the loop)
//
// A jump whose case of the switch ends a block that is still open can leave that
// block instead: the same code runs next, with the same locals, and the loop's head,
// its charge and the switch are not passed. The jumps backwards still pass
// them, so nothing repeats without a charge.

// dispatch is the switch that a loop begins with.
type dispatch struct {
	loop  int32  // the loop's number
	local uint32 // switched over
	first int    // of analysis.targets
	count uint32 // of targets, the default last
}

// jump is a br that has a shorter way.
type jump struct {
	at    int    // its offset in the module
	label uint32 // where it goes instead, by the guest's own blocks
}

// heading is how far a loop's code has been like that of a dispatch.
type heading struct {
	loop     int32 // its number; 0: no loop, or not like it
	selected bool  // the local was read: br_table must follow
	local    uint32
}

// setting is how far the last instructions are like those before a jump.
type setting struct {
	state byte // 1 behind i32.const, 2 behind local.set
	value uint32
	local uint32
}

// watch finds dispatches and the instructions before jumps. It is called with each
// instruction when the frames are as behind it; void: the instruction opened a block
// without parameters and results.
func (a *analysis) watch(in *wasmbin.Instr, void bool) error {
	switch s := &a.setting; {
	case in.Op == wasmbin.OpI32Const:
		*s = setting{state: 1, value: in.Index}
	case in.Op == wasmbin.OpLocalSet && s.state == 1:
		s.state, s.local = 2, in.Index
	default:
		s.state = 0
	}

	h, top := &a.heading, len(a.frames)-1
	switch {
	case in.Op == wasmbin.OpLoop && void:
		*h = heading{loop: int32(len(a.charges)) - 1}
	case h.loop == 0:
	case in.Op == wasmbin.OpBlock && void && !h.selected:
		a.frames[top].head = h.loop
	case in.Op == wasmbin.OpLocalGet && !h.selected:
		h.selected, h.local = true, in.Index
	case in.Op == wasmbin.OpBrTable && h.selected:
		loop := top
		for a.frames[loop].head == h.loop {
			loop--
		}
		a.dispatches = append(a.dispatches, dispatch{loop: h.loop, local: h.local, first: len(a.targets), count: in.Count})
		a.frames[loop].dispatch = int32(len(a.dispatches))
		labels := in.Labels
		for range in.Count {
			l, err := labels.U32()
			if err != nil {
				return err
			}
			a.targets = append(a.targets, int32(top)-int32(l))
		}
		h.loop = 0
	default:
		h.loop = 0
	}
	return nil
}

// shorter is the label that a br to a dispatching loop can have instead. The frames
// are as at the br.
//
// All labels of a switch take as many values, and the loop's head leaves none for
// them: so the new label takes none, like the loop's own.
func (a *analysis) shorter(label uint32) (uint32, bool) {
	top := len(a.frames) - 1
	if a.setting.state != 2 || int64(label) > int64(top) {
		return 0, false
	}
	loop := top - int(label)
	if a.frames[loop].dispatch == 0 {
		return 0, false
	}
	d := a.dispatches[a.frames[loop].dispatch-1]
	if d.local != a.setting.local {
		return 0, false
	}
	to := int(a.targets[d.first+int(min(a.setting.value, d.count-1))])
	if to == loop || to > loop && (to > top || a.frames[to].head != d.loop) { // the loop itself, or a block that has ended
		return 0, false
	}
	return uint32(top - to), true
}
