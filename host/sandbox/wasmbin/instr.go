package wasmbin

// Op is an opcode: the byte itself, or prefix<<8 | sub-opcode behind 0xFC and 0xFD.
type Op uint16

// The opcodes that other packages refer to.
const (
	OpUnreachable  Op = 0x00
	OpNop          Op = 0x01
	OpBlock        Op = 0x02
	OpLoop         Op = 0x03
	OpIf           Op = 0x04
	OpElse         Op = 0x05
	OpEnd          Op = 0x0b
	OpBr           Op = 0x0c
	OpBrIf         Op = 0x0d
	OpBrTable      Op = 0x0e
	OpReturn       Op = 0x0f
	OpCall         Op = 0x10
	OpCallIndirect Op = 0x11
	OpDrop         Op = 0x1a
	OpSelect       Op = 0x1b
	OpSelectT      Op = 0x1c
	OpLocalGet     Op = 0x20
	OpLocalSet     Op = 0x21
	OpLocalTee     Op = 0x22
	OpGlobalGet    Op = 0x23
	OpGlobalSet    Op = 0x24
	OpTableGet     Op = 0x25
	OpTableSet     Op = 0x26
	OpI32Load      Op = 0x28
	OpI64Store32   Op = 0x3e
	OpMemorySize   Op = 0x3f
	OpMemoryGrow   Op = 0x40
	OpI32Const     Op = 0x41
	OpI64Const     Op = 0x42
	OpF32Const     Op = 0x43
	OpF64Const     Op = 0x44
	OpRefNull      Op = 0xd0
	OpRefIsNull    Op = 0xd1
	OpRefFunc      Op = 0xd2

	OpMemoryInit Op = 0xfc08
	OpDataDrop   Op = 0xfc09
	OpMemoryCopy Op = 0xfc0a
	OpMemoryFill Op = 0xfc0b
	OpTableInit  Op = 0xfc0c
	OpElemDrop   Op = 0xfc0d
	OpTableCopy  Op = 0xfc0e
	OpTableGrow  Op = 0xfc0f
	OpTableSize  Op = 0xfc10
	OpTableFill  Op = 0xfc11

	OpV128Const Op = 0xfd0c
)

// BlockVoid is the block type without parameters and results.
const BlockVoid = 0x40

// Instr is one instruction as decoded by Reader.Instr, with all of its immediates:
// AppendInstr needs nothing else.
type Instr struct {
	At int // offset of the opcode in the module
	Op Op

	// Index is the instruction's first index: the function of call and ref.func;
	// the type of call_indirect; the local, global, table, data or element index;
	// the label of br and br_if; a block's type index if HasType; i32.const's value.
	// Index2 is the second: the table of call_indirect and table.init, the source
	// table of table.copy (Index is its destination).
	Index, Index2 uint32
	HasType       bool // block, loop, if: the block type is a type index
	Type          byte // block, loop, if without HasType: the block type; select's value type; ref.null's reference type

	Align  byte   // loads and stores: the exponent of the alignment, below 64
	Lane   byte   // of a vector instruction
	Offset uint32 // loads and stores

	// Bits are the bits of i64.const, f32.const, f64.const and, with High for its
	// upper half, v128.const and the lanes of i8x16.shuffle.
	Bits, High uint64

	Labels Reader // br_table: its labels, the default last
	Count  uint32 // br_table: how many labels, the default included
}

// Instr decodes one instruction with its immediates into in. An opcode behind 0xfc
// or 0xfd must be encoded in as few bytes as it needs: the engine reads only the
// first byte of some, and would decode the next bytes as other instructions.
func (r *Reader) Instr(in *Instr) error {
	at := r.pos
	if at >= r.end {
		return r.eof()
	}
	b := r.buf[at]
	r.pos++
	*in = Instr{At: at, Op: Op(b)}
	imm := opcodes.plain[b]
	if b == 0xfc || b == 0xfd {
		sub, err := r.subOpcode(at, b)
		if err != nil {
			return err
		}
		in.Op = Op(b)<<8 | Op(sub)
		imm = in.Op.immediates()
	}
	var err error
	switch imm {
	case immNone:
	case immIndex:
		in.Index, err = r.U32()
	case immIndexes:
		if in.Index, err = r.U32(); err == nil {
			in.Index2, err = r.U32()
		}
	case immMemory:
		err = r.memoryIndex()
	case immMemories:
		if err = r.memoryIndex(); err == nil {
			err = r.memoryIndex()
		}
	case immIndexMemory:
		if in.Index, err = r.U32(); err == nil {
			err = r.memoryIndex()
		}
	case immMemArg:
		err = r.memArg(in)
	case immMemArgLane:
		if err = r.memArg(in); err == nil {
			in.Lane, err = r.Byte()
		}
	case immLane:
		in.Lane, err = r.Byte()
	case immBlockType:
		err = r.blockType(in)
	case immLabels:
		err = r.brTable(in)
	case immSelect:
		var n uint32
		if n, err = r.Count("types of select", 1); err == nil && n != 1 {
			err = &Error{Offset: at, Reason: "select with other than one type"}
		}
		if err == nil {
			in.Type, err = r.ValType()
		}
	case immRefType:
		in.Type, err = r.RefType()
	case immI32:
		var v int32
		v, err = r.S32()
		in.Index = uint32(v)
	case immI64:
		var v int64
		v, err = r.S64()
		in.Bits = uint64(v)
	case imm32:
		in.Bits, err = r.fixed(4)
	case imm64:
		in.Bits, err = r.fixed(8)
	case imm128:
		if in.Bits, err = r.fixed(8); err == nil {
			in.High, err = r.fixed(8)
		}
	default:
		err = refusedOpcode(at, in.Op)
	}
	return err
}

// subOpcode reads the opcode behind a prefix.
func (r *Reader) subOpcode(at int, prefix byte) (byte, error) {
	from := r.pos
	sub, err := r.U32()
	if err != nil {
		return 0, err
	}
	if r.pos-from != sizeU32(sub) {
		return 0, &Error{Offset: at, Reason: "the opcode behind 0x" + hex(prefix) + " is encoded in more bytes than it needs"}
	}
	if sub > 0xff {
		if prefix == 0xfd && sub < 0x200 {
			return 0, Unsupported(at, "relaxed SIMD")
		}
		return 0, &Error{Offset: at, Reason: "unknown opcode behind 0x" + hex(prefix)}
	}
	return byte(sub), nil
}

// sizeU32 is how many bytes AppendU32 takes for v.
func sizeU32(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// fixed reads an integer of n bytes, the lowest first.
func (r *Reader) fixed(n int) (v uint64, err error) {
	b, err := r.Bytes(n)
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v, err
}

func refusedOpcode(at int, op Op) error {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return Unsupported(at, "exception handling")
	case 0x12, 0x13:
		return Unsupported(at, "tail calls")
	case 0x14, 0x15, 0xd4, 0xd5, 0xd6:
		return Unsupported(at, "typed function references")
	case 0xd3, 0xfb:
		return Unsupported(at, "garbage collection (GC)")
	case 0xfe:
		return Unsupported(at, "threads (atomic instructions)")
	case 0xfc13, 0xfc14, 0xfc15, 0xfc16:
		return Unsupported(at, "wide arithmetic")
	}
	if prefix := byte(op >> 8); prefix != 0 {
		return &Error{Offset: at, Reason: "unknown opcode behind 0x" + hex(prefix)}
	}
	return &Error{Offset: at, Reason: "unknown opcode 0x" + hex(byte(op))}
}

func hex(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// memArg reads the alignment and offset of a load or store.
func (r *Reader) memArg(in *Instr) error {
	at := r.pos
	align, err := r.U32()
	if err != nil {
		return err
	}
	if align&0x40 != 0 && align < 0x80 {
		return Unsupported(at, "multiple memories")
	}
	if align >= 0x40 {
		return &Error{Offset: at, Reason: "malformed alignment"}
	}
	in.Align = byte(align)
	in.Offset, err = r.U32()
	return err
}

// memoryIndex reads an index that can only be 0.
func (r *Reader) memoryIndex() error {
	at := r.pos
	b, err := r.Byte()
	if err == nil && b != 0 {
		err = Unsupported(at, "multiple memories")
	}
	return err
}

func (r *Reader) blockType(in *Instr) error {
	if r.pos < r.end {
		switch r.buf[r.pos] {
		case BlockVoid, I32, I64, F32, F64, V128, FuncRef, ExternRef:
			in.Type = r.buf[r.pos]
			r.pos++
			return nil
		}
	}
	at := r.pos
	v, err := r.S33()
	switch {
	case err != nil:
		return err
	case v >= 0:
		in.HasType, in.Index = true, uint32(v)
		return nil
	case v < -64 || r.pos-at != 1:
		return &Error{Offset: at, Reason: "malformed block type"}
	}
	r.pos = at
	_, err = r.ValType() // knows what the other bytes would mean
	return err
}

func (r *Reader) brTable(in *Instr) error {
	n, err := r.Count("labels of br_table", 1)
	if err != nil {
		return err
	}
	if int(n) >= r.Left() {
		return r.Errorf("br_table without a default label")
	}
	in.Labels, in.Count = *r, n+1
	for range in.Count {
		if _, err := r.U32(); err != nil {
			return err
		}
	}
	in.Labels.end = r.pos
	return nil
}

// ConstInstr reads the next instruction of a constant expression into in. more is
// false when that is the expression's end.
func (r *Reader) ConstInstr(in *Instr) (more bool, err error) {
	if err := r.Instr(in); err != nil {
		return false, err
	}
	switch in.Op {
	case OpEnd:
		return false, nil
	case OpI32Const, OpI64Const, OpF32Const, OpF64Const, OpV128Const, OpRefNull, OpRefFunc, OpGlobalGet:
		return true, nil
	case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // i32 and i64 add, sub, mul
		return false, Unsupported(in.At, "extended constant expressions")
	}
	return false, &Error{Offset: in.At, Reason: "not a constant expression"}
}

// ConstExpr reads a constant expression with its end.
func (r *Reader) ConstExpr() error {
	var in Instr
	for {
		if more, err := r.ConstInstr(&in); err != nil || !more {
			return err
		}
	}
}

// Locals reads the local declarations of a function body and returns how many
// locals they declare. It calls visit, which may be nil, for each group of n locals
// of one type.
func (r *Reader) Locals(visit func(n uint32, valType byte)) (uint32, error) {
	groups, err := r.Count("groups of locals", 2)
	if err != nil {
		return 0, err
	}
	total := uint64(0)
	for range groups {
		n, err := r.U32()
		if err != nil {
			return 0, err
		}
		if total += uint64(n); total > 1<<30 {
			return 0, r.Errorf("more than 2^30 locals")
		}
		t, err := r.ValType()
		if err != nil {
			return 0, err
		}
		if visit != nil {
			visit(n, t)
		}
	}
	return uint32(total), nil
}
