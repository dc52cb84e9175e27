package wasmbin

// immediates are the kinds of bytes behind an opcode. Reader.Instr and AppendInstr both
// use them, so that they agree.
type immediates byte

const (
	immRefused immediates = iota // no instruction of the core specification 2.0
	immNone
	immIndex       // a function, local, global, table, data, element or label index
	immIndexes     // two indexes
	immMemory      // a memory index, which can only be 0
	immMemories    // two of them
	immIndexMemory // an index and a memory index
	immMemArg      // alignment and offset
	immMemArgLane  // alignment, offset and a lane
	immLane
	immBlockType
	immLabels // br_table
	immSelect // a vector of one value type
	immRefType
	immI32
	immI64
	imm32 // f32.const
	imm64 // f64.const
	imm128
)

// opcodes are the immediates of all opcodes: those of one byte, and those behind 0xfc
// and 0xfd.
var opcodes = struct{ plain, bulk, vector [256]immediates }{
	plain:  ofRanges(plainOpcodes),
	bulk:   ofRanges(bulkOpcodes),
	vector: ofRanges(vectorOpcodes),
}

// immediates of an opcode; immRefused for an unsupported one.
func (op Op) immediates() immediates {
	switch op >> 8 {
	case 0:
		return opcodes.plain[op]
	case 0xfc:
		return opcodes.bulk[op&0xff]
	case 0xfd:
		return opcodes.vector[op&0xff]
	}
	return immRefused
}

// opcodeRange is the opcodes first to last.
type opcodeRange struct {
	first, last byte
	imm         immediates
}

func ofRanges(ranges []opcodeRange) (table [256]immediates) {
	for _, r := range ranges {
		for op := int(r.first); op <= int(r.last); op++ {
			table[op] = r.imm
		}
	}
	return table
}

var plainOpcodes = []opcodeRange{
	{0x00, 0x01, immNone},      // unreachable, nop
	{0x02, 0x04, immBlockType}, // block, loop, if
	{0x05, 0x05, immNone},      // else
	{0x0b, 0x0b, immNone},      // end
	{0x0c, 0x0d, immIndex},     // br, br_if
	{0x0e, 0x0e, immLabels},    // br_table
	{0x0f, 0x0f, immNone},      // return
	{0x10, 0x10, immIndex},     // call
	{0x11, 0x11, immIndexes},   // call_indirect
	{0x1a, 0x1b, immNone},      // drop, select
	{0x1c, 0x1c, immSelect},    // select with a type
	{0x20, 0x26, immIndex},     // local, global and table get and set
	{0x28, 0x3e, immMemArg},    // loads and stores
	{0x3f, 0x40, immMemory},    // memory.size, memory.grow
	{0x41, 0x41, immI32},
	{0x42, 0x42, immI64},
	{0x43, 0x43, imm32},
	{0x44, 0x44, imm64},
	{0x45, 0xc4, immNone},    // arithmetic
	{0xd0, 0xd0, immRefType}, // ref.null
	{0xd1, 0xd1, immNone},    // ref.is_null
	{0xd2, 0xd2, immIndex},   // ref.func
}

var bulkOpcodes = []opcodeRange{
	{0, 7, immNone},        // saturating truncation
	{8, 8, immIndexMemory}, // memory.init
	{9, 9, immIndex},       // data.drop
	{10, 10, immMemories},  // memory.copy
	{11, 11, immMemory},    // memory.fill
	{12, 12, immIndexes},   // table.init
	{13, 13, immIndex},     // elem.drop
	{14, 14, immIndexes},   // table.copy
	{15, 17, immIndex},     // table.grow, table.size, table.fill
}

var vectorOpcodes = []opcodeRange{
	{0, 11, immMemArg},      // loads and v128.store
	{12, 13, imm128},        // v128.const, i8x16.shuffle
	{14, 20, immNone},       // swizzle, splats
	{21, 34, immLane},       // extract_lane, replace_lane
	{35, 83, immNone},       // comparisons, bitwise
	{84, 91, immMemArgLane}, // loads and stores of a lane
	{92, 93, immMemArg},     // load32_zero, load64_zero
	{94, 0xff, immNone},
	// Undefined opcodes:
	{0x9a, 0x9a, immRefused}, {0xa2, 0xa2, immRefused}, {0xa5, 0xa6, immRefused}, {0xaf, 0xb0, immRefused},
	{0xb2, 0xb4, immRefused}, {0xbb, 0xbb, immRefused}, {0xc2, 0xc2, immRefused}, {0xc5, 0xc6, immRefused},
	{0xcf, 0xd0, immRefused}, {0xd2, 0xd4, immRefused}, {0xe2, 0xe2, immRefused}, {0xee, 0xee, immRefused},
}
