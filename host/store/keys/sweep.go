package keys

import (
	"database/sql"
	"errors"
	"math"

	"github.com/berth-host/berth/host/store/datafile"
)

// SweepMin is the number of events removed since the last sweep from which on another can
// be due.
const SweepMin = 16 << 10

// Due reports whether a sweep is due: SweepMin events, and at least as many as the log has,
// were removed since the last one, so that the file has about twice the entries that it
// needs. removed is the number of events that were ever removed from the log, present the
// number of those in it. It is safe for concurrent use.
func (x *Index) Due(removed, present int64) bool {
	return removed-x.swept.Load() >= max(SweepMin, present)
}

// A Sweep deletes the entries of trimmed events from the file, in steps on the writer's
// goroutine. Each step belongs into a transaction of its own. After a failure another
// sweep is begun: entries that are deleted already cost it nearly nothing.
type Sweep struct {
	x       *Index
	removed int64
	after   Entry
}

// Sweep returns a sweep of the entries of the events that were removed so far; removed is
// the same as for Due.
func (x *Index) Sweep(removed int64) *Sweep {
	return &Sweep{x: x, removed: removed, after: Entry{Hash: math.MinInt64}}
}

// Step examines up to n entries, and deletes those of events up to the Seq trimmed that the
// log does not have. It reports whether more steps have to follow, and whether it changed
// the file. After the commit of the last step, the caller calls Done.
func (s *Sweep) Step(bind Bind, n int, trimmed uint64) (more, changed bool, err error) {
	var hash, seq int64
	err = bind(s.x.sweepEdge).QueryRow(s.after.Hash, int64(s.after.Seq), n-1).Scan(&hash, &seq)
	if more = err == nil; errors.Is(err, sql.ErrNoRows) { // fewer than n are left
		hash, seq, err = math.MaxInt64, math.MaxInt64, nil
	}
	if err != nil {
		return false, false, err
	}
	result, err := bind(s.x.sweep).Exec(s.after.Hash, int64(s.after.Seq), hash, seq, datafile.Seq(trimmed))
	if err != nil {
		return false, false, err
	}
	deleted, err := result.RowsAffected()
	if err != nil {
		return false, false, err
	}
	s.after = Entry{hash, uint64(seq)}
	if !more {
		_, err = bind(s.x.setSwept).Exec(s.removed)
	}
	return more, deleted > 0 || !more, err
}

// Done notes that the last step is committed.
func (s *Sweep) Done() { s.x.swept.Store(s.removed) }
