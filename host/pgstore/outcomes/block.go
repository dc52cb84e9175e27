package outcomes

import (
	"fmt"

	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/fault"
)

const (
	// fullBytes is the size of a block from which on it is full, although it has fewer than
	// pack.MaxOutcomes.
	fullBytes = 64 << 10
	// smallBytes is the size of a block up to which it is written again with each outcome
	// after it.
	smallBytes = 1 << 10
)

// Unreadable is the error of a block that cannot be read.
type Unreadable struct {
	Handler     string
	First, Last uint64 // the range of Seqs; not each of them has an outcome there
	NewestAt    int64  // the time of its newest outcome, in Unix nanoseconds
	Err         error
}

// Error implements error.
func (u *Unreadable) Error() string {
	return fmt.Sprintf("the outcomes of the handler %s for events %d to %d cannot be read: %v", u.Handler, u.First, u.Last, u.Err)
}

// Unwrap returns the cause.
func (u *Unreadable) Unwrap() error { return u.Err }

// coded returns the error for a client.
func (u *Unreadable) coded() error {
	return fault.New(fault.Unavailable, "%w (restore a backup of the database, or use the Berth that wrote them)", u)
}

// frame is a block as it is stored.
type frame struct {
	handler     string
	first, last int64
	newestAt    int64
	outcomes    int64
	size        int64  // of the content
	content     []byte // nil when it was not read
}

func (f *frame) unreadable(err error) *Unreadable {
	return &Unreadable{Handler: f.handler, First: uint64(f.first), Last: uint64(f.last), Err: err, NewestAt: f.newestAt}
}

// open opens the content. The error is *Unreadable.
func (f *frame) open() (pack.Block, error) {
	b, err := pack.Open(f.content)
	if err == nil && (b.First() != uint64(f.first) || b.Last() != uint64(f.last)) {
		err = fmt.Errorf("%w: it has events %d to %d", pack.ErrDamaged, b.First(), b.Last())
	}
	if err != nil {
		return pack.Block{}, f.unreadable(err)
	}
	return b, nil
}

// load returns the outcomes, and whether the block may be written again.
func (f *frame) load() (list []pack.Outcome, ok bool) {
	block, err := f.open()
	if err != nil || block.Extended() {
		return nil, false
	}
	list, err = block.AppendTo(make([]pack.Outcome, 0, block.Len()))
	return list, err == nil
}

// absorbs reports whether n outcomes behind the block are merged with it.
func (f *frame) absorbs(n int) bool {
	if f.content == nil || f.outcomes >= pack.MaxOutcomes || f.size >= fullBytes {
		return false
	}
	return f.outcomes <= int64(n) || f.outcomes+int64(n) >= pack.MaxOutcomes || f.size <= smallBytes
}
