package series

import "math"

// blockSize is the number of values of a block.
const blockSize = 60

// block has consecutive values of one series. While all of them are equal it stores one,
// so that a handler without work needs little memory.
type block struct {
	value float32
	used  bool
	all   *[blockSize]float32 // nil while all values are equal to value
}

// set sets the value at i. Values are set in order, from any first one on; setting the first
// of a block clears the others.
func (b *block) set(i int, v float32) {
	switch {
	case i == 0 || !b.used:
		*b = block{value: v, used: true}
	case b.all != nil:
		b.all[i] = v
	case math.Float32bits(v) != math.Float32bits(b.value):
		b.all = new([blockSize]float32)
		for j := range b.all {
			b.all[j] = b.value
		}
		b.all[i] = v
	}
}

func (b *block) get(i int) float32 {
	if b.all != nil {
		return b.all[i]
	}
	return b.value
}

// ring has the newest values of several series at equal steps. Values that are not known
// are NaN.
type ring struct {
	slots         int64     // that it answers; a multiple of blockSize
	columns       [][]block // one block more than slots need
	first, newest int64     // steps; first is 0 before any value
}

func newRing(columns int, slots int64) *ring {
	r := &ring{slots: slots, columns: make([][]block, columns)}
	for i := range r.columns {
		r.columns[i] = make([]block, slots/blockSize+1)
	}
	return r
}

// add sets the values of a step, one for each column. The steps that were left out since
// the newest one are unknown. A step that is not after the newest one is ignored, which
// happens when the clock is set back, unless it is older than all that the ring has.
func (r *ring) add(step int64, values []float32) {
	if r.first == 0 || step > r.newest+r.slots || step < r.newest-r.slots {
		r.first, r.newest = step, step-1
		for _, column := range r.columns {
			clear(column)
		}
	}
	if step <= r.newest {
		return
	}
	for r.newest < step {
		r.newest++
		block, at := r.at(r.newest)
		for c, column := range r.columns {
			v := float32(math.NaN())
			if r.newest == step {
				v = values[c]
			}
			column[block].set(at, v)
		}
	}
}

// at returns the block and the position in it of a step.
func (r *ring) at(step int64) (block, at int) {
	return int(step / blockSize % int64(len(r.columns[0]))), int(step % blockSize)
}

// get returns the value of a column at a step; NaN when it is not known.
func (r *ring) get(column int, step int64) float32 {
	if r.first == 0 || step < r.first || step > r.newest || step <= r.newest-r.slots {
		return float32(math.NaN())
	}
	block, at := r.at(step)
	return r.columns[column][block].get(at)
}
