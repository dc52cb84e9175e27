package meter

import (
	"strings"

	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// instruction draws one instruction and reports whether what follows is reachable.
func (g *generator) instruction() bool {
	kinds := 14
	if g.dispatches {
		kinds = 24
	}
	switch kind := g.draw(kinds); {
	case kind <= 1:
		g.block()
	case kind >= 12:
		if g.draw(2) == 0 {
			g.dispatch()
			return true
		}
		return g.jump()
	case kind == 2:
		return g.branch()
	case kind == 3:
		g.call()
	case kind == 4:
		g.local()
	case kind == 5: // drop, or a value for later
		if len(g.stack) > g.labels[len(g.labels)-1].base && g.draw(2) == 0 {
			g.stack = g.stack[:len(g.stack)-1]
			g.emit(0x1a)
		} else {
			g.value([]string{i32, i64, f64, v128, funcref}[g.draw(5)])
		}
	default:
		o := ops[g.draw(len(ops))]
		g.need(o.in)
		g.pop(o.in)
		g.emit(o.code)
		g.push(o.out)
	}
	return true
}

func (g *generator) local() {
	if g.locals == "" {
		return
	}
	i := g.draw(len(g.locals))
	ty := g.locals[i : i+1]
	g.need(ty)
	if g.draw(2) == 0 {
		g.pop(ty)
		g.emit(0x21, U(i))
	} else {
		g.emit(0x22, U(i))
	}
}

// block draws a block, loop or if of any type, blocks with parameters too.
func (g *generator) block() {
	if len(g.labels) > 6 {
		return
	}
	index := g.draw(len(g.types))
	ty := g.types[index]
	blockType := S(int64(index))
	if ty[0] == "" && len(ty[1]) < 2 && g.draw(2) == 0 {
		if blockType = []byte{0x40}; ty[1] != "" {
			blockType = []byte(ty[1])
		}
	}
	g.need(ty[0])
	kind := g.draw(3)
	if kind == 2 {
		g.value(i32)
		g.pop(i32)
	}
	g.pop(ty[0])
	base := len(g.stack)
	open := func(branch string) {
		g.labels = append(g.labels, label{branch: branch, base: base})
		g.push(ty[0])
	}
	switch kind {
	case 0:
		g.emit(0x02, blockType)
		open(ty[1])
		g.body(ty[1])
	case 1:
		g.emit(0x03, blockType)
		open(ty[0])
		g.countDown()
		g.body(ty[1])
	case 2:
		g.emit(0x04, blockType)
		open(ty[1])
		g.body(ty[1])
		if ty[0] != ty[1] || g.draw(2) == 0 {
			g.labels = g.labels[:len(g.labels)-1]
			g.stack = g.stack[:base]
			g.emit(0x05)
			open(ty[1])
			g.body(ty[1])
		}
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.stack = g.stack[:base]
	g.push(ty[1])
	g.emit(0x0b)
}

// dispatch draws a loop that begins with a switch, as compilers without blocks write
// it, or nearly so. The countdown is behind the switch, at each case.
func (g *generator) dispatch() {
	selectors := g.selectors()
	if len(selectors) == 0 || len(g.labels) > 8 {
		return
	}
	selector := selectors[g.draw(len(selectors))]
	base, cases, result := len(g.stack), 1+g.draw(4), ""
	switch g.draw(8) {
	case 0:
		g.emit(0x03, S(0)) // the same as none, but a type index
	case 1:
		result = i32
		g.emit(0x03, i32)
	default:
		g.emit(0x03, 0x40)
	}
	ends := []string{result} // what is left at the end of the loop and of each block
	g.labels = append(g.labels, label{"", base, true, selector})
	for i := range cases {
		ty := ""
		if i < cases-1 && g.draw(8) == 0 {
			ty = i32
			g.emit(0x02, i32)
		} else {
			g.emit(0x02, 0x40)
		}
		if g.draw(16) == 0 {
			g.emit(0x01)
		}
		ends = append(ends, ty)
		g.labels = append(g.labels, label{branch: ty, base: base})
	}
	var allowed [][]byte
	for d := range g.labels {
		if to := g.labels[len(g.labels)-1-d]; to.branch == "" && d != cases {
			allowed = append(allowed, U(d))
		}
	}
	var table [][]byte
	for range g.draw(6) {
		table = append(table, allowed[g.draw(len(allowed))])
	}
	g.emit(0x20, U(selector), 0x0e, Vec(table...), allowed[g.draw(len(allowed))])
	for at := cases; at > 0; at-- {
		if at == cases && g.draw(8) == 0 {
			g.unreachable()
		}
		g.emit(0x0b)
		g.labels = g.labels[:len(g.labels)-1]
		g.stack = g.stack[:base]
		g.push(ends[at])
		g.countDown()
		g.body(ends[at-1])
		if g.draw(4) != 0 && !g.jump() && g.draw(4) == 0 {
			g.unreachable()
		}
	}
	g.emit(0x0b)
	g.labels = g.labels[:len(g.labels)-1]
	g.stack = g.stack[:base]
	g.push(result)
}

// selectors are the locals that a switch can be over.
func (g *generator) selectors() (locals []int) {
	for i := range g.locals {
		if g.locals[i:i+1] == i32 {
			locals = append(locals, i)
		}
	}
	return locals
}

// jump draws a jump to a case of a dispatch, or nearly one, and reports whether what
// follows is reachable.
func (g *generator) jump() bool {
	var loops []int // how deep
	for d := range g.labels {
		if g.labels[len(g.labels)-1-d].dispatch {
			loops = append(loops, d)
		}
	}
	if len(loops) == 0 {
		return true
	}
	depth := loops[0]
	if g.draw(3) == 0 {
		depth = loops[g.draw(len(loops))]
	}
	selector := g.labels[len(g.labels)-1-depth].selector
	if g.draw(4) == 0 {
		selectors := g.selectors()
		selector = selectors[g.draw(len(selectors))]
	}
	sometimes := g.draw(2) == 0
	if sometimes {
		g.value(i32)
		g.pop(i32)
		g.emit(0x04, 0x40)
		depth++
	}
	k := S(int64(g.draw(7) - 1))
	switch g.draw(16) {
	case 0: // set a moment ago
		g.emit(0x41, k, 0x01, 0x21, U(selector), 0x0c, U(depth))
	case 1:
		g.emit(0x41, k, 0x21, U(selector), 0x01, 0x0c, U(depth))
	case 2: // in a block of its own
		g.emit(0x02, 0x40, 0x41, k, 0x21, U(selector), 0x0b, 0x0c, U(depth))
	case 3:
		g.emit(0x41, k, 0x22, U(selector), 0x1a, 0x0c, U(depth))
	case 4: // changed behind
		g.emit(0x41, k, 0x21, U(selector), 0x23, globalI32, 0x21, U(selector), 0x0c, U(depth))
	case 5: // by a condition
		g.emit(0x23, globalI32, 0x41, k, 0x21, U(selector), 0x0d, U(depth))
		g.emit(0x41, k, 0x21, U(selector), 0x0c, U(depth))
	case 6: // with values below
		g.emit(0x42, 1, 0x23, globalI32, 0x41, k, 0x21, U(selector), 0x0c, U(depth))
	case 7: // out of a block that leaves values
		g.emit(0x02, S(3), 0x41, 5, 0x41, k, 0x21, U(selector), 0x0c, U(depth+1), 0x0b, 0x1a, 0x1a)
		g.emit(0x41, k, 0x21, U(selector), 0x0c, U(depth))
	case 8: // out of a loop of its own
		g.emit(0x03, 0x40, 0x41, k, 0x21, U(selector), 0x0c, U(depth+1), 0x0b, 0x00)
	case 9: // out of the else
		g.emit(0x23, globalI32, 0x04, 0x40, 0x01, 0x05, 0x41, k, 0x21, U(selector), 0x0c, U(depth+1), 0x0b)
		g.emit(0x41, k, 0x21, U(selector), 0x0c, U(depth))
	default:
		g.emit(0x41, k, 0x21, U(selector), 0x0c, U(depth))
	}
	if sometimes {
		g.emit(0x0b)
	}
	return sometimes
}

// unreachable draws code that nothing gets to; what is behind it is not either. It may
// take what no instruction before it has made.
func (g *generator) unreachable() {
	selectors := g.selectors()
	for range 1 + g.draw(3) {
		depth := g.draw(len(g.labels))
		void := g.labels[len(g.labels)-1-depth].branch == ""
		switch g.draw(7) {
		case 0:
			g.emit(0x6a, 0x1a) // i32.add
		case 1:
			if void {
				g.emit(0x41, S(int64(g.draw(4))), 0x21, U(selectors[0]), 0x0c, U(depth))
			}
		case 2:
			if void {
				g.emit(0x0d, U(depth)) // br_if
			}
		case 3: // a dispatch
			g.emit(0x03, 0x40, 0x02, 0x40, 0x20, U(selectors[0]), 0x0e, Vec(U(0)), 1, 0x0b, 0x41, 0, 0x21, U(selectors[0]), 0x0c, 0, 0x0b)
		case 4:
			g.emit(0x02, i32, 0x00, 0x0b, 0x1a)
		case 5:
			g.emit(0x04, 0x40, 0x01, 0x05, 0x0b)
		case 6:
			g.emit(0x03, i32, 0x41, 1, 0x0d, 0, 0x41, 1, 0x0b, 0x1a)
		}
	}
	g.emit(0x00)
}

// branch draws a branch and reports whether what follows is reachable.
func (g *generator) branch() bool {
	depth := g.draw(len(g.labels))
	to := g.labels[len(g.labels)-1-depth]
	switch g.draw(5) {
	case 0:
		g.need(to.branch)
		g.emit(0x0c, U(depth))
		return false
	case 1: // br_table over all labels that take the same
		g.need(to.branch + i32)
		var same [][]byte
		for d := range g.labels {
			if g.labels[len(g.labels)-1-d].branch == to.branch {
				same = append(same, U(d))
			}
		}
		g.emit(0x0e, Vec(same...), U(depth))
		return false
	case 2:
		if g.draw(4) != 0 {
			return true
		}
		g.need(g.labels[0].branch)
		g.emit(0x0f)
		return false
	default:
		g.need(to.branch)
		g.value(i32)
		g.emit(0x0d, U(depth))
		g.pop(i32)
		return true
	}
}

// call draws a call of a later function or an import, or through the table.
func (g *generator) call() {
	if g.draw(3) == 0 && g.self != len(g.funcs)-1 {
		ty := g.types[g.funcs[len(g.funcs)-1]]
		g.need(ty[0])
		g.value(i32)
		g.emit(0x11, U(g.funcs[len(g.funcs)-1]), 0)
		g.pop(ty[0] + i32)
		g.push(ty[1])
		return
	}
	callees := []int{0, 1}
	for i := g.self + 1; i < len(g.funcs); i++ {
		callees = append(callees, i)
	}
	fn := callees[g.draw(len(callees))]
	ty := g.types[g.funcs[fn]]
	g.need(ty[0])
	g.emit(0x10, U(fn))
	g.pop(ty[0])
	g.push(ty[1])
}

// exported lists the names of a generated module's exported functions.
func exported(names []string) (out []string) {
	for _, n := range names {
		if strings.HasPrefix(n, "f") {
			out = append(out, n)
		}
	}
	return out
}
