package pack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
)

const version = 1

// The columns of this version.
const (
	columnGaps = iota + 1
	columnTimes
	columnDurations
	columnFuel
	columnModules
	columnChoices
	columnResults
	columnsEnd
)

const checksumSize = 4

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Encoder encodes blocks and keeps its buffers for the next. The zero value is ready.
// It is not safe for concurrent use.
type Encoder struct {
	columns  [columnsEnd]numbers
	seed     maphash.Seed
	index    [2 * MaxOutcomes]uint16 // of distinct results by hash: 1 more than in distinct; 0 is none
	distinct [][]byte
	digests  []string
	chunk    []byte
	squeezed []byte
}

// Append appends the block of a list of outcomes to dst. The list is ascending by Seq,
// and Cut returns its length for it.
func (e *Encoder) Append(dst []byte, list []Outcome) []byte {
	for i := range e.columns {
		e.columns[i].reset()
	}
	e.encodeNumbers(list)
	e.encodeModules(list)
	e.encodeChoices(list)
	e.encodeResults()

	start := len(dst)
	first, last := list[0].Seq, list[len(list)-1].Seq
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	dst = binary.AppendUvarint(dst, first)
	dst = binary.AppendUvarint(dst, last-first)
	used := 0
	for i := range e.columns {
		if len(e.columns[i].content()) > 0 {
			used++
		}
	}
	dst = append(dst, byte(used))
	for id := range e.columns {
		if n := len(e.columns[id].content()); n > 0 {
			dst = append(dst, byte(id))
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	for id := range e.columns {
		dst = append(dst, e.columns[id].content()...)
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

func (e *Encoder) encodeNumbers(list []Outcome) {
	gaps, times, durations, fuels := &e.columns[columnGaps], &e.columns[columnTimes], &e.columns[columnDurations], &e.columns[columnFuel]
	before := Outcome{Seq: list[0].Seq - 1}
	for i := range list {
		o := &list[i]
		if i > 0 {
			gaps.add(o.Seq - before.Seq - 1)
		}
		times.addSigned(o.At - before.At)
		durations.addSigned(o.Duration - before.Duration)
		fuels.addSigned(int64(o.Fuel - before.Fuel))
		before.Seq, before.At, before.Duration, before.Fuel = o.Seq, o.At, o.Duration, o.Fuel
	}
}

// encodeChoices collects the distinct results, and which of them each outcome has.
func (e *Encoder) encodeChoices(list []Outcome) {
	if e.seed == (maphash.Seed{}) {
		e.seed = maphash.MakeSeed()
	}
	clear(e.index[:])
	clear(e.distinct)
	e.distinct = e.distinct[:0]
	choices, before := &e.columns[columnChoices], -1
	for i := range list {
		result := list[i].Result
		if before >= 0 && bytes.Equal(result, e.distinct[before]) {
			choices.add(0)
			continue
		}
		n, found := e.find(result)
		before = n
		if found {
			choices.add(uint64(n) + 2)
		} else {
			choices.add(1)
		}
	}
}

// find returns the index of a distinct result, which it adds when it is new.
func (e *Encoder) find(result []byte) (n int, found bool) {
	slot := maphash.Bytes(e.seed, result)
	for {
		slot %= uint64(len(e.index))
		k := int(e.index[slot])
		if k == 0 {
			e.distinct = append(e.distinct, result)
			e.index[slot] = uint16(len(e.distinct))
			return len(e.distinct) - 1, false
		}
		if bytes.Equal(e.distinct[k-1], result) {
			return k - 1, true
		}
		slot++
	}
}

// numbers is a column under construction. Its content ends with the last number that is
// not 0.
type numbers struct {
	b    []byte
	used int
}

func (n *numbers) reset() { n.b, n.used = n.b[:0], 0 }

func (n *numbers) add(v uint64) {
	if v < 0x80 {
		n.b = append(n.b, byte(v))
	} else {
		n.b = binary.AppendUvarint(n.b, v)
	}
	if v != 0 {
		n.used = len(n.b)
	}
}

func (n *numbers) addSigned(v int64) { n.add(uint64(v)<<1 ^ uint64(v>>63)) }

func (n *numbers) content() []byte { return n.b[:n.used] }

// addBytes appends bytes that are no numbers; it is not followed by numbers.
func (n *numbers) addBytes(b []byte) {
	n.b = append(n.b, b...)
	n.used = len(n.b)
}
