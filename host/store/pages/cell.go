package pages

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The types of pages of a tree.
const (
	innerIndex = 0x02
	innerTable = 0x05
	leafIndex  = 0x0a
	leafTable  = 0x0d
)

// maxContinued bounds how often the pages on which values continue are read. Each belongs to
// one value and is read twice at most.
const maxContinued = 16

var (
	errPage     = errors.New("it is no page of this tree")
	errCell     = errors.New("a cell contradicts the format")
	errOverflow = errors.New("the value continues on a page that is damaged")
	errOutdated = errors.New("its newest content in the WAL is damaged")
)

// Entry is an entry of a table or an index.
type Entry struct {
	Page   uint32 // that has it
	Key    int64  // the rowid, in a table that has one
	Values []any  // nil, int64, float64, string or []byte
	// Blank: a part of the value is a page of zeros. That is rare in values and frequent
	// in damaged files.
	Blank bool
}

// node is a page of a tree.
type node struct {
	page  uint32
	data  []byte
	kind  byte
	cells []uint16 // offsets; 0 for one that is outside of the page
	right uint32   // the last child of an inner page
}

func (n *node) inner() bool { return n.kind == innerIndex || n.kind == innerTable }
func (n *node) index() bool { return n.kind == innerIndex || n.kind == leafIndex }

// parseNode reads the header of a page of a tree and its list of cells.
func (im *Image) parseNode(page uint32, data []byte) (*node, error) {
	at := 0
	if page == 1 {
		at = headerSize
	}
	n := &node{page: page, data: data[:im.usable], kind: data[at]}
	size := 8
	switch n.kind {
	case innerIndex, innerTable:
		size, n.right = 12, binary.BigEndian.Uint32(data[at+8:])
	case leafIndex, leafTable:
	default:
		return nil, errPage
	}
	count := int(binary.BigEndian.Uint16(data[at+3:]))
	first := at + size + 2*count
	if first > im.usable || n.inner() && n.right == 0 {
		return nil, errPage
	}
	n.cells = make([]uint16, count)
	for i := range n.cells {
		if offset := binary.BigEndian.Uint16(data[at+size+2*i:]); int(offset) >= first && int(offset) < im.usable {
			n.cells[i] = offset
		}
	}
	return n, nil
}

// cell is a cell of a page.
type cell struct {
	child   uint32 // of an inner page
	key     int64  // of a page of a table
	payload uint64 // bytes
	local   []byte // the part of the payload on this page, and what follows
	has     bool   // it has a payload
}

// cell reads the ith cell without its payload.
func (n *node) cell(i int) (c cell, err error) {
	if n.cells[i] == 0 {
		return c, errCell
	}
	b := n.data[n.cells[i]:]
	if n.inner() {
		if len(b) < 5 {
			return c, errCell
		}
		c.child, b = binary.BigEndian.Uint32(b), b[4:]
	}
	if c.has = n.kind != innerTable; c.has {
		size, used := varint(b)
		if used == 0 {
			return c, errCell
		}
		c.payload, b = size, b[used:]
	}
	if !n.index() {
		key, used := varint(b)
		if used == 0 {
			return c, errCell
		}
		c.key, b = int64(key), b[used:]
	}
	c.local = b
	return c, nil
}

// entry reads the entry of a cell. chain are the pages on which its value continues.
func (im *Image) entry(n *node, c cell) (e Entry, chain []uint32, err error) {
	e.Page = n.page
	local := im.localSize(c.payload, n.index())
	if c.payload > uint64(im.count)*uint64(im.usable) || local > len(c.local) {
		return e, nil, errCell
	}
	payload := c.local[:local:local]
	if c.payload > uint64(local) {
		if len(c.local) < local+4 {
			return e, nil, errCell
		}
		next := binary.BigEndian.Uint32(c.local[local:])
		if payload, chain, e.Blank, err = im.overflow(payload, c.payload, n.page, next); err != nil {
			return e, nil, err
		}
	}
	e.Key = c.key
	e.Values, err = decodeRecord(payload)
	return e, chain, err
}

// localSize returns how many bytes of a payload are on the page of its cell.
func (im *Image) localSize(payload uint64, index bool) int {
	u := uint64(im.usable)
	limit := u - 35
	if index {
		limit = (u-12)*64/255 - 23
	}
	if payload <= limit {
		return int(payload)
	}
	smallest := (u-12)*32/255 - 23
	if n := smallest + (payload-smallest)%(u-4); n <= limit {
		return int(n)
	}
	return int(smallest)
}

// overflow appends the content of the pages on which a value continues.
func (im *Image) overflow(payload []byte, size uint64, parent, next uint32) (whole []byte, chain []uint32, blank bool,
	err error) {
	kind := byte(kindOverflow)
	for uint64(len(payload)) < size {
		if next == 0 || im.outdated[next] || im.seen.has(next) || slices.Contains(chain, next) || !im.mayBe(next, kind, parent) {
			return nil, nil, false, errOverflow
		}
		if im.continued++; im.continued > maxContinued*uint64(im.count) { // forged pages share what follows them
			return nil, nil, false, errOverflow
		}
		page, err := im.Page(next)
		if err != nil {
			return nil, nil, false, errOverflow
		}
		im.note()
		blank = blank || allZero(page)
		part := page[4:im.usable]
		part = part[:min(uint64(len(part)), size-uint64(len(payload)))]
		payload = append(payload, part...)
		chain = append(chain, next)
		kind, parent, next = kindOverflowNext, next, binary.BigEndian.Uint32(page)
	}
	if next != 0 {
		return nil, nil, false, errOverflow
	}
	return payload, chain, blank, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
