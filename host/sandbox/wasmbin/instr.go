package wasmbin

// Op is an opcode: the byte itself, or prefix<<8 | sub-opcode behind 0xFC and 0xFD.
type Op uint16

// The opcodes that readers of this package ask for by name.
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

// Instr is one instruction as decoded by Reader.Instr.
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

	Labels Reader // br_table: its labels, the default last
	Count  uint32 // br_table: how many labels, the default included
}

// simdHoles are the sub-opcodes of 0xFD below 0x100 that mean nothing.
var simdHoles = [256]bool{0x9a: true, 0xa2: true, 0xa5: true, 0xa6: true, 0xaf: true, 0xb0: true,
	0xb2: true, 0xb3: true, 0xb4: true, 0xbb: true, 0xc2: true, 0xc5: true, 0xc6: true, 0xcf: true,
	0xd0: true, 0xd2: true, 0xd3: true, 0xd4: true, 0xe2: true, 0xee: true}

// Instr decodes one instruction with its immediates into in.
func (r *Reader) Instr(in *Instr) (err error) {
	at := r.pos
	b, err := r.Byte()
	if err != nil {
		return err
	}
	*in = Instr{At: at, Op: Op(b)}
	switch {
	case b >= 0x45 && b <= 0xc4, b == 0x00, b == 0x01, b == 0x05, b == 0x0b, b == 0x0f, b == 0x1a, b == 0x1b, b == 0xd1:
		return nil
	case b >= 0x20 && b <= 0x26, b == 0x0c, b == 0x0d, b == 0x10, b == 0xd2:
		in.Index, err = r.U32()
		return err
	case b >= 0x28 && b <= 0x3e:
		return r.memArg()
	}
	switch b {
	case 0x02, 0x03, 0x04:
		return r.blockType(in)
	case 0x0e:
		return r.brTable(in)
	case 0x11:
		if in.Index, err = r.U32(); err == nil {
			in.Index2, err = r.U32()
		}
		return err
	case 0x1c:
		n, err := r.Count("types of select", 1)
		if err == nil && n != 1 {
			err = &Error{Offset: at, Reason: "select with other than one type"}
		}
		if err == nil {
			_, err = r.ValType()
		}
		return err
	case 0x3f, 0x40:
		return r.memoryIndex()
	case 0x41:
		v, err := r.S32()
		in.Index = uint32(v)
		return err
	case 0x42:
		_, err = r.S64()
		return err
	case 0x43:
		return r.Skip(4)
	case 0x44:
		return r.Skip(8)
	case 0xd0:
		_, err = r.RefType()
		return err
	case 0xfc:
		return r.prefixFC(in)
	case 0xfd:
		return r.prefixFD(in)
	}
	return refusedOpcode(at, b)
}

func refusedOpcode(at int, b byte) error {
	switch b {
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
	}
	return &Error{Offset: at, Reason: "unknown opcode 0x" + hex(b)}
}

func hex(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// memArg reads the alignment and offset of a load or store.
func (r *Reader) memArg() error {
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
	_, err = r.U32()
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
		case 0x40, I32, I64, F32, F64, V128, FuncRef, ExternRef:
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

func (r *Reader) prefixFC(in *Instr) error {
	sub, err := r.U32()
	if err != nil {
		return err
	}
	if sub > 17 {
		if sub >= 19 && sub <= 22 {
			return Unsupported(in.At, "wide arithmetic")
		}
		return &Error{Offset: in.At, Reason: "unknown opcode behind 0xfc"}
	}
	in.Op = 0xfc00 | Op(sub)
	switch in.Op {
	case OpMemoryInit:
		if in.Index, err = r.U32(); err == nil {
			err = r.memoryIndex()
		}
	case OpMemoryCopy:
		if err = r.memoryIndex(); err == nil {
			err = r.memoryIndex()
		}
	case OpMemoryFill:
		err = r.memoryIndex()
	case OpTableInit, OpTableCopy:
		if in.Index, err = r.U32(); err == nil {
			in.Index2, err = r.U32()
		}
	case OpDataDrop, OpElemDrop, OpTableGrow, OpTableSize, OpTableFill:
		in.Index, err = r.U32()
	}
	return err
}

func (r *Reader) prefixFD(in *Instr) error {
	sub, err := r.U32()
	if err != nil {
		return err
	}
	if sub > 0xff {
		if sub < 0x200 {
			return Unsupported(in.At, "relaxed SIMD")
		}
		return &Error{Offset: in.At, Reason: "unknown opcode behind 0xfd"}
	}
	if simdHoles[sub] {
		return &Error{Offset: in.At, Reason: "unknown opcode behind 0xfd"}
	}
	in.Op = 0xfd00 | Op(sub)
	switch {
	case sub <= 11, sub == 92, sub == 93: // loads and stores
		return r.memArg()
	case sub == 12, sub == 13: // v128.const, i8x16.shuffle
		return r.Skip(16)
	case sub >= 21 && sub <= 34: // lanes
		return r.Skip(1)
	case sub >= 84 && sub <= 91: // loads and stores of a lane
		if err := r.memArg(); err != nil {
			return err
		}
		return r.Skip(1)
	}
	return nil
}

// ConstExpr reads a constant expression with its end. It calls visit, which may
// be nil, for each instruction before the end.
func (r *Reader) ConstExpr(visit func(*Instr) error) error {
	var in Instr
	for {
		if err := r.Instr(&in); err != nil {
			return err
		}
		switch in.Op {
		case OpEnd:
			return nil
		case OpI32Const, OpI64Const, OpF32Const, OpF64Const, OpV128Const, OpRefNull, OpRefFunc, OpGlobalGet:
			if visit != nil {
				if err := visit(&in); err != nil {
					return err
				}
			}
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // i32 and i64 add, sub, mul
			return Unsupported(in.At, "extended constant expressions")
		default:
			return &Error{Offset: in.At, Reason: "not a constant expression"}
		}
	}
}

// Locals reads the local declarations of a function body and returns how many
// locals they declare.
func (r *Reader) Locals() (uint32, error) {
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
		if _, err := r.ValType(); err != nil {
			return 0, err
		}
	}
	return uint32(total), nil
}
