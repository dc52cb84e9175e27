package wasmbin

import "encoding/binary"

// AppendU32 appends v as an unsigned LEB128 integer, in as few bytes as it needs.
func AppendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// AppendS64 appends v as a signed LEB128 integer, in as few bytes as it needs.
func AppendS64(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v&0x7f))
}

// AppendName appends a name, or any vector of bytes: its length and the bytes.
func AppendName(b, name []byte) []byte {
	return append(AppendU32(b, uint32(len(name))), name...)
}

// AppendFuncType appends an entry of the type section, of the value types that
// Reader.FuncType returns.
func AppendFuncType(b, params, results []byte) []byte {
	return AppendName(AppendName(append(b, formFunc), params), results)
}

// AppendLimits appends the limits of a memory or a table.
func AppendLimits(b []byte, l Limits) []byte {
	if !l.HasMax {
		return AppendU32(append(b, 0), l.Min)
	}
	return AppendU32(AppendU32(append(b, 1), l.Min), l.Max)
}

// AppendInstr appends an instruction as Reader.Instr has decoded it, each integer in
// as few bytes as it needs.
func AppendInstr(b []byte, in *Instr) []byte {
	if prefix := in.Op >> 8; prefix != 0 {
		b = AppendU32(append(b, byte(prefix)), uint32(in.Op&0xff))
	} else {
		b = append(b, byte(in.Op))
	}
	switch in.Op.immediates() {
	case immIndex:
		b = AppendU32(b, in.Index)
	case immIndexes:
		b = AppendU32(AppendU32(b, in.Index), in.Index2)
	case immMemory:
		b = append(b, 0)
	case immMemories:
		b = append(b, 0, 0)
	case immIndexMemory:
		b = append(AppendU32(b, in.Index), 0)
	case immMemArg:
		b = AppendU32(append(b, in.Align), in.Offset)
	case immMemArgLane:
		b = append(AppendU32(append(b, in.Align), in.Offset), in.Lane)
	case immLane:
		b = append(b, in.Lane)
	case immBlockType:
		b = AppendBlockType(b, in)
	case immLabels:
		b = AppendU32(b, in.Count-1)
		labels := in.Labels
		for range in.Count {
			label, _ := labels.U32() // Instr has read them
			b = AppendU32(b, label)
		}
	case immSelect:
		b = append(b, 1, in.Type)
	case immRefType:
		b = append(b, in.Type)
	case immI32:
		b = AppendS64(b, int64(int32(in.Index)))
	case immI64:
		b = AppendS64(b, int64(in.Bits))
	case imm32:
		b = binary.LittleEndian.AppendUint32(b, uint32(in.Bits))
	case imm64:
		b = binary.LittleEndian.AppendUint64(b, in.Bits)
	case imm128:
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, in.Bits), in.High)
	}
	return b
}

// AppendBlockType appends the block type of a block, loop or if.
func AppendBlockType(b []byte, in *Instr) []byte {
	if in.HasType {
		return AppendS64(b, int64(in.Index))
	}
	return append(b, in.Type)
}
