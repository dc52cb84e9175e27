package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// A damaged page, or a row whose envelope is no event, stops everybody who reads
// the log at that place: nobody but an operator may decide that an event is lost.
// Skip notes that decision, and from then on reading passes over what cannot be
// read there.

// nearby is how many Seqs are tried one by one to find where damage begins and ends.
const nearby = 1024

// readLog is Read from the file. It answers what is before a damaged place, and
// *event.Unreadable when it begins with one that was not skipped.
func (s *Store) readLog(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	for {
		rows, err := s.read.events.QueryContext(ctx, sqlSeq(from), limit)
		records, err := scanRecords(rows, err)
		switch {
		case err == nil:
			return records, nil
		case !datafile.Damaged(err):
			return nil, err
		case len(records) > 0:
			return records, nil // the rest is for the next call
		}
		bad, err := s.locate(ctx, from, err)
		if err != nil {
			return nil, err
		}
		next, skipped, err := s.afterSkipped(ctx, bad.Seq)
		if err != nil {
			return nil, err
		}
		if !skipped {
			return nil, bad
		}
		from = next
	}
}

// readNewest answers the newest records below end, at most limit. query answers
// those it selects, newest first. It passes over what was skipped.
func (s *Store) readNewest(ctx context.Context, end int64, limit int, query func(end int64, limit int) (*sql.Rows, error)) ([]event.Record, error) {
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
		scan := s.read.skippedBelow.QueryRowContext(ctx, end).Scan(&from)
		if errors.Is(scan, sql.ErrNoRows) {
			return list, err
		}
		if scan != nil {
			return list, scan
		}
		end = from
	}
}

// locate finds which events cannot be read, from one on where reading fails with
// cause. Where the table does not tell, they are all up to the next that can be read.
func (s *Store) locate(ctx context.Context, from uint64, cause error) (*event.Unreadable, error) {
	bad := &event.Unreadable{Seq: from, Err: cause}
	var known *event.Unreadable
	if errors.As(cause, &known) {
		bad.Seq, bad.Err = known.Seq, known.Err
	}
	last := s.Last()
	if known == nil {
		for seq := from; seq <= min(last, from+nearby); seq++ {
			if _, err := s.eventAt(ctx, seq); datafile.Damaged(err) {
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
		ok, err := s.readableFrom(ctx, at)
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
		ok, err := s.readableFrom(ctx, mid)
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

// eventAt answers whether there is an event with this Seq. It fails with an error
// that is damaged when that event cannot be read.
func (s *Store) eventAt(ctx context.Context, seq uint64) (there bool, err error) {
	rows, err := s.read.eventOfSeq.QueryContext(ctx, sqlSeq(seq))
	records, err := scanRecords(rows, err)
	return len(records) > 0, err
}

// readableFrom reports whether the first event from a Seq on can be read, or there
// is none.
func (s *Store) readableFrom(ctx context.Context, seq uint64) (bool, error) {
	rows, err := s.read.events.QueryContext(ctx, sqlSeq(seq), 1)
	_, err = scanRecords(rows, err)
	if datafile.Damaged(err) {
		return false, nil
	}
	return err == nil, err
}

// afterSkipped answers the first Seq after what was skipped at a Seq, and whether
// anything was.
func (s *Store) afterSkipped(ctx context.Context, seq uint64) (next uint64, skipped bool, err error) {
	var to int64
	err = s.read.skippedAt.QueryRowContext(ctx, sqlSeq(seq)).Scan(&to)
	if errors.Is(err, sql.ErrNoRows) || err == nil && uint64(to) < seq {
		return 0, false, nil
	}
	return uint64(to) + 1, err == nil, err
}

// Unreadable returns the first place from a Seq on where the log cannot be read and
// that was not skipped; nil for none. It reads all of the log from there on.
func (s *Store) Unreadable(ctx context.Context, from uint64) (*event.Unreadable, error) {
	for {
		records, err := s.readLog(ctx, from, maxRead)
		var bad *event.Unreadable
		if errors.As(err, &bad) {
			return bad, nil
		}
		if err != nil || len(records) == 0 {
			return nil, s.coded("read the log", err)
		}
		from = records[len(records)-1].Seq + 1
	}
}
