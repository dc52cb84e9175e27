package extism

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Host is what a Kernel needs of the host of its guest. Each method may panic to trap the
// guest.
type Host interface {
	// Charge charges the guest for bytes that were read, written or copied for it.
	Charge(bytes int)
	// Grow returns the memory of the blocks with at least size bytes, the earlier ones
	// unchanged and new ones zero; nil if the guest may not have so much.
	Grow(size int64) []byte
	// Exhausted traps a guest for which Grow has returned nil. It does not return.
	Exhausted()
	// Trap traps the guest. It does not return.
	Trap(reason string)

	Log(level Level, text []byte)
	// Config returns a value of the handler's configuration.
	Config(key string) (value string, found bool)
	Var(key string) (value []byte, found bool)
	SetVar(key string, value []byte)
	RemoveVar(key string)
	// Send sends a request in the JSON form of ABI v1 and returns the response in that form.
	Send(request []byte) (response string, err error)
}

const (
	granule = 64 // blocks begin at multiples of it and take whole ones
	// maxBlock bounds the length of a block, so that a length and active fit into an entry
	// of the table.
	maxBlock = 1<<31 - 1 - granule
	active   = 1 << 31 // in an entry of the table: a block begins there
	// addressable is more than the memory of any guest.
	addressable = 1 << 32
	// maxFailure bounds the text of error_set that is kept, in bytes.
	maxFailure = 8 << 10
)

// Kernel has the blocks of one guest. Begin prepares it for a call.
type Kernel struct {
	host   Host
	memory []byte
	top    uint32 // granules that are in use; the first is not used, so that no block is at 0
	// table has an entry for each granule below top: active with the length for the first of
	// a block, and the next free block of the same class for the first of a freed one.
	table []uint32
	freed [classes]uint32 // the first freed block of each class, 0 for none

	input, output, failure extent
	failed                 string // the text of failure
	cause                  string // why the last call of the host's failed
	response               response
}

// extent is a part of the memory. The block that has it is not used again when it is freed.
type extent struct{ offset, length uint64 }

// New returns a kernel without blocks.
func New(host Host) *Kernel { return &Kernel{host: host, top: 1, table: make([]uint32, 1)} }

// Begin frees every block and makes one with the input of a call.
func (k *Kernel) Begin(input string) {
	k.reset()
	k.cause, k.response = "", response{}
	k.input = extent{k.yield(input), uint64(len(input))}
}

// Output returns what the call has set as its output, which is valid until the next call.
func (k *Kernel) Output() []byte { return k.view(k.output) }

// Failure returns the text of the error that the call has set, and whether it has.
func (k *Kernel) Failure() (text string, set bool) { return k.failed, k.failure.offset != 0 }

// Cause returns why the last request of the call failed; "" if none did.
func (k *Kernel) Cause() string { return k.cause }

// end returns the end of the memory that blocks have been in.
func (k *Kernel) end() uint64 { return uint64(k.top) * granule }

// contains reports whether an extent is inside the memory that blocks have been in.
func (k *Kernel) contains(e extent) bool {
	return e.offset >= granule && e.offset <= k.end() && e.length <= k.end()-e.offset
}

// view returns an extent, which is inside or empty.
func (k *Kernel) view(e extent) []byte {
	if e.length == 0 {
		return nil
	}
	return k.memory[e.offset : e.offset+e.length]
}

// alloc returns a block of n zero bytes; 0 if n is 0, or more than the guest may have.
func (k *Kernel) alloc(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	if n > maxBlock {
		k.host.Grow(addressable) // it is refused
		return 0
	}
	class, size := classOf(uint32((n + granule - 1) / granule))
	at := k.freed[class]
	if at != 0 {
		k.host.Charge(int(n))
		k.freed[class] = k.table[at]
		clear(k.memory[at*granule:][:uint64(size)*granule])
	} else if at = k.extend(size); at == 0 {
		return 0
	}
	k.table[at] = active | uint32(n)
	return uint64(at) * granule
}

// extend adds granules at the top. It returns their first one, or 0 if the guest may not
// have them.
func (k *Kernel) extend(granules uint32) uint32 {
	at := k.top
	size := (int64(at) + int64(granules)) * granule
	if size > int64(len(k.memory)) {
		grown := k.host.Grow(min(size, addressable))
		if int64(len(grown)) < size {
			return 0
		}
		k.memory = grown
	}
	k.host.Charge(int(granules) * granule)
	clear(k.memory[uint64(at)*granule : size])
	k.top += granules
	for uint32(len(k.table)) < k.top {
		k.table = append(k.table, 0)
	}
	return at
}

// find returns the granule of a block and its length; false if there is none at offset.
func (k *Kernel) find(offset uint64) (at uint32, length uint64, ok bool) {
	if offset%granule != 0 || offset >= k.end() {
		return 0, 0, false
	}
	at = uint32(offset / granule)
	entry := k.table[at]
	return at, uint64(entry &^ active), entry&active != 0
}

// length returns the length of a block; 0 if there is none at offset.
func (k *Kernel) length(offset uint64) uint64 {
	_, length, ok := k.find(offset)
	if !ok {
		return 0
	}
	return length
}

// free frees a block. It does nothing if there is none at offset.
func (k *Kernel) free(offset uint64) {
	at, length, ok := k.find(offset)
	if !ok {
		return
	}
	k.table[at] = 0
	if k.input.offset == offset {
		k.input.length = 0
	}
	class, size := classOf(uint32((length + granule - 1) / granule))
	switch end := offset + uint64(size)*granule; {
	case k.output.within(offset, end), k.failure.within(offset, end):
		// It is read after the call: some PDKs free it before that.
	case at+size == k.top:
		k.top = at
	default:
		k.table[at], k.freed[class] = k.freed[class], at
	}
}

// within reports whether any of e is between two offsets.
func (e extent) within(begin, end uint64) bool {
	return e.offset < end && e.offset+e.length > begin && e.length > 0
}

// reset frees every block.
func (k *Kernel) reset() {
	k.host.Charge(int(k.top) * 4)
	clear(k.table[:k.top])
	clear(k.freed[:])
	k.top = 1
	k.input, k.output, k.failure, k.failed = extent{}, extent{}, extent{}, ""
}

// yield returns a new block with this text; 0 for an empty one. It traps a guest that may
// not have it.
func (k *Kernel) yield(text string) uint64 {
	offset := k.alloc(uint64(len(text)))
	if offset == 0 {
		if text != "" {
			k.host.Exhausted()
		}
		return 0
	}
	k.host.Charge(len(text))
	copy(k.memory[offset:], text)
	return offset
}

// block returns the contents of a block that a guest passes; none for the offset 0, which
// is the block of an empty text. It traps for any other offset that is not of a block.
func (k *Kernel) block(function string, offset uint64) []byte {
	_, length, ok := k.find(offset)
	if !ok && offset != 0 {
		k.host.Trap(fmt.Sprintf("out of bounds: %s: there is no block at %d", function, offset))
	}
	k.host.Charge(int(length))
	return k.view(extent{offset, length})
}

// load returns the number of so many bytes at an offset; 0 outside of the memory, as in
// Extism's own hosts.
func (k *Kernel) load(offset uint64, size uint64) uint64 {
	if !k.contains(extent{offset, size}) {
		return 0
	}
	return number(k.memory[offset:][:size])
}

// loadInput is load at an offset in the input.
func (k *Kernel) loadInput(offset uint64, size uint64) uint64 {
	if offset > k.input.length || size > k.input.length-offset {
		return 0
	}
	return number(k.memory[k.input.offset+offset:][:size])
}

// number returns one or eight bytes as a number.
func number(b []byte) uint64 {
	if len(b) == 1 {
		return uint64(b[0])
	}
	return binary.LittleEndian.Uint64(b)
}

// store writes a number of one or eight bytes. It does nothing outside of the memory, as in
// Extism's own hosts.
func (k *Kernel) store(offset uint64, size, value uint64) {
	if !k.contains(extent{offset, size}) {
		return
	}
	if size == 1 {
		k.memory[offset] = byte(value)
		return
	}
	binary.LittleEndian.PutUint64(k.memory[offset:], value)
}

// setInput makes an extent the input.
func (k *Kernel) setInput(offset, length uint64) { k.input = k.extent("input_set", offset, length) }

// setOutput makes an extent the output.
func (k *Kernel) setOutput(offset, length uint64) { k.output = k.extent("output_set", offset, length) }

// extent returns an extent that a guest passes. It traps for one outside of the memory.
func (k *Kernel) extent(function string, offset, length uint64) extent {
	e := extent{offset, length}
	if length == 0 {
		return extent{}
	}
	if !k.contains(e) {
		k.host.Trap(fmt.Sprintf("out of bounds: %s: the range at %d of %d bytes is not inside the kernel's memory", function, offset, length))
	}
	return e
}

// setError makes the text of a block the error of the call; the offset 0 clears it.
func (k *Kernel) setError(offset uint64) {
	text := k.block("error_set", offset)
	k.failure = extent{offset, uint64(len(text))}
	k.failed = string(text[:min(len(text), maxFailure)])
}

// Blocks are of classes, so that a freed one is found at once: of up to 16 granules exactly,
// and of eight sizes for each power of two above that, at most an eighth too large.
const (
	exact   = 16
	perBit  = 8
	classes = exact + 1 + perBit*(26-4+1)
)

// classOf returns the class of a block of so many granules, at least 1, and the granules of
// the blocks of that class.
func classOf(granules uint32) (class int, size uint32) {
	if granules <= exact {
		return int(granules), granules
	}
	shift := bits.Len32(granules-1) - 4 // of 8 to 15 after it
	steps := (granules-1)>>shift + 1    // 9 to 16
	return exact + perBit*(shift-1) + int(steps) - perBit, steps << shift
}
