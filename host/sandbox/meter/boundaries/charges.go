package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/sandbox/meter"
)

// charged checks the charges in a listing of the rewriter's output.
func (c *checker) charged(l listing, rep meter.Report) error {
	fuel, stack := strconv.Itoa(int(rep.GlobalIndex)), strconv.Itoa(int(rep.GlobalIndex)+1)
	calls := map[int][]int{} // of the functions that do not charge the stack
	for i, f := range l {
		if i >= rep.Functions { // helpers, which are the same in every module
			break
		}
		c.counts.Functions++
		w := walk{f: f, fuel: fuel, stack: stack, firstHelper: l[len(l)-1].index + 1 - rep.Helpers}
		if err := w.check(); err != nil {
			return fmt.Errorf("function %d: %w", f.index, err)
		}
		c.counts.Loops += w.loops
		if !w.deepens() {
			calls[f.index] = w.calls
		}
	}
	if cycle := findCycle(calls); cycle >= 0 {
		return fmt.Errorf("function %d: it can call itself without a charge of the stack", cycle)
	}
	return nil
}

// findCycle returns a node of a cycle of a graph, or -1.
func findCycle(edges map[int][]int) int {
	const onTheWay, done = 1, 2
	state := map[int]int{}
	var visit func(node int) int
	visit = func(node int) int {
		state[node] = onTheWay
		for _, next := range edges[node] {
			if state[next] == onTheWay {
				return next
			}
			if state[next] == 0 {
				if at := visit(next); at >= 0 {
					return at
				}
			}
		}
		state[node] = done
		return -1
	}
	for node := range edges {
		if state[node] == 0 {
			if at := visit(node); at >= 0 {
				return at
			}
		}
	}
	return -1
}

// walk is the check of one function's charges.
type walk struct {
	f           function
	fuel, stack string // indices of the counters
	firstHelper int
	loops       int
	calls       []int // of the guest's functions, but for the one after a refill
}

// label is an open block: its kind, whether it was entered, and whether a branch
// leads to its end.
type label struct {
	loop, cond, entered, left bool
}

func (w *walk) check() error {
	open := []label{{entered: true}}
	live, long := true, false // long: it could run for long without an entry's charge
	for i, in := range w.f.instrs {
		switch in.name {
		case "block", "if":
			open = append(open, label{cond: in.name == "if", entered: live})
		case "loop":
			long = true
			if live {
				if !w.charge(i+1) || !w.guarded(i+5) {
					return fmt.Errorf("byte %d: a loop without a charge", in.at)
				}
				w.loops++
			}
			open = append(open, label{loop: true, entered: live})
		case "else":
			l := &open[len(open)-1]
			l.left, l.cond = l.left || live, false
			live = l.entered
		case "end":
			l := open[len(open)-1]
			open = open[:len(open)-1]
			live = live || l.left && !l.loop || l.cond && l.entered
		case "br", "br_if", "br_table":
			for _, arg := range strings.Fields(in.args) {
				if n, err := strconv.Atoi(arg); err == nil && live && n < len(open) {
					open[len(open)-1-n].left = true
				}
			}
			live = live && in.name == "br_if"
		case "return", "unreachable":
			live = false
		case "call":
			long = true
			if w.number(i) < w.firstHelper && !w.anew(i) {
				w.calls = append(w.calls, w.number(i))
			}
		case "call_indirect":
			long = true
		case "global.set":
			if in.args == w.fuel && !(i >= 3 && w.charge(i-3)) {
				return fmt.Errorf("byte %d: the counter is written, and not by a charge", in.at)
			}
			if in.args == w.stack && !(i >= 3 && w.deeper(i-3)) {
				return fmt.Errorf("byte %d: the stack left is written, and not by a charge", in.at)
			}
		case "memory.grow", "memory.init", "table.init", "table.copy", "table.fill", "table.grow":
			long = true
			if i == 0 || w.f.instrs[i-1].name != "call" || w.number(i-1) < w.firstHelper {
				return fmt.Errorf("byte %d: %s without a charge for its length", in.at, in.name)
			}
		case "memory.fill", "memory.copy":
			long = true
			if i < 3 || w.f.instrs[i-1].name != "if" || w.f.instrs[i-2].name != "i32.le_u" ||
				w.f.instrs[i-3].name != "i32.const" || w.number(i-3) > 128 {
				return fmt.Errorf("byte %d: %s of any length without a charge", in.at, in.name)
			}
		}
	}
	if long && !w.charge(0) && !w.merged() {
		return errors.New("an entry without a charge")
	}
	return nil
}

// charge reports whether a charge begins at instruction i: the counter, less a constant.
func (w *walk) charge(i int) bool {
	return i+3 < len(w.f.instrs) && w.is(i, "global.get", w.fuel) && w.f.instrs[i+1].name == "i64.const" && w.number(i+1) > 0 &&
		w.f.instrs[i+2].name == "i64.sub" && w.is(i+3, "global.set", w.fuel)
}

// deeper reports whether at instruction i a constant is added to the stack left.
func (w *walk) deeper(i int) bool {
	return i+3 < len(w.f.instrs) && w.is(i, "global.get", w.stack) && w.f.instrs[i+1].name == "i64.const" &&
		w.f.instrs[i+2].name == "i64.add" && w.is(i+3, "global.set", w.stack)
}

// deepens reports whether the function's entry charges the stack.
func (w *walk) deepens() bool {
	i := 0
	if w.charge(0) {
		i = 4
	}
	return w.deeper(i) && strings.HasPrefix(w.f.instrs[i+1].args, "-")
}

// anew reports whether instruction i calls the function anew, after the refill that its
// entry's charge ended with: that is one call deeper at most.
func (w *walk) anew(i int) bool {
	if w.number(i) != w.f.index || i != len(w.f.instrs)-3 {
		return false
	}
	for i--; i > 0 && w.f.instrs[i].name == "local.get"; i-- {
	}
	if i >= 3 && w.deeper(i-3) {
		i -= 4
	}
	return i >= 2 && w.f.instrs[i].name == "call" && w.number(i) >= w.firstHelper &&
		w.f.instrs[i-1].name == "i64.const" && w.f.instrs[i-2].name == "else"
}

// guarded reports whether at instruction i an if begins that is entered while fuel is left.
func (w *walk) guarded(i int) bool {
	return i+3 < len(w.f.instrs) && w.is(i, "global.get", w.fuel) && w.is(i+1, "i64.const", "0") && w.f.instrs[i+2].name == "i64.ge_s" &&
		w.f.instrs[i+3].name == "if"
}

// merged reports whether the function leads straight to a loop, whose charge is then for
// the entry too. The entry's charge of the stack may come before.
func (w *walk) merged() bool {
	from := w.stackCheck()
	for i, in := range w.f.instrs[from:] {
		switch in.name {
		case "loop":
			return w.charge(from + i + 1)
		case "if", "else", "end", "br", "br_if", "br_table", "return", "unreachable", "call", "call_indirect", "memory.grow", "ref.func",
			"memory.init", "memory.copy", "memory.fill", "table.init", "table.copy", "table.fill", "table.grow":
			return false
		}
	}
	return false
}

// stackCheck is how many instructions charge the stack alone at the entry. The
// code after them is in their if, or behind the refill that is the whole else.
func (w *walk) stackCheck() int {
	look := []string{"global.get", "i64.const", "i64.add", "global.set", "global.get", "global.get",
		"i64.or", "i64.const", "i64.ge_s", "if"}
	refill := []string{"else", "i64.const", "call", "end"}
	if !w.deeper(0) || !w.names(0, look) {
		return 0
	}
	if n := len(look); w.names(n, refill) && w.number(n+2) >= w.firstHelper {
		return n + len(refill)
	}
	return len(look)
}

// names reports whether the instructions from i on have these names.
func (w *walk) names(i int, names []string) bool {
	for j, name := range names {
		if i+j >= len(w.f.instrs) || w.f.instrs[i+j].name != name {
			return false
		}
	}
	return true
}

func (w *walk) is(i int, name, args string) bool {
	return w.f.instrs[i].name == name && w.f.instrs[i].args == args
}

// number is the immediate of instruction i, or -1.
func (w *walk) number(i int) int {
	n, err := strconv.Atoi(w.f.instrs[i].args)
	if err != nil {
		return -1
	}
	return n
}
