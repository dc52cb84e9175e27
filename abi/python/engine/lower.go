package main

import (
	"fmt"
	"strings"
)

// Instructions that this command reads or writes by name.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opThrow        = 0x08
	opThrowRef     = 0x0a
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectTyped  = 0x1c
	opTryTable     = 0x1f
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opI32Load      = 0x28
	opI32Load8U    = 0x2d
	opI32Store     = 0x36
	opI32Store8    = 0x3a
	opI64Store32   = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Eqz       = 0x45
	opI32Eq        = 0x46
	opI32LtS       = 0x48
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32Or        = 0x72
	opI32Mul       = 0x6c
	opI32DivU      = 0x6e
	opI32RemU      = 0x70
	opI64Extend32S = 0xc4
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opPrefixFC     = 0xfc

	blockEmpty = 0x40
	typeExnRef = 0x69
)

// The clauses of try_table.
const (
	catchTag    = 0
	catchTagRef = 1
	catchAll    = 2
	catchAllRef = 3
)

// lowering rewrites the bodies of one module.
type lowering struct {
	types    []function
	imports  int
	throws   []bool           // by index of the original function
	newIndex []uint32         // of each original function
	thrown   uint32           // the global that is 1 while an exception is on its way
	value    uint32           // the global with the exception's value
	typeOf   func(int) uint32 // the type of a defined function
	limits   int              // how often the interpreter's limit of its stack was replaced
}

// frame is a control structure around the present instruction. A frame that catches
// became two blocks: the outer one has its label, and a branch to the inner one goes to
// the handler between their ends.
type frame struct {
	catches bool
	clause  byte // of the first clause of a try_table; a module with one tag needs no other
	label   uint32
	try     bool
}

func (f frame) width() uint32 {
	if f.catches {
		return 2
	}
	return 1
}

// throwers finds the functions that an exception may leave: those that throw, call through
// a table, or call such a function. An exception that a function catches itself counts.
func throwers(imports int, bodies [][]byte) ([]bool, error) {
	throws := make([]bool, imports+len(bodies))
	callers := make([][]int, imports+len(bodies))
	var found []int
	for i, body := range bodies {
		self := imports + i
		r := &reader{b: body}
		skipLocals(r)
		for len(r.b) > 0 && r.err == nil {
			in := next(r)
			switch in.op {
			case opCall:
				if int(in.index) >= len(throws) {
					return nil, fmt.Errorf("function %d calls function %d, which is not there", self, in.index)
				}
				callers[in.index] = append(callers[in.index], self)
			case opThrow, opThrowRef, opCallIndirect:
				if !throws[self] {
					throws[self] = true
					found = append(found, self)
				}
			}
		}
		if r.err != nil {
			return nil, fmt.Errorf("function %d: %w", self, r.err)
		}
	}
	for len(found) > 0 {
		callee := found[len(found)-1]
		found = found[:len(found)-1]
		for _, caller := range callers[callee] {
			if !throws[caller] {
				throws[caller] = true
				found = append(found, caller)
			}
		}
	}
	return throws, nil
}

// skipLocals reads the declarations of a body's locals and yields them with references to
// exceptions as i32.
func skipLocals(r *reader) []byte {
	n := r.u32()
	out := u(nil, n)
	for ; n > 0 && r.err == nil; n-- {
		out = u(out, r.u32())
		t := r.byte()
		if t == typeExnRef {
			t = typeI32
		}
		out = append(out, t)
	}
	return out
}

// body rewrites the body of the defined function i.
func (l *lowering) body(i int, body []byte) ([]byte, error) {
	r := &reader{b: body}
	out := skipLocals(r)
	results := l.types[l.typeOf(i)].results
	frames := []frame{{catches: l.throws[l.imports+i]}}
	if frames[0].catches {
		out = append(out, opBlock, blockEmpty)
	}
	for len(r.b) > 0 && r.err == nil {
		if len(frames) == 0 {
			return nil, fmt.Errorf("function %d: instructions after its end", l.imports+i)
		}
		in := next(r)
		switch in.op {
		case opBlock, opLoop, opIf:
			frames = append(frames, frame{})
			out = append(append(out, in.op), plainType(in.block)...)
		case opTryTable:
			if len(in.block) != 1 {
				return nil, fmt.Errorf("function %d: a try_table with parameters", l.imports+i)
			}
			f := frame{try: true, catches: len(in.clauses) > 0}
			out = append(append(out, opBlock), plainType(in.block)...)
			if f.catches {
				f.clause, f.label = in.clauses[0].kind, in.clauses[0].label
				out = append(out, opBlock, blockEmpty)
			}
			frames = append(frames, f)
		case opEnd:
			f := frames[len(frames)-1]
			frames = frames[:len(frames)-1]
			if f.catches {
				out = l.handler(out, frames, f, results)
			}
			out = append(out, opEnd)
		case opBr, opBrIf:
			out = u(append(out, in.op), depth(frames, in.index))
		case opBrTable:
			out = u(append(out, in.op), uint32(len(in.labels)-1))
			for _, label := range in.labels {
				out = u(out, depth(frames, label))
			}
		case opThrow, opThrowRef:
			out = u(append(out, opGlobalSet), l.value)
			out = u(append(out, opI32Const, 1, opGlobalSet), l.thrown)
			out = u(append(out, opBr), handlerDepth(frames))
		case opCall:
			out = u(append(out, in.op), l.newIndex[in.index])
			if l.throws[in.index] {
				out = l.test(out, frames)
			}
		case opCallIndirect:
			out = l.test(append(out, in.text...), frames)
		case opRefFunc:
			out = u(append(out, in.op), l.newIndex[in.index])
		case opRefNull:
			if in.text[1] != typeExnRef {
				return nil, fmt.Errorf("function %d: a reference other than to an exception", l.imports+i)
			}
			out = append(out, opI32Const, 0)
		case opI32Const:
			if n := (&reader{b: in.text[1:]}).u32(); n == originalLimit {
				l.limits++
				out = code(out).i32(stackLimit)
				break
			}
			out = append(out, in.text...)
		default:
			out = append(out, in.text...)
		}
	}
	if r.err == nil && len(frames) > 0 {
		r.fail(errEnd)
	}
	if r.err != nil {
		return nil, fmt.Errorf("function %d: %w", l.imports+i, r.err)
	}
	return out, nil
}

// test appends the test after a call: with an exception on its way, to the handler.
func (l *lowering) test(out []byte, frames []frame) []byte {
	out = u(append(out, opGlobalGet), l.thrown)
	return u(append(out, opBrIf), handlerDepth(frames))
}

// handler appends the end of the inner block of a frame that catches, and what follows it
// up to the end of the outer block: for a function, the return of zeros; for a try_table,
// the branch of its first clause, which catches everything.
func (l *lowering) handler(out []byte, around []frame, f frame, results string) []byte {
	if !f.try {
		out = append(out, opReturn, opEnd)
		for _, t := range []byte(results) {
			out = append(out, zero(t)...)
		}
		return out
	}
	out = append(out, opBr, 1, opEnd)
	out = u(append(out, opI32Const, 0, opGlobalSet), l.thrown)
	values := map[byte]int{catchTag: 1, catchTagRef: 2, catchAll: 0, catchAllRef: 1}[f.clause]
	for ; values > 0; values-- {
		out = u(append(out, opGlobalGet), l.value)
	}
	return u(append(out, opBr), 1+depth(around, f.label))
}

// depth is the new index of a label.
func depth(frames []frame, label uint32) uint32 {
	target := len(frames) - 1 - int(label)
	if target < 0 {
		return label // invalid, and stays so
	}
	n := frames[target].width() - 1
	for _, f := range frames[target+1:] {
		n += f.width()
	}
	return n
}

// handlerDepth is the label of the inner block of the nearest frame that catches.
func handlerDepth(frames []frame) uint32 {
	n := uint32(0)
	for i := len(frames) - 1; i >= 0 && !frames[i].catches; i-- {
		n += frames[i].width()
	}
	return n
}

// plainType is a block type with a reference to an exception as i32.
func plainType(t []byte) []byte {
	if len(t) == 1 && t[0] == typeExnRef {
		return []byte{typeI32}
	}
	return t
}

// zero is the instruction that yields the zero of a number type.
func zero(t byte) []byte {
	switch t {
	case typeI32:
		return []byte{opI32Const, 0}
	case 0x7e:
		return []byte{opI64Const, 0}
	case 0x7d:
		return append([]byte{opF32Const}, make([]byte, 4)...)
	}
	return append([]byte{opF64Const}, make([]byte, 8)...)
}

// plainResults replaces references to exceptions in a type.
func plainTypes(types string) string {
	return strings.ReplaceAll(types, string([]byte{typeExnRef}), string([]byte{typeI32}))
}

// instruction is one instruction. Of its immediates those are set that its kind has.
type instruction struct {
	op      byte
	text    []byte // its whole encoding
	block   []byte // a block's type
	index   uint32 // of a function or label
	labels  []uint32
	clauses []clause
}

// clause is a clause of try_table.
type clause struct {
	kind  byte
	label uint32
}

// next reads one instruction of WebAssembly 2.0 without vectors, or of the
// exception-handling proposal.
func next(r *reader) instruction {
	before := r.b
	in := instruction{op: r.byte()}
	switch op := in.op; {
	case op == opBlock, op == opLoop, op == opIf, op == opTryTable:
		in.block = r.leb(5)
		if op == opTryTable {
			for n := r.u32(); n > 0 && r.err == nil; n-- {
				c := clause{kind: r.byte()}
				if c.kind == catchTag || c.kind == catchTagRef {
					r.u32()
				}
				c.label = r.u32()
				in.clauses = append(in.clauses, c)
			}
		}
	case op == opBr, op == opBrIf, op == opCall, op == opThrow, op == opRefFunc,
		op >= opLocalGet && op <= opTableSet:
		in.index = r.u32()
	case op == opBrTable:
		for n := uint64(r.u32()) + 1; n > 0 && r.err == nil; n-- {
			in.labels = append(in.labels, r.u32())
		}
	case op == opCallIndirect:
		r.u32()
		r.u32()
	case op == opSelectTyped:
		for n := r.u32(); n > 0 && r.err == nil; n-- {
			if t := r.byte(); t == typeExnRef {
				r.fail(fmt.Errorf("select of exceptions"))
			}
		}
	case op >= 0x28 && op <= opI64Store32:
		r.u32()
		r.u32()
	case op == opMemorySize, op == opMemoryGrow, op == opRefNull:
		r.byte()
	case op == opI32Const:
		r.leb(5)
	case op == opI64Const:
		r.leb(10)
	case op == opF32Const:
		r.bytes(4)
	case op == opF64Const:
		r.bytes(8)
	case op == opPrefixFC:
		immediatesFC(r)
	case op <= 0x01, op == opElse, op == opThrowRef, op == opEnd, op == opReturn, op == opDrop, op == opSelect,
		op >= opI32Eqz && op <= opI64Extend32S, op == 0xd1:
	default:
		r.fail(fmt.Errorf("the instruction %#02x is not known", op))
	}
	in.text = before[:len(before)-len(r.b)]
	return in
}

// immediatesFC reads what follows the prefix of bulk memory and saturating conversions.
func immediatesFC(r *reader) {
	switch n := r.u32(); {
	case n <= 7: // conversions
	case n == 8, n == 10, n == 12, n == 14: // memory.init, memory.copy, table.init, table.copy
		r.u32()
		r.u32()
	case n == 9, n == 11, n == 13, n >= 15 && n <= 17: // data.drop, memory.fill, elem.drop, table.grow, .size, .fill
		r.u32()
	default:
		r.fail(fmt.Errorf("the instruction 0xfc %d is not known", n))
	}
}
