package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// Weights in fuel, in units of a simple instruction, which takes 0.1 to 0.3 ns. Each
// was measured in a loop: a unit of any other instruction takes at most a few times as long;
// otherwise a slice of it would delay other guests. Instructions that compile to nothing weigh nothing.
const (
	weightEntry    = 2  // entering a function: frame and stack check
	weightSimple   = 1  // everything not named here
	weightCall     = 3  // a direct call, without its callee
	weightIndirect = 8  // call_indirect: bounds, null and signature checks
	weightHostCall = 48 // a call of an import: leaves compiled code
	weightDivide   = 8  // integer division and remainder; float division and square root
	weightSIMDHard = 12 // vector instructions that compile to sequences
	weightSqrt     = 16
	weightGo       = 192 // table.grow and memory.grow leave compiled code
	weightBulk     = 8   // a bulk instruction, without its length
	weightSmall    = 64  // memory.fill or memory.copy of up to smallBytes, all of it
	weightTable    = 2   // table.get, table.set

	// Dynamic parts.
	bytesPerUnitLog2 = 3       // memory.fill, memory.copy, memory.init: 8 bytes a unit
	fuelPerElement   = 1       // table.fill, table.copy, table.init, table.grow
	fuelPerPage      = 1 << 17 // memory.grow: zeroes 64 KiB, and sometimes copies the old memory
	chunkBytes       = 1 << 20 // upper bound of memory.fill and memory.copy between two checks of the counter
	smallBytes       = 128
	foldLimit        = 32 // upper bound of a leaf function's cost to be charged to its callers
	mergeLimit       = 8  // upper bound of an entry's cost to be added to the charge of the loop that it leads straight to
)

// weight is the constant part of an instruction's cost, apart from calls.
func weight(op wasmbin.Op) int64 {
	switch op {
	case wasmbin.OpUnreachable, wasmbin.OpNop, wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpElse,
		wasmbin.OpEnd, wasmbin.OpReturn, wasmbin.OpDrop:
		return 0
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, // i32, i64: div_s, div_u, rem_s, rem_u
		0x95, 0xa3: // f32, f64: div
		return weightDivide
	case 0x91, 0x9f: // f32, f64: sqrt
		return weightSqrt
	case wasmbin.OpBrTable:
		return 2
	case wasmbin.OpCallIndirect:
		return weightIndirect
	case wasmbin.OpTableGet, wasmbin.OpTableSet:
		return weightTable
	case wasmbin.OpMemoryGrow, wasmbin.OpTableGrow:
		return weightGo
	case wasmbin.OpMemoryCopy, wasmbin.OpMemoryFill:
		return weightSmall
	case wasmbin.OpMemoryInit, wasmbin.OpTableInit, wasmbin.OpTableCopy, wasmbin.OpTableFill,
		wasmbin.OpDataDrop, wasmbin.OpElemDrop:
		return weightBulk
	}
	if op >= 0xfd00 {
		return vectorWeight(byte(op))
	}
	return weightSimple
}

func vectorWeight(sub byte) int64 {
	switch {
	case sub >= 0xf8, // conversions
		sub == 0xe3, sub == 0xe7, sub == 0xef, sub == 0xf3, // sqrt, div
		sub == 0xd5, sub == 0x62, // i64x2.mul, i8x16.popcnt
		sub >= 0x6b && sub <= 0x6d, sub >= 0xcb && sub <= 0xcd: // i8x16 and i64x2 shifts
		return weightSIMDHard
	}
	return weightSimple
}
