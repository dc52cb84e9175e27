package outcomes

import (
	"database/sql"
	"fmt"

	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// handlers is a table expression: the handlers that have blocks, found with one look-up
// in the index for each.
const handlers = `WITH RECURSIVE named(handler) AS (SELECT min(handler) FROM outcome_blocks UNION ALL
	SELECT (SELECT min(b.handler) FROM outcome_blocks AS b WHERE b.handler > named.handler) FROM named
		WHERE named.handler IS NOT NULL) `

// existing selects those Seqs of a JSON list that have an event.
const existing = `SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM events WHERE seq = value)`

// Unreadable is the error of a block that cannot be read.
type Unreadable struct {
	Handler     string
	First, Last uint64 // the range of Seqs; not each of them has an outcome there
	NewestAt    int64  // the time of its newest outcome, in unix nanoseconds
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
	return fault.New(fault.Unavailable, "%w (restore a backup, or run berth doctor)", u)
}

// frame is a block without its content.
type frame struct {
	handler     string
	id          int64
	first, last int64
	newestAt    int64
}

// frameColumns are the columns of a frame.
const frameColumns = `b.handler, b.id, b.first_seq, b.last_seq, b.newest_at`

func (f *frame) dest() []any { return []any{&f.handler, &f.id, &f.first, &f.last, &f.newestAt} }

// listFrames reads the rows of a query for frameColumns.
func listFrames(rows *sql.Rows, err error) (list []frame, _ error) {
	var f frame
	err = datafile.Each(rows, err, func() { list = append(list, f) }, f.dest()...)
	return list, err
}

func (f *frame) unreadable(err error) *Unreadable {
	return &Unreadable{Handler: f.handler, First: uint64(f.first), Last: uint64(f.last), Err: err, NewestAt: f.newestAt}
}

// open opens the content of a block. The error is *Unreadable when it cannot be read,
// now or later. err is that of reading the content.
func (f *frame) open(content []byte, err error) (pack.Block, error) {
	if err != nil {
		if datafile.Damaged(err) {
			err = f.unreadable(err)
		}
		return pack.Block{}, err
	}
	b, err := pack.Open(content)
	if err == nil && (b.First() != uint64(f.first) || b.Last() != uint64(f.last)) {
		err = fmt.Errorf("%w: it has events %d to %d", pack.ErrDamaged, b.First(), b.Last())
	}
	if err != nil {
		return pack.Block{}, f.unreadable(err)
	}
	return b, nil
}
