package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// counts of what was compared.
type counts struct {
	Modules      int // generated and mutated
	Refused      int // by the scan or the rewriter
	Inputs       int // read the same by wabt
	WabtRefused  int // accepted by the rewriter, refused by wabt
	Outputs      int // of the rewriter, compared
	Instructions int // whose boundaries were compared with wabt's
	Accepted     int // inputs and outputs that the engine accepts
	Probes       int // bytes of them that the engine was asked about
	Loops        int // charged, in wabt's reading
	Functions    int // checked for charges
}

func (c *counts) add(d counts) {
	c.Modules += d.Modules
	c.Refused += d.Refused
	c.Inputs += d.Inputs
	c.WabtRefused += d.WabtRefused
	c.Outputs += d.Outputs
	c.Instructions += d.Instructions
	c.Accepted += d.Accepted
	c.Probes += d.Probes
	c.Loops += d.Loops
	c.Functions += d.Functions
}

// checker compares the decoders.
type checker struct {
	disassemble func(ctx context.Context, wasm []byte) (listing, error) // nil: without wabt
	engine      engine
	maxProbes   int                     // of one function
	choose      func(functions int) int // the function that the engine is asked about
	counts      counts
}

// check compares the readings of a module and of what the rewriter makes of it.
func (c *checker) check(ctx context.Context, wasm []byte) error {
	c.counts.Modules++
	_, err := prescan.Scan(wasm, prescan.Limits{})
	var out []byte
	var rep meter.Report
	if err == nil {
		out, rep, err = meter.Rewrite(wasm, meter.Config{})
	}
	if err != nil {
		c.counts.Refused++
		return nil
	}
	if err := c.input(ctx, wasm); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	c.counts.Outputs++
	if err := c.output(ctx, out, rep); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// input compares the readings of what the rewriter accepted.
func (c *checker) input(ctx context.Context, wasm []byte) error {
	own, err := decode(wasm, false)
	if err != nil {
		return fmt.Errorf("the rewriter accepts what its decoder refuses: %w", err)
	}
	if c.disassemble != nil {
		switch other, err := c.disassemble(ctx, wasm); {
		case errors.Is(err, errRefused): // it refuses more than decoding needs
			c.counts.WabtRefused++
		case err != nil:
			return err
		default:
			c.counts.Inputs++
			if err := c.same(own, other); err != nil {
				return err
			}
		}
	}
	return c.probe(ctx, wasm, own)
}

// output compares the readings of what the rewriter made, and looks for its charges.
func (c *checker) output(ctx context.Context, out []byte, rep meter.Report) error {
	own, err := decode(out, true)
	if err != nil {
		return err
	}
	if c.disassemble != nil {
		other, err := c.disassemble(ctx, out)
		if errors.Is(err, errRefused) && c.engine.accepts(ctx, out) != nil {
			return nil // as invalid as the input was
		}
		if err != nil {
			return err
		}
		if err := c.same(own, other); err != nil {
			return err
		}
		if err := c.charged(other, rep); err != nil {
			return err
		}
	}
	return c.probe(ctx, out, own)
}

// names are the instructions whose meaning the charges depend on.
var names = map[wasmbin.Op]string{
	wasmbin.OpUnreachable: "unreachable", wasmbin.OpBlock: "block", wasmbin.OpLoop: "loop", wasmbin.OpIf: "if",
	wasmbin.OpElse: "else", wasmbin.OpEnd: "end", wasmbin.OpBr: "br", wasmbin.OpBrIf: "br_if",
	wasmbin.OpBrTable: "br_table", wasmbin.OpReturn: "return", wasmbin.OpCall: "call",
	wasmbin.OpCallIndirect: "call_indirect", wasmbin.OpGlobalSet: "global.set", wasmbin.OpMemoryGrow: "memory.grow",
	wasmbin.OpMemoryInit: "memory.init", wasmbin.OpMemoryCopy: "memory.copy", wasmbin.OpMemoryFill: "memory.fill",
	wasmbin.OpTableInit: "table.init", wasmbin.OpTableCopy: "table.copy", wasmbin.OpTableFill: "table.fill",
	wasmbin.OpTableGrow: "table.grow", wasmbin.OpV128Const: "v128.const",
}

// same compares the boundaries of two readings, and the instructions that have a name in
// names.
func (c *checker) same(own, other listing) error {
	if len(own) != len(other) {
		return fmt.Errorf("%d functions; wabt sees %d", len(own), len(other))
	}
	for i, f := range own {
		g := other[i]
		if f.index != g.index || f.end != g.end {
			return fmt.Errorf("function %d ends at byte %d; wabt sees function %d end at byte %d", f.index, f.end, g.index, g.end)
		}
		for j := range max(len(f.instrs), len(g.instrs)) {
			if j >= len(f.instrs) || j >= len(g.instrs) || f.instrs[j].at != g.instrs[j].at {
				return fmt.Errorf("function %d: instruction %d begins at byte %s; wabt sees %s", f.index, j, f.start(j), g.start(j))
			}
			if want := names[f.instrs[j].op]; want != "" && want != g.instrs[j].name {
				return fmt.Errorf("function %d, byte %d: %s; wabt sees %s", f.index, f.instrs[j].at, want, g.instrs[j].name)
			}
		}
		c.counts.Instructions += len(f.instrs)
	}
	return nil
}

// start is where instruction i begins, for a person.
func (f function) start(i int) string {
	if i >= len(f.instrs) {
		return "no such instruction"
	}
	return strconv.Itoa(f.instrs[i].at)
}

// probe compares the boundaries of one function with the engine's, if the engine accepts
// the module. The engine takes one byte behind 0xfd for the opcode; the second byte of
// an opcode from 0x80 up is always 0x01, which it runs as a nop.
func (c *checker) probe(ctx context.Context, wasm []byte, own listing) error {
	if len(own) == 0 || c.engine.accepts(ctx, wasm) != nil {
		return nil
	}
	c.counts.Accepted++
	f := own[c.choose(len(own))]
	from := f.instrs[0].at
	unknown, err := probeOf(wasm[from:f.end])
	if err != nil {
		return nil
	}
	begins := make(map[int]bool, len(f.instrs))
	for _, in := range f.instrs {
		begins[in.at] = true
		if in.op >= 0xfd80 {
			begins[in.at+2] = true
		}
	}
	wasm = slices.Clone(wasm)
	for at := from; at < min(f.end-1, from+c.maxProbes); at++ { // the last byte must be an end
		c.counts.Probes++
		if got := c.engine.begins(ctx, wasm, at, unknown); got != begins[at] {
			return fmt.Errorf("function %d, byte %d: an instruction begins there: %v; the engine sees %v", f.index, at, begins[at], got)
		}
	}
	return nil
}

// charged looks for the charges in a listing of the rewriter's output.
func (c *checker) charged(l listing, rep meter.Report) error {
	fuel := strconv.Itoa(int(rep.GlobalIndex))
	for i, f := range l {
		if i >= rep.Functions { // helpers, which are the same in every module
			break
		}
		c.counts.Functions++
		w := walk{f: f, fuel: fuel, firstHelper: l[len(l)-1].index + 1 - rep.Helpers}
		if err := w.check(); err != nil {
			return fmt.Errorf("function %d: %w", f.index, err)
		}
		c.counts.Loops += w.loops
	}
	return nil
}

// walk is the check of one function's charges.
type walk struct {
	f           function
	fuel        string // index of the counter
	firstHelper int
	loops       int
}

// label is an open block: what it is, whether it was entered, and whether a branch
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
		case "call", "call_indirect":
			long = true
		case "global.set":
			if in.args == w.fuel && !(i >= 3 && w.charge(i-3)) {
				return fmt.Errorf("byte %d: the counter is written, and not by a charge", in.at)
			}
		case "memory.grow", "memory.init", "table.init", "table.copy", "table.fill", "table.grow":
			long = true
			if i == 0 || w.f.instrs[i-1].name != "call" || w.number(i-1) < w.firstHelper {
				return fmt.Errorf("byte %d: %s without a charge for its length", in.at, in.name)
			}
		case "memory.fill", "memory.copy":
			long = true
			if i < 3 || w.f.instrs[i-1].name != "if" || w.f.instrs[i-2].name != "i32.le_u" || w.f.instrs[i-3].name != "i32.const" || w.number(i-3) > 128 {
				return fmt.Errorf("byte %d: %s of any length without a charge", in.at, in.name)
			}
		}
	}
	if long && !w.charge(0) && !w.merged() {
		return errors.New("an entry without a charge")
	}
	return nil
}

// charge says whether a charge begins at instruction i: the counter, less a constant.
func (w *walk) charge(i int) bool {
	return i+3 < len(w.f.instrs) && w.is(i, "global.get", w.fuel) && w.f.instrs[i+1].name == "i64.const" && w.number(i+1) > 0 &&
		w.f.instrs[i+2].name == "i64.sub" && w.is(i+3, "global.set", w.fuel)
}

// guarded says whether at instruction i an if begins that is entered while fuel is left.
func (w *walk) guarded(i int) bool {
	return i+3 < len(w.f.instrs) && w.is(i, "global.get", w.fuel) && w.is(i+1, "i64.const", "0") && w.f.instrs[i+2].name == "i64.ge_s" &&
		w.f.instrs[i+3].name == "if"
}

// merged says whether the function leads straight to a loop, whose charge is then for
// the entry too.
func (w *walk) merged() bool {
	for i, in := range w.f.instrs {
		switch in.name {
		case "loop":
			return w.charge(i + 1)
		case "if", "else", "end", "br", "br_if", "br_table", "return", "unreachable", "call", "call_indirect", "memory.grow", "ref.func",
			"memory.init", "memory.copy", "memory.fill", "table.init", "table.copy", "table.fill", "table.grow":
			return false
		}
	}
	return false
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
