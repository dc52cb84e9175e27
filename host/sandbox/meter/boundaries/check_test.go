package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

// newChecker compares wasmbin with the engine, without wabt.
func newChecker(t testing.TB, random *rand.Rand) *checker {
	e := newEngine(context.Background())
	t.Cleanup(func() { e.close(context.Background()) })
	return &checker{engine: e, maxProbes: 300, choose: random.IntN}
}

// TestDecodersAgree: in modules with all opcodes and immediates, wasmbin and the engine see
// the same instructions, in what the rewriter accepts and in what it makes of it.
func TestDecodersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := newChecker(t, random)
	for range 25 {
		g := &generator{rand: random, pad: 0.2}
		wasm := g.module()
		if err := c.check(context.Background(), wasm); err != nil {
			t.Fatalf("%x: %v", wasm, err)
		}
	}
	if c.counts.Probes < 3000 || c.counts.Accepted < 30 {
		t.Errorf("little was compared: %+v", c.counts)
	}
}

// FuzzDecoders is TestDecodersAgree over any bytes.
func FuzzDecoders(f *testing.F) {
	for i := range 10 {
		g := &generator{rand: rand.New(rand.NewPCG(3, uint64(i))), pad: 0.2, long: 0.02}
		f.Add(g.module(), uint64(i))
	}
	c := newChecker(f, nil)
	f.Fuzz(func(t *testing.T, wasm []byte, seed uint64) {
		c.maxProbes, c.choose = 200, rand.New(rand.NewPCG(seed, 0)).IntN
		if err := c.check(context.Background(), wasm); err != nil {
			t.Fatal(err)
		}
	})
}

// replaced is a module of one function with other code.
func replaced(t *testing.T, wasm []byte, change func(code []byte) []byte) []byte {
	t.Helper()
	sections, err := wasmbin.NewSections(wasm)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(wasm[:8])
	for {
		id, r, ok, err := sections.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		content := r.Slice(r.Pos(), r.Pos()+r.Left())
		if id == wasmbin.SectionCode {
			n, err := r.U32()
			if err != nil {
				t.Fatal(err)
			}
			size, err := r.U32()
			if err != nil {
				t.Fatal(err)
			}
			body, err := r.Bytes(int(size))
			if err != nil {
				t.Fatal(err)
			}
			body = change(body)
			content = B(U(int(n)), U(len(body)), body, r.Slice(r.Pos(), r.Pos()+r.Left()))
		}
		out = append(out, Section(id, content)...)
	}
}

// TestCopiedByteIsCaught: a rewriter that copies a byte of its input, where it should
// encode what it decoded, is caught for every kind of immediate.
func TestCopiedByteIsCaught(t *testing.T) {
	for name, tt := range map[string]struct{ canonical, copied []byte }{
		"a local's index":    {B(0x20, 2), B(0x20, 0x82, 0)},
		"a label":            {B(0x0c, 0), B(0x0c, 0x80, 0)},
		"a label of a table": {B(0x41, 5, 0x0e, 1, 0, 0), B(0x41, 5, 0x0e, 1, 0x80, 0, 0)},
		"an alignment":       {B(0x41, 5, 0x28, 0, 9), B(0x41, 5, 0x28, 0x80, 0, 9)},
		"an offset":          {B(0x41, 5, 0x28, 0, 9), B(0x41, 5, 0x28, 0, 0x89, 0x80, 0)},
		"a constant":         {B(0x41, 5), B(0x41, 0x85, 0)},
		"a negative one":     {B(0x42, 0x7b), B(0x42, 0xfb, 0x7f)},
		"a type of select":   {B(0x1c, 1, 0x7f), B(0x1c, 0x81, 0, 0x7f)},
		"a block type":       {B(0x02, 0, 0x0b), B(0x02, 0x80, 0, 0x0b)},
		"an opcode":          {B(0xfc, 0x00), B(0xfc, 0x80, 0x00)},
		"a vector's opcode":  {B(0xfd, 0x0c, make([]byte, 16)), B(0xfd, 0x8c, 0, make([]byte, 16))},
	} {
		t.Run(name, func(t *testing.T) {
			code := B(0x41, 77, 0x1a, 0x00, tt.canonical, 0x00, 0x0b)
			out, rep, err := meter.Rewrite(Func("", "", Vec(B(3, 0x7f)), code), meter.Config{})
			if err != nil {
				t.Fatal(err)
			}
			c := newChecker(t, rand.New(rand.NewPCG(1, 1)))
			if err := c.output(context.Background(), out, rep); err != nil {
				t.Fatalf("as the rewriter makes it: %v", err)
			}
			out = replaced(t, out, func(code []byte) []byte { return bytes.Replace(code, tt.canonical, tt.copied, 1) })
			if err := c.output(context.Background(), out, rep); err == nil || !strings.Contains(err.Error(), "encode") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOtherReadingIsCaught: the engine is asked about the boundaries that another
// decoder has seen.
func TestOtherReadingIsCaught(t *testing.T) {
	wasm := Func("", "", Vec(),
		0x02, 0x40, 0x41, 1, 0x0d, 0, 0xfd, 0x0c, make([]byte, 16), 0x41, 0,
		0xfd, 0x8c, 0x00, 0x0b, 0x03, 0x40, 0x0c, 0, 0x0b, 0x02, 0x40, 0x00, 1, 1, 1, 1, 1, 1, 1,
		0x1a, 0x1a, 0x1a, 0x0b, 0x0b)
	c := newChecker(t, rand.New(rand.NewPCG(1, 1)))
	if err := c.engine.accepts(context.Background(), wasm); err != nil {
		t.Fatal(err)
	}
	var f function
	from := bytes.Index(wasm, B(0x02, 0x40, 0x41, 1))
	for _, at := range []int{0, 2, 4, 6, 24, 26, 45, 46, 47, 48, 49} { // fd 8c 00 as v128.const
		f.instrs = append(f.instrs, instr{at: from + at})
	}
	f.end = from + 50
	err := c.probe(context.Background(), wasm, listing{f})
	if err == nil || !strings.Contains(err.Error(), "the engine sees true") {
		t.Errorf("got %v", err)
	}
}

// text is a listing as wasm-objdump prints it, of lines of an instruction each. Guest
// functions come first; the counter is global 1, the helpers functions 2 and 3.
func text(t *testing.T, functions ...string) listing {
	t.Helper()
	var l listing
	for i, code := range functions {
		f := function{index: i + 1}
		for j, line := range strings.Split(code, "; ") {
			name, args, _ := strings.Cut(line, " ")
			f.instrs = append(f.instrs, instr{at: j, name: name, args: args})
		}
		l = append(l, f)
	}
	return l
}

const (
	charge = "global.get 1; i64.const 5; i64.sub; global.set 1"
	left   = "global.get 1; i64.const 0; i64.ge_s; if"
	refill = "else; i64.const 5; call 2"

	stackLook   = "global.get 2; i64.const -9; i64.add; global.set 2; global.get 1; global.get 2; i64.or; i64.const 0; i64.ge_s; if; "
	stackCharge = stackLook + "else; i64.const 0; call 2; end; "
)

// TestChargesAreFound: code without a charge is caught in wabt's reading.
func TestChargesAreFound(t *testing.T) {
	whole := charge + "; " + left + "; nop; " + refill + "; call 1; end; end"
	loop := "loop; " + charge + "; " + left + "; nop; " + refill + "; br 1; end; end"
	entry := func(code string) string {
		return charge + "; " + left + "; " + code + "; " + refill + "; call 1; end; end"
	}
	for _, tt := range []struct{ name, code, want string }{
		{"an entry", whole, ""},
		{"a small leaf", "local.get 0; i32.const 1; i32.add; end", ""},
		{"a call", entry("call 0"), ""},
		{"a call without an entry's charge", "call 0; end", "an entry without a charge"},
		{"an entry that charges nothing", strings.Replace(entry("call 0"), "i64.const 5", "i64.const 0", 1), "the counter is written"},
		{"an entry that charges another global", strings.ReplaceAll(entry("call 0"), "global.set 1", "global.set 0"), "an entry without a charge"},
		{"a loop", entry(loop), ""},
		{"a loop for which the entry is paid too", "block; " + loop + "; end; end", ""},
		{"a loop behind a charge of the stack", stackCharge + loop + "; end", ""},
		{"a loop in a charge of the stack", stackLook + loop + "; else; i64.const 0; call 2; call 1; end; end", ""},
		{"no loop in a charge of the stack", stackLook + "call 0; else; i64.const 0; call 2; call 1; end; end", "an entry without a charge"},
		{"no loop behind a charge of the stack", stackCharge + "call 0; end", "an entry without a charge"},
		{"a loop behind a charge of the stack and a call", stackCharge + "call 0; " + loop + "; end", "an entry without a charge"},
		{"a loop behind what is like a charge of the stack", strings.Replace(stackCharge, "call 2", "call 1", 1) + loop + "; end", "an entry without a charge"},
		{"a loop behind a call", "call 0; " + loop + "; end", "an entry without a charge"},
		{"a loop without a charge", entry("loop; br 0; end"), "a loop without a charge"},
		{"a loop without a look at the counter", entry("loop; " + charge + "; br 0; end"), "a loop without a charge"},
		{"a loop that cannot be reached", entry("block; br 0; loop; br 0; end; end"), ""},
		{"a loop behind a conditional branch", entry("block; i32.const 0; br_if 0; loop; br 0; end; end"), "a loop without a charge"},
		{"a loop behind a block that a branch leaves", entry("block; br 0; end; loop; br 0; end"), "a loop without a charge"},
		{"a loop behind a table's label", entry("block; i32.const 0; br_table 0; end; loop; br 0; end"), "a loop without a charge"},
		{"a loop behind an if without else", entry("i32.const 0; if; return; end; loop; br 0; end"), "a loop without a charge"},
		{"a loop in an else", entry("i32.const 0; if; return; else; loop; br 0; end; end"), "a loop without a charge"},
		{"a loop behind arms that both return", entry("i32.const 0; if; return; else; unreachable; end; loop; br 0; end"), ""},
		{"the counter written", entry("i64.const 9; global.set 1"), "the counter is written"},
		{"another global written", entry("i64.const 9; global.set 0"), ""},
		{"memory.grow", entry("call 3; memory.grow 0"), ""},
		{"memory.grow without a charge", entry("memory.grow 0"), "memory.grow without a charge"},
		{"memory.grow behind another call", entry("call 0; memory.grow 0"), "memory.grow without a charge"},
		{"a small fill", entry("i32.const 128; i32.le_u; if type[0]; memory.fill 0; else; call 3; end"), ""},
		{"a fill of any length", entry("memory.fill 0"), "memory.fill of any length"},
		{"a fill that may be large", entry("i32.const 129; i32.le_u; if type[0]; memory.fill 0; else; call 3; end"), "memory.fill of any length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &checker{}
			err := c.charged(text(t, tt.code, "end", "end"), meter.Report{GlobalIndex: 1, Functions: 1, Helpers: 2})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q", err, tt.want)
			}
		})
	}
}

// TestStackChargesAreFound: functions that can call themselves charge the stack.
func TestStackChargesAreFound(t *testing.T) {
	const deeper = "; global.get 2; i64.const -96; i64.add; global.set 2"
	entry := func(stack, code string, fn string) string {
		return charge + stack + "; " + left + "; " + code + "; else; i64.const 5; call 3; local.get 0; call " + fn + "; end; end"
	}
	for _, tt := range []struct{ name, first, second, want string }{
		{"two that do not call each other", entry("", "call 2", "1"), entry("", "nop", "2"), ""},
		{"one that calls itself", entry("", "call 1", "1"), "end", "function 1: it can call itself without a charge of the stack"},
		{"one that calls itself, charged", entry(deeper, "call 1", "1"), "end", ""},
		{"two that call each other", entry("", "call 2", "1"), entry("", "call 1", "2"), "it can call itself without a charge of the stack"},
		{"two that call each other, one charged", entry("", "call 2", "1"), entry(deeper, "call 1", "2"), ""},
		{"a charge that adds", entry(strings.Replace(deeper, "-", "", 1), "call 1", "1"), "end", "it can call itself without a charge of the stack"},
		{"a call at the end that follows no refill", charge + "; " + left + "; else; call 1; end; end", "end", "it can call itself without a charge of the stack"},
		{"the stack left written", entry("", "i64.const 9; global.set 2", "1"), "end", "the stack left is written, and not by a charge"},
	} {
		c := &checker{}
		err := c.charged(text(t, tt.first, tt.second, "end", "end"), meter.Report{GlobalIndex: 1, Functions: 2, Helpers: 2})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %q", tt.name, err, tt.want)
		}
	}
}

// TestBoundariesAreCompared: a reading that differs in one instruction is caught.
func TestBoundariesAreCompared(t *testing.T) {
	own := listing{{index: 1, end: 9, instrs: []instr{{at: 4, op: wasmbin.OpLoop}, {at: 6, op: wasmbin.OpNop}, {at: 8, op: wasmbin.OpEnd}}}}
	for name, tt := range map[string]struct {
		other listing
		want  string
	}{
		"the same":          {listing{{index: 1, end: 9, instrs: []instr{{at: 4, name: "loop"}, {at: 6, name: "nop"}, {at: 8, name: "end"}}}}, ""},
		"another boundary":  {listing{{index: 1, end: 9, instrs: []instr{{at: 4, name: "loop"}, {at: 7, name: "nop"}, {at: 8, name: "end"}}}}, "instruction 1 begins at byte 6; wabt sees 7"},
		"an instruction":    {listing{{index: 1, end: 9, instrs: []instr{{at: 4, name: "loop"}, {at: 6, name: "nop"}}}}, "instruction 2 begins at byte 8; wabt sees no such"},
		"one more":          {listing{{index: 1, end: 9, instrs: []instr{{at: 4, name: "loop"}, {at: 6, name: "nop"}, {at: 8, name: "end"}, {at: 9}}}}, "wabt sees 9"},
		"another opcode":    {listing{{index: 1, end: 9, instrs: []instr{{at: 4, name: "block"}, {at: 6, name: "nop"}, {at: 8, name: "end"}}}}, "loop; wabt sees block"},
		"another end":       {listing{{index: 1, end: 8, instrs: []instr{{at: 4, name: "loop"}, {at: 6, name: "nop"}, {at: 8, name: "end"}}}}, "end at byte 8"},
		"another function":  {listing{{index: 2, end: 9, instrs: []instr{{at: 4, name: "loop"}, {at: 6, name: "nop"}, {at: 8, name: "end"}}}}, "wabt sees function 2"},
		"no function there": {nil, "1 functions; wabt sees 0"},
	} {
		c := &checker{}
		if err := c.same(own, tt.other); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %q", name, err, tt.want)
		}
	}
}

// TestWabtDisassembles: both readings of wabt's are compared, and its refusal of an output that
// the engine accepts is a disagreement.
func TestWabtDisassembles(t *testing.T) {
	wasm := Module(Section(1, Vec(FuncType("", ""))), Section(3, Vec(U(0))), Section(10, Vec(Body(0x01, 0x0b)))) // its callers would pay
	for name, tt := range map[string]struct {
		answer func(calls int, wasm []byte) (listing, error)
		want   string
	}{
		"the same":        {func(_ int, wasm []byte) (listing, error) { return named(wasm) }, ""},
		"another input":   {func(int, []byte) (listing, error) { return nil, nil }, "input: 1 functions; wabt sees 0"},
		"input refused":   {func(calls int, wasm []byte) (listing, error) { return refuseAt(1, calls, wasm) }, ""},
		"output refused":  {func(calls int, wasm []byte) (listing, error) { return refuseAt(2, calls, wasm) }, "output: refused"},
		"a fault of wabt": {func(int, []byte) (listing, error) { return nil, errors.New("no space left") }, "no space left"},
	} {
		c := newChecker(t, rand.New(rand.NewPCG(1, 1)))
		calls := 0
		c.disassemble = func(_ context.Context, wasm []byte) (listing, error) { calls++; return tt.answer(calls, wasm) }
		if err := c.check(context.Background(), wasm); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %q", name, err, tt.want)
		}
	}
}

func refuseAt(n, calls int, wasm []byte) (listing, error) {
	if calls == n {
		return nil, errRefused
	}
	return named(wasm)
}

// named is wasmbin's reading with the names that wabt would give.
func named(wasm []byte) (listing, error) {
	l, err := decode(wasm, false)
	for _, f := range l {
		for i := range f.instrs {
			f.instrs[i].name = names[f.instrs[i].op]
		}
	}
	return l, err
}

// TestParseDisassembly reads what wasm-objdump 1.0.32 prints.
func TestParseDisassembly(t *testing.T) {
	l, err := parseDisassembly([]byte(`
o.wasm:	file format wasm 0x1

Code Disassembly:

000040 func[1]:
 000041: 02 7e                      | local[1..2] type=i64
 000043: 23 06                      | global.get 6 <berth:fuel>
 000045: fd 0c 01 00 00 00 02 00 00 |   v128.const 0x00000001 0x00000002 0x00000003 0x00000004
 00004e: 00 03 00 00 00 04 00 00 00 | 
 000057: 04 40                      | if
 000059: 0b                         | end
00005a func[2] <f of | x>:
 00005b: 0b                         | end
`))
	want := listing{
		{index: 1, end: 0x5a, instrs: []instr{{at: 0x43, name: "global.get", args: "6"},
			{at: 0x45, name: "v128.const", args: "0x00000001 0x00000002 0x00000003 0x00000004"}, {at: 0x57, name: "if"}, {at: 0x59, name: "end"}}},
		{index: 2, end: 0x5c, instrs: []instr{{at: 0x5b, name: "end"}}},
	}
	if err != nil || len(l) != 2 {
		t.Fatalf("%v, %+v", err, l)
	}
	for i, f := range l {
		if f.index != want[i].index || f.end != want[i].end || len(f.instrs) != len(want[i].instrs) {
			t.Fatalf("got %+v; want %+v", f, want[i])
		}
		for j, in := range f.instrs {
			if in != want[i].instrs[j] {
				t.Errorf("got %+v; want %+v", in, want[i].instrs[j])
			}
		}
	}
}
