package meter

import (
	"strings"

	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// instruction draws one instruction and reports whether what follows is reachable.
func (g *generator) instruction() bool {
	switch g.draw(14) {
	case 0, 1:
		g.block()
	case 12, 13:
		if g.draw(2) == 0 {
			g.dispatch()
			return true
		}
		return g.jump()
	case 2:
		return g.branch()
	case 3:
		g.call()
	case 4:
		g.local()
	case 5: // drop, or a value for later
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
		g.labels = append(g.labels, label{branch, base, false})
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

// dispatch draws a loop that begins with a switch, as compilers write it that know no
// blocks. What counts down stands behind the switch, at each case.
func (g *generator) dispatch() {
	selector := strings.Index(g.locals, i32)
	if selector < 0 || len(g.labels) > 6 {
		return
	}
	base, cases := len(g.stack), 1+g.draw(4)
	g.emit(0x03, 0x40)
	g.labels = append(g.labels, label{"", base, true})
	for range cases {
		g.emit(0x02, 0x40)
		g.labels = append(g.labels, label{"", base, false})
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
	for range cases {
		g.emit(0x0b)
		g.labels = g.labels[:len(g.labels)-1]
		g.countDown()
		g.body("")
		if g.draw(2) == 0 {
			g.jump()
		}
	}
	g.emit(0x0b)
	g.labels = g.labels[:len(g.labels)-1]
}

// jump draws a jump to a case of a dispatch, or nearly one, and reports whether what
// follows is reachable.
func (g *generator) jump() bool {
	selector, depth := strings.Index(g.locals, i32), 0
	for depth < len(g.labels) && !g.labels[len(g.labels)-1-depth].dispatch {
		depth++
	}
	if depth == len(g.labels) {
		return true
	}
	sometimes := g.draw(2) == 0
	if sometimes {
		g.value(i32)
		g.pop(i32)
		g.emit(0x04, 0x40)
		depth++
	}
	g.emit(0x41, S(int64(g.draw(7)-1)))
	if g.draw(8) == 0 {
		g.emit(0x01)
	}
	if other := strings.LastIndex(g.locals, i32); g.draw(8) == 0 {
		selector = other
	}
	g.emit(0x21, U(selector), 0x0c, U(depth))
	if sometimes {
		g.emit(0x0b)
	}
	return sometimes
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
