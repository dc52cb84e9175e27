package pack

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"
)

// The column of results has a uvarint with their number, the zigzag difference of each
// one's length from the length before, and the chunks. A chunk has the results from the
// end of the chunk before, up to the one with which it has chunkSize bytes or more: a
// uvarint, twice its stored length plus 1 when it is compressed, and the stored bytes.

const (
	chunkSize   = 16 << 10 // bytes
	minSqueezed = 48       // bytes; a shorter chunk is not compressed
)

func (e *Encoder) encodeResults() {
	column := &e.columns[columnResults]
	if len(e.distinct) == 1 && len(e.distinct[0]) == 0 {
		return // all are empty
	}
	column.add(uint64(len(e.distinct)))
	before := 0
	for _, r := range e.distinct {
		column.addSigned(int64(len(r) - before))
		before = len(r)
	}
	column.used = len(column.b)
	e.chunk = e.chunk[:0]
	for i, r := range e.distinct {
		e.chunk = append(e.chunk, r...)
		if len(e.chunk) >= chunkSize || i == len(e.distinct)-1 {
			e.encodeChunk(column)
			e.chunk = e.chunk[:0]
		}
	}
}

func (e *Encoder) encodeChunk(column *numbers) {
	if len(e.chunk) >= minSqueezed {
		if n := s2.MaxEncodedLen(len(e.chunk)); len(e.squeezed) < n {
			e.squeezed = make([]byte, n)
		}
		if b := s2.Encode(e.squeezed, e.chunk); len(b) <= len(e.chunk)-len(e.chunk)/8 {
			column.b = binary.AppendUvarint(column.b, uint64(len(b))<<1|1)
			column.addBytes(b)
			return
		}
	}
	column.b = binary.AppendUvarint(column.b, uint64(len(e.chunk))<<1)
	column.addBytes(e.chunk)
}

// results are the distinct results of a block.
type results struct {
	ends   [MaxOutcomes]uint32 // of each, in all of them
	n      int
	chunks []byte
}

// open reads the lengths. An absent column is one empty result.
func (rs *results) open(column []byte) error {
	if len(column) == 0 {
		rs.n, rs.ends[0] = 1, 0
		return nil
	}
	r := reader{b: column}
	n := r.required()
	if r.bad || n < 1 || n > MaxOutcomes {
		return damaged("the number of its results")
	}
	length, size := int64(0), int64(0)
	for i := range n {
		length += unzigzag(r.required())
		if r.bad || length < 0 || length > MaxResults || size+length > MaxResults {
			return damaged("the length of a result")
		}
		size += length
		rs.ends[i] = uint32(size)
	}
	rs.n, rs.chunks = int(n), r.b
	return nil
}

// result returns one result. It decompresses the chunk that has it.
func (rs *results) result(n int) ([]byte, error) {
	chunks := rs.chunks
	for from := 0; ; {
		to := rs.chunkEnd(from)
		content, remaining, err := splitChunk(chunks, rs.start(to)-rs.start(from), n < to)
		if err != nil {
			return nil, err
		}
		if n < to {
			base := rs.start(from)
			return content[rs.start(n)-base : rs.start(n+1)-base : rs.start(n+1)-base], nil
		}
		from, chunks = to, remaining
	}
}

// all returns all results.
func (rs *results) all() ([][]byte, error) {
	list := make([][]byte, 0, rs.n)
	chunks := rs.chunks
	for from := 0; from < rs.n; {
		to := rs.chunkEnd(from)
		content, remaining, err := splitChunk(chunks, rs.start(to)-rs.start(from), true)
		if err != nil {
			return nil, err
		}
		base := rs.start(from)
		for n := from; n < to; n++ {
			list = append(list, content[rs.start(n)-base:rs.start(n+1)-base:rs.start(n+1)-base])
		}
		from, chunks = to, remaining
	}
	if len(chunks) > 0 {
		return nil, damaged("the end of its results")
	}
	return list, nil
}

// start returns where a result begins in all of them; the one after the last begins at
// their end.
func (rs *results) start(n int) int {
	if n == 0 {
		return 0
	}
	return int(rs.ends[n-1])
}

// chunkEnd returns the result after the chunk that begins with a result.
func (rs *results) chunkEnd(from int) int {
	for n := from; n < rs.n; n++ {
		if int(rs.ends[n])-rs.start(from) >= chunkSize {
			return n + 1
		}
	}
	return rs.n
}

// splitChunk splits a chunk of size bytes from those after it. content is only wanted
// when open is true.
func splitChunk(chunks []byte, size int, open bool) (content, remaining []byte, err error) {
	if len(chunks) == 0 && size == 0 {
		return nil, nil, nil // the absent column
	}
	r := reader{b: chunks}
	head := r.required()
	stored := r.bytes(head >> 1)
	compressed := head&1 == 1
	switch {
	case r.bad, !compressed && len(stored) != size:
		return nil, nil, damaged("a chunk of results")
	case !open:
		return nil, r.b, nil
	case !compressed:
		return stored, r.b, nil
	}
	if n, err := s2.DecodedLen(stored); err != nil || n != size {
		return nil, nil, damaged("the size of a compressed chunk of results")
	}
	content, err = s2.Decode(make([]byte, size), stored)
	if err != nil {
		return nil, nil, damaged("a compressed chunk of results")
	}
	return content, r.b, nil
}
