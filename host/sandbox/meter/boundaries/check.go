package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// counts are the numbers of compared items.
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

// check compares the readings of a module and of the rewriter's output.
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

// input compares the readings of an accepted module.
func (c *checker) input(ctx context.Context, wasm []byte) error {
	own, err := decode(wasm, false)
	if err != nil {
		return fmt.Errorf("the rewriter accepts a module that its decoder refuses: %w", err)
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

// output compares the readings of the rewriter's output, and finds its charges.
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

// names are the instructions that charges consist of.
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

// start returns the position of instruction i for an error.
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
