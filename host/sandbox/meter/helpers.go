package meter

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// Helpers are functions added behind the guest's own. They exist only in modules
// that need them.
type helper = int

const (
	helperRefill helper = iota // (give i64) -> (): asks the host until there is fuel, then adds give
	helperBytes                // (n i32) -> (n i32): charges memory.init
	helperElems                // (n i32) -> (n i32): charges table instructions
	helperPages                // (n i32) -> (n i32): charges memory.grow
	helperFill                 // (to, value, n i32) -> (): memory.fill in chunks
	helperCopy                 // (to, from, n i32) -> (): memory.copy in chunks
	helperCount
)

var helperNames = [helperCount]string{"refill_slice", "charge_bytes", "charge_elements", "charge_pages", "memory_fill", "memory_copy"}

// Types added behind the guest's own.
const (
	typeRefill = iota
	typeGive
	typeLength
	typeBulk
)

var addedTypes = [...]string{
	typeRefill: "\x60\x01\x7e\x01\x7e",
	typeGive:   "\x60\x01\x7e\x00",
	typeLength: "\x60\x01\x7f\x01\x7f",
	typeBulk:   "\x60\x03\x7f\x7f\x7f\x00",
}

var helperTypes = [helperCount]uint32{typeGive, typeLength, typeLength, typeLength, typeBulk, typeBulk}

// bulkHelper is the helper an instruction needs.
func bulkHelper(op wasmbin.Op) (helper, bool) {
	switch op {
	case wasmbin.OpMemoryInit:
		return helperBytes, true
	case wasmbin.OpTableInit, wasmbin.OpTableCopy, wasmbin.OpTableFill, wasmbin.OpTableGrow:
		return helperElems, true
	case wasmbin.OpMemoryGrow:
		return helperPages, true
	case wasmbin.OpMemoryFill:
		return helperFill, true
	case wasmbin.OpMemoryCopy:
		return helperCopy, true
	}
	return 0, false
}

// callHelper appends a call of a helper that scan has counted.
func (m *module) callHelper(out []byte, h helper) []byte {
	fn := m.funcs + 1 // behind refill
	for i := range h {
		if m.used[i] {
			fn++
		}
	}
	return wasmbin.AppendU32(append(out, byte(wasmbin.OpCall)), fn)
}

const (
	opI32GtU     = 0x4b
	opI64LtS     = 0x53
	opI64GeS     = 0x59
	opI64LeU     = 0x58
	opI32LeU     = 0x4d
	opI32Add     = 0x6a
	opI32Sub     = 0x6b
	opI64Add     = 0x7c
	opI64Sub     = 0x7d
	opI64Mul     = 0x7e
	opI64Shl     = 0x86
	opI64ShrU    = 0x88
	opI32And     = 0x71
	opI64Or      = 0x84
	opI64ExtendU = 0xad
)

// emitHelper appends the body of a helper.
func (m *module) emitHelper(out []byte, h helper) []byte {
	e := emitter{m: m, out: append(out, 0)} // no locals
	switch h {
	case helperRefill:
		e.op(byte(wasmbin.OpLoop), wasmbin.BlockVoid)
		e.out = m.globalGet(e.out)
		e.op(byte(wasmbin.OpCall))
		e.u32(m.importFuncs)
		e.out = m.globalSet(e.out)
		e.out = m.lesser(e.out)
		e.i64(0)
		e.op(opI64LtS, byte(wasmbin.OpBrIf), 0)
		e.end()
		e.out = m.globalGet(e.out)
		e.local(0)
		e.op(opI64Add)
		e.out = m.globalSet(e.out)
	// An impossible length costs nothing: the instruction traps or returns -1.
	case helperBytes:
		e.local(0)
		e.op(opI64ExtendU)
		e.i64(int64(m.maxData))
		e.op(opI64LeU, byte(wasmbin.OpIf), wasmbin.BlockVoid)
		e.chargeBytes(0)
		e.end()
		e.local(0)
	case helperElems:
		e.local(0)
		e.op(opI64ExtendU)
		e.i64(int64(m.elements()))
		e.op(opI64LeU, byte(wasmbin.OpIf), wasmbin.BlockVoid)
		e.chargeTimes(fuelPerElement)
		e.end()
		e.local(0)
	case helperPages:
		e.local(0)
		e.op(opI64ExtendU)
		e.op(byte(wasmbin.OpMemorySize), 0, opI64ExtendU, opI64Add)
		e.i64(int64(m.maxPages))
		e.op(opI64LeU, byte(wasmbin.OpIf), wasmbin.BlockVoid)
		e.chargeTimes(fuelPerPage)
		e.end()
		e.local(0)
	case helperFill:
		e.fill()
	case helperCopy:
		e.copy()
	}
	return append(e.out, byte(wasmbin.OpEnd))
}

// emitter writes instructions.
type emitter struct {
	m   *module
	out []byte
}

func (e *emitter) op(b ...byte) { e.out = append(e.out, b...) }
func (e *emitter) u32(v uint32) { e.out = wasmbin.AppendU32(e.out, v) }
func (e *emitter) i64(v int64)  { e.op(byte(wasmbin.OpI64Const)); e.out = wasmbin.AppendS64(e.out, v) }
func (e *emitter) i32(v int32) {
	e.op(byte(wasmbin.OpI32Const))
	e.out = wasmbin.AppendS64(e.out, int64(v))
}
func (e *emitter) local(i byte)       { e.op(byte(wasmbin.OpLocalGet), i) }
func (e *emitter) setLocal(i byte)    { e.op(byte(wasmbin.OpLocalSet), i) }
func (e *emitter) end()               { e.op(byte(wasmbin.OpEnd)) }
func (e *emitter) add(i byte, v byte) { e.local(i); e.i32(chunkBytes); e.op(v); e.setLocal(i) }

// chargeBytes charges by the bytes in a local.
func (e *emitter) chargeBytes(local byte) {
	e.out = e.m.globalGet(e.out)
	e.local(local)
	e.op(opI64ExtendU)
	e.i64(bytesPerUnitLog2)
	e.op(opI64ShrU)
	e.subtract()
}

// chargeTimes charges for the length in local 0.
func (e *emitter) chargeTimes(fuel int64) {
	e.out = e.m.globalGet(e.out)
	e.local(0)
	e.op(opI64ExtendU)
	e.i64(fuel)
	e.op(opI64Mul)
	e.subtract()
}

// subtract subtracts the amount on the stack from the counter below it.
func (e *emitter) subtract() {
	e.op(opI64Sub)
	e.out = e.m.refillInline(e.m.globalSet(e.out))
}

// chargeChunk charges one chunk.
func (e *emitter) chargeChunk() {
	e.out = e.m.refillInline(e.m.subtract(e.out, chunkBytes>>bytesPerUnitLog2))
}

// tooLong pushes whether local 2, the length, is more than a chunk.
func (e *emitter) tooLong() {
	e.local(2)
	e.i32(chunkBytes)
	e.op(opI32GtU)
}

// inside pushes whether a range of local 2's length is inside memory: otherwise the
// bulk instruction must trap before it writes, so it is not divided, and costs nothing.
func (e *emitter) inside(start byte) {
	e.local(start)
	e.op(opI64ExtendU)
	e.local(2)
	e.op(opI64ExtendU, opI64Add)
	e.op(byte(wasmbin.OpMemorySize), 0, opI64ExtendU)
	e.i64(16)
	e.op(opI64Shl, opI64LeU)
}

// whole is a bulk instruction on the helper's own arguments.
func (e *emitter) whole(instr func()) {
	e.local(0)
	e.local(1)
	e.local(2)
	instr()
}

func (e *emitter) memoryFill() { e.op(0xfc, 0x0b, 0) }
func (e *emitter) memoryCopy() { e.op(0xfc, 0x0a, 0, 0) }

// fill charges for local 2 bytes and fills them: no more than a chunk at a time,
// so that a host that wants to stop the guest, or to collect garbage, waits for
// one chunk at most.
func (e *emitter) fill() {
	e.tooLong()
	e.op(byte(wasmbin.OpIf), wasmbin.BlockVoid)
	e.inside(0)
	e.op(byte(wasmbin.OpIf), wasmbin.BlockVoid, byte(wasmbin.OpLoop), wasmbin.BlockVoid)
	e.chargeChunk()
	e.local(0)
	e.local(1)
	e.i32(chunkBytes)
	e.memoryFill()
	e.add(0, opI32Add)
	e.add(2, opI32Sub)
	e.tooLong()
	e.op(byte(wasmbin.OpBrIf), 0)
	e.end()
	e.op(byte(wasmbin.OpElse))
	e.whole(e.memoryFill)
	e.end()
	e.end()
	e.chargeBytes(2)
	e.whole(e.memoryFill)
}

// copy is fill for memory.copy. A copy to a higher address proceeds from the end,
// since the ranges may overlap.
func (e *emitter) copy() {
	e.tooLong()
	e.op(byte(wasmbin.OpIf), wasmbin.BlockVoid)
	e.inside(0)
	e.inside(1)
	e.op(opI32And, byte(wasmbin.OpIf), wasmbin.BlockVoid)
	e.local(0)
	e.local(1)
	e.op(opI32LeU, byte(wasmbin.OpIf), wasmbin.BlockVoid)

	e.op(byte(wasmbin.OpLoop), wasmbin.BlockVoid)
	e.chargeChunk()
	e.local(0)
	e.local(1)
	e.i32(chunkBytes)
	e.memoryCopy()
	e.add(0, opI32Add)
	e.add(1, opI32Add)
	e.add(2, opI32Sub)
	e.tooLong()
	e.op(byte(wasmbin.OpBrIf), 0)
	e.end()

	e.op(byte(wasmbin.OpElse))

	e.op(byte(wasmbin.OpLoop), wasmbin.BlockVoid)
	e.chargeChunk()
	e.add(2, opI32Sub)
	for local := range byte(2) {
		e.local(local)
		e.local(2)
		e.op(opI32Add)
	}
	e.i32(chunkBytes)
	e.memoryCopy()
	e.tooLong()
	e.op(byte(wasmbin.OpBrIf), 0)
	e.end()

	e.end()
	e.op(byte(wasmbin.OpElse))
	e.whole(e.memoryCopy)
	e.end()
	e.end()
	e.chargeBytes(2)
	e.whole(e.memoryCopy)
}
