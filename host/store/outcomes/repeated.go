package outcomes

import (
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// HasSuccess reports whether a delivery that succeeded is stored already; see
// event.Delivery.SameSuccess. It takes a block that cannot be read for one without it: then
// the event is delivered again, too.
func (w *Writer) HasSuccess(c Conn, d *event.Delivery) (bool, error) {
	before := event.Delivery{}
	var at int64
	err := c.Scan(w.success, []any{&before.Status, &before.Attempts, &at}, d.Handler, datafile.Seq(d.Seq))
	if err == nil {
		before.At = Time(at)
		return d.SameSuccess(&before), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if d.Attempts != 1 {
		return false, nil // no block has it
	}
	b, err := w.blockAt(c, d.Handler, d.Seq, d.Seq)
	if err != nil || b == nil || b.err != nil || uint64(b.last) < d.Seq {
		return false, err
	}
	block, err := b.open(b.content, nil)
	if err != nil {
		return false, nil
	}
	found := false
	err = block.Times(func(seq uint64, at int64) bool {
		found = seq == d.Seq && at == d.At.UnixNano()
		return seq < d.Seq
	})
	return found && err == nil, nil
}
