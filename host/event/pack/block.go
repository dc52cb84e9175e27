package pack

import (
	"encoding/binary"
	"math"
)

// Block is an encoded block. It is safe for concurrent use.
type Block struct {
	count       int
	first, last uint64
	columns     [columnsEnd][]byte
	extended    bool
}

// Open checks the checksum and the frame of a block. It uses b, which the caller must
// not change as long as it uses the block or an outcome of it. The error wraps
// ErrDamaged or ErrNewer.
func Open(b []byte) (Block, error) {
	var block Block
	if len(b) < 1+checksumSize {
		return block, damaged("it is too short")
	}
	content, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if checksum(content) != binary.LittleEndian.Uint32(sum) {
		return block, damaged("its checksum is wrong")
	}
	if content[0] != version {
		return block, ErrNewer
	}
	r := reader{b: content[1:]}
	count, first, extent, columns := r.required(), r.required(), r.required(), r.required()
	if r.bad || count < 1 || count > MaxOutcomes || first > math.MaxUint64-extent || extent < count-1 || columns > uint64(len(r.b)) {
		return block, damaged("its header")
	}
	block.count, block.first, block.last = int(count), first, first+extent
	table, before := r, uint64(0)
	for range columns { // to where the contents begin
		if id, _ := r.required(), r.required(); r.bad || id <= before {
			return block, damaged("its table of columns")
		} else {
			before = id
		}
	}
	for range columns {
		id, length := table.required(), table.required()
		column := r.bytes(length)
		if id < columnsEnd {
			block.columns[id] = column
		} else {
			block.extended = true
		}
	}
	if !r.ended() {
		return block, damaged("the lengths of its columns")
	}
	return block, nil
}

// Len returns the number of outcomes.
func (b *Block) Len() int { return b.count }

// First returns the lowest Seq.
func (b *Block) First() uint64 { return b.first }

// Last returns the highest Seq.
func (b *Block) Last() uint64 { return b.last }

// Extended reports whether the block has columns of a newer version, which are lost when
// its outcomes are encoded again.
func (b *Block) Extended() bool { return b.extended }

// Times calls visit with the Seq and the time of each outcome, ascending, as long as it
// returns true. It decodes nothing else.
func (b *Block) Times(visit func(seq uint64, at int64) bool) error {
	gaps, times := reader{b: b.columns[columnGaps]}, reader{b: b.columns[columnTimes]}
	seq, at := b.first, int64(0)
	for i := range b.count {
		var ok bool
		if seq, ok = b.nextSeq(i, seq, &gaps); !ok {
			return damaged("its Seqs")
		}
		if at += times.signed(); times.bad {
			return damaged("its times")
		}
		if !visit(seq, at) {
			return nil
		}
	}
	if !gaps.ended() || !times.ended() || seq != b.last {
		return damaged("its Seqs or times")
	}
	return nil
}

// nextSeq returns the Seq of outcome i, after seq.
func (b *Block) nextSeq(i int, seq uint64, gaps *reader) (uint64, bool) {
	if i == 0 {
		return b.first, true
	}
	gap := gaps.number()
	if gaps.bad || gap >= b.last-seq {
		return 0, false
	}
	return seq + gap + 1, true
}

// Find returns the outcome of a Seq, and whether there is one. It decodes the numbers
// before it and the chunk that has its result.
func (b *Block) Find(seq uint64) (o Outcome, found bool, err error) {
	n, at := -1, 0
	if seq < b.first || seq > b.last {
		return Outcome{}, false, nil
	}
	err = b.Times(func(s uint64, t int64) bool {
		if s == seq {
			n = at
			o.Seq, o.At = s, t
		}
		at++
		return s < seq
	})
	if err != nil || n < 0 {
		return Outcome{}, false, err
	}
	durations, fuels := reader{b: b.columns[columnDurations]}, reader{b: b.columns[columnFuel]}
	c := chooser{r: reader{b: b.columns[columnChoices]}}
	m, err := openModules(b.columns[columnModules])
	if err != nil {
		return Outcome{}, false, err
	}
	var rs results
	if err := rs.open(b.columns[columnResults]); err != nil {
		return Outcome{}, false, err
	}
	choice := 0
	for range n + 1 {
		o.Duration += durations.signed()
		o.Fuel += uint64(fuels.signed())
		if o.Digest, err = m.next(); err != nil {
			return Outcome{}, false, err
		}
		if choice, err = c.next(rs.n); err != nil {
			return Outcome{}, false, err
		}
	}
	if durations.bad || fuels.bad {
		return Outcome{}, false, damaged("its durations or its fuel")
	}
	o.Result, err = rs.result(choice)
	return o, err == nil, err
}

// AppendTo appends all outcomes to a list, ascending. Their results use the block's
// bytes.
func (b *Block) AppendTo(list []Outcome) ([]Outcome, error) {
	durations, fuels := reader{b: b.columns[columnDurations]}, reader{b: b.columns[columnFuel]}
	c := chooser{r: reader{b: b.columns[columnChoices]}}
	m, err := openModules(b.columns[columnModules])
	if err != nil {
		return list, err
	}
	var rs results
	if err := rs.open(b.columns[columnResults]); err != nil {
		return list, err
	}
	all, err := rs.all()
	if err != nil {
		return list, err
	}
	var o Outcome
	var failed error
	whole := list
	err = b.Times(func(seq uint64, at int64) bool {
		o.Seq, o.At = seq, at
		o.Duration += durations.signed()
		o.Fuel += uint64(fuels.signed())
		choice := 0
		if o.Digest, failed = m.next(); failed == nil {
			choice, failed = c.next(rs.n)
		}
		if failed != nil {
			return false
		}
		o.Result = all[choice]
		whole = append(whole, o)
		return true
	})
	switch {
	case failed != nil:
		return list, failed
	case err != nil:
		return list, err
	case !durations.ended() || !fuels.ended() || !c.r.ended() || c.used != rs.n || !m.ended():
		return list, damaged("its columns do not end with its outcomes")
	}
	return whole, nil
}

// chooser reads which result each outcome has.
type chooser struct {
	r       reader
	used    int // results that were chosen so far
	present int
}

// next returns the index of the next outcome's result, of n.
func (c *chooser) next(n int) (int, error) {
	switch v := c.r.number(); {
	case v == 1:
		c.present = c.used
		c.used++
	case v > 1:
		if v-2 >= uint64(c.used) {
			return 0, damaged("its choices of results")
		}
		c.present = int(v - 2)
	}
	if c.r.bad || c.used == 0 || c.used > n {
		return 0, damaged("its choices of results")
	}
	return c.present, nil
}
