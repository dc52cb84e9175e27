package fair

import "sort"

// status is what became of an entry of the ledger.
type status uint32

const (
	waits status = iota // only its Seq is in memory
	taken               // it is an open entry, whose outcome is not recorded
	done                // the cursor may pass it
)

const (
	// blockSize makes a block as large as the memory that the allocator takes for it.
	blockSize = 1023
	maxOffset = 1<<30 - 1
)

// ledger has the Seqs of kept events, ascending, up to the first one that the cursor may not
// pass. An entry takes 14 bytes. Entries have indexes that never change.
type ledger struct {
	blocks     []*block // the first one has the entry begin
	begin, end uint64   // indexes
}

// block has entries from one Seq on.
type block struct {
	base    uint64
	entries [blockSize]struct {
		offset uint32 // of the Seq from base; the two highest bits are its status
		lane   uint32 // hash of the order key; 0 without one
		next   uint32 // low bits of the index of the group's next one; of its own for none
	}
	groups [blockSize]Group
}

// Len returns the number of entries.
func (l *ledger) Len() int { return int(l.end - l.begin) }

func (l *ledger) block(i uint64) *block { return l.blocks[i/blockSize-l.begin/blockSize] }

func (l *ledger) seq(i uint64) uint64 {
	b := l.block(i)
	return b.base + uint64(b.entries[i%blockSize].offset&maxOffset)
}

func (l *ledger) status(i uint64) status { return status(l.block(i).entries[i%blockSize].offset >> 30) }

func (l *ledger) setStatus(i uint64, s status) {
	e := &l.block(i).entries[i%blockSize]
	e.offset = e.offset&maxOffset | uint32(s)<<30
}

func (l *ledger) lane(i uint64) uint32 { return l.block(i).entries[i%blockSize].lane }
func (l *ledger) group(i uint64) Group { return l.block(i).groups[i%blockSize] }

// next returns the index of the next entry of the same group.
func (l *ledger) next(i uint64) (next uint64, ok bool) {
	distance := l.block(i).entries[i%blockSize].next - uint32(i)
	return i + uint64(distance), distance != 0
}

// link makes an entry the next one of its group after another.
func (l *ledger) link(i, next uint64) { l.block(i).entries[i%blockSize].next = uint32(next) }

func (l *ledger) setGroup(i uint64, g Group) { l.block(i).groups[i%blockSize] = g }

// add adds an entry with a Seq above all others, and returns its index.
func (l *ledger) add(seq uint64, lane uint32, g Group) (i uint64) {
	for l.end%blockSize != 0 && seq-l.blocks[len(l.blocks)-1].base > maxOffset { // the block is full of gaps
		l.put(l.blocks[len(l.blocks)-1].base+maxOffset, 0, Shared)
		l.setStatus(l.end-1, done)
	}
	return l.put(seq, lane, g)
}

func (l *ledger) put(seq uint64, lane uint32, g Group) (i uint64) {
	i = l.end
	if i%blockSize == 0 {
		l.blocks = append(l.blocks, &block{base: seq})
	}
	l.end++
	b := l.block(i)
	e := &b.entries[i%blockSize]
	e.offset, e.lane, e.next = uint32(seq-b.base), lane, uint32(i)
	b.groups[i%blockSize] = g
	return i
}

// find returns the index of a Seq's entry.
func (l *ledger) find(seq uint64) (i uint64, ok bool) {
	i = l.begin + uint64(sort.Search(l.Len(), func(n int) bool { return l.seq(l.begin+uint64(n)) >= seq }))
	return i, i < l.end && l.seq(i) == seq
}

// trim forgets the first entries as far as they are done.
func (l *ledger) trim() {
	for l.begin < l.end && l.status(l.begin) == done {
		if l.begin++; l.begin%blockSize == 0 {
			l.blocks[0] = nil
			l.blocks = l.blocks[1:]
		}
	}
	if l.begin == l.end { // indexes stay unique: entries of a group may still refer to one
		if l.begin%blockSize != 0 {
			l.begin += blockSize - l.begin%blockSize
		}
		l.end, l.blocks = l.begin, nil
	}
}
