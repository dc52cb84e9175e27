package logread

import (
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// A damaged page, or a row whose envelope is no event, stops every reader of the log
// at that position: only an operator may decide that an event is lost. Store.Skip
// records that decision, and from then on readers pass over the unreadable events
// there.

// nearby is the number of Seqs that locate tries one by one.
const nearby = 1024

// pageSize is the number of events that Unreadable reads at once.
const pageSize = 4096

// Read returns the events from Seq from on, ascending, at most limit. It returns the
// events before a damaged position, and *event.Unreadable at one that was not skipped.
func (r *Reader) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	for {
		rows, err := r.events.QueryContext(ctx, datafile.Seq(from), limit)
		records, err := scanRecords(rows, err)
		switch {
		case err == nil:
			return records, nil
		case !datafile.Damaged(err):
			return nil, err
		case len(records) > 0:
			return records, nil // the next call returns the error
		}
		bad, err := r.locate(ctx, from, err)
		if err != nil {
			return nil, err
		}
		next, skipped, err := r.afterSkipped(ctx, bad.Seq)
		if err != nil {
			return nil, err
		}
		if !skipped {
			return nil, bad
		}
		from = next
	}
}

// readNewest returns the newest records below end that query selects, at most limit,
// newest first. It passes over skipped events.
func (r *Reader) readNewest(ctx context.Context, end int64, limit int,
	query func(end int64, limit int) (*sql.Rows, error)) ([]event.Record, error) {
	var list []event.Record
	for {
		rows, err := query(end, limit-len(list))
		records, err := scanRecords(rows, err)
		if len(records) > 0 {
			list, end = append(list, records...), int64(records[len(records)-1].Seq)
		}
		if err == nil || !datafile.Damaged(err) {
			return list, err
		}
		var from int64
		scan := r.skippedBelow.QueryRowContext(ctx, end).Scan(&from)
		if errors.Is(scan, sql.ErrNoRows) {
			return list, err
		}
		if scan != nil {
			return list, scan
		}
		end = from
	}
}

// locate returns the range of unreadable events from a Seq on, where reading fails with
// cause. When the table does not identify them, they are all up to the next readable one.
func (r *Reader) locate(ctx context.Context, from uint64, cause error) (*event.Unreadable, error) {
	bad := &event.Unreadable{Seq: from, Err: cause}
	var known *event.Unreadable
	if errors.As(cause, &known) {
		bad.Seq, bad.Err = known.Seq, known.Err
	}
	last := r.cfg.Last()
	if known == nil {
		for seq := from; seq <= min(last, from+nearby); seq++ {
			if _, err := r.Has(ctx, seq); datafile.Damaged(err) {
				bad.Seq = seq
				break
			} else if err != nil {
				return nil, err
			}
		}
	}
	// low cannot be read from, high can: one by one at first, then in strides.
	low, high, stride := bad.Seq, uint64(0), uint64(1)
	for n := 0; high == 0; n++ {
		at := low + stride
		if at > last {
			high = last + 1
			break
		}
		ok, err := r.readableFrom(ctx, at)
		switch {
		case err != nil:
			return nil, err
		case ok:
			high = at
		default:
			low = at
			if n > nearby {
				stride *= 2
			}
		}
	}
	for high-low > 1 {
		mid := low + (high-low)/2
		ok, err := r.readableFrom(ctx, mid)
		if err != nil {
			return nil, err
		}
		if ok {
			high = mid
		} else {
			low = mid
		}
	}
	bad.To = low
	return bad, nil
}

// Has reports whether the log has an event with this Seq. The error is
// datafile.Damaged when that event cannot be read.
func (r *Reader) Has(ctx context.Context, seq uint64) (found bool, err error) {
	rows, err := r.eventOfSeq.QueryContext(ctx, datafile.Seq(seq))
	records, err := scanRecords(rows, err)
	return len(records) > 0, err
}

// readableFrom reports whether the first event from a Seq on can be read, or there
// is none.
func (r *Reader) readableFrom(ctx context.Context, seq uint64) (bool, error) {
	rows, err := r.events.QueryContext(ctx, datafile.Seq(seq), 1)
	_, err = scanRecords(rows, err)
	if datafile.Damaged(err) {
		return false, nil
	}
	return err == nil, err
}

// afterSkipped returns the first Seq after the range that was skipped at a Seq, and
// whether there is such a range.
func (r *Reader) afterSkipped(ctx context.Context, seq uint64) (next uint64, skipped bool, err error) {
	var to int64
	err = r.skippedAt.QueryRowContext(ctx, datafile.Seq(seq)).Scan(&to)
	if errors.Is(err, sql.ErrNoRows) || err == nil && uint64(to) < seq {
		return 0, false, nil
	}
	return uint64(to) + 1, err == nil, err
}

// Unreadable returns the first range from a Seq on that cannot be read and was not
// skipped; nil for none. It reads all of the log from there on.
func (r *Reader) Unreadable(ctx context.Context, from uint64) (*event.Unreadable, error) {
	for {
		records, err := r.Read(ctx, from, pageSize)
		var bad *event.Unreadable
		if errors.As(err, &bad) {
			return bad, nil
		}
		if err != nil || len(records) == 0 {
			return nil, r.cfg.Coded("read the log", err)
		}
		from = records[len(records)-1].Seq + 1
	}
}
