package store

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// blockConn lets package outcomes run its statements in the group.
type blockConn struct{ g *group }

func (c blockConn) Exec(stmt *sql.Stmt, args ...any) (changed int64, err error) {
	return c.g.exec(stmt, args...)
}

func (c blockConn) Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error) {
	return c.g.bind(stmt).Query(args...)
}

func (c blockConn) Scan(stmt *sql.Stmt, dest []any, args ...any) error {
	return c.g.queryRow(stmt, args...).Scan(dest...)
}

// run is the plain successes of one handler that a call stores.
type run struct {
	handler string
	list    []pack.Outcome
}

// runs collects plain successes by handler.
type runs struct {
	list []run
	of   map[string]int
}

// add returns the run of a handler, to which the caller appends.
func (rs *runs) add(handler string) *run {
	n, found := rs.of[handler]
	if !found {
		if rs.of == nil {
			rs.of = make(map[string]int)
		}
		n = len(rs.list)
		rs.of[handler] = n
		rs.list = append(rs.list, run{handler: handler})
	}
	return &rs.list[n]
}

// newRuns returns the successes whose handlers are not fenced.
func newRuns(fenced []spec.Fence, successes []event.Successes) (rs runs) {
	for i := range successes {
		s := &successes[i]
		if len(s.List) == 0 || spec.Names(fenced, s.Handler) {
			continue
		}
		r := rs.add(s.Handler)
		r.list = slices.Grow(r.list, len(s.List))
		for i := range s.List {
			at := &s.List[i]
			r.list = append(r.list, pack.Outcome{Seq: at.Seq, At: at.At.UnixNano(), Duration: int64(at.Duration), Fuel: at.Fuel,
				Digest: s.Digest, Result: s.Result(i)})
		}
	}
	for i := range rs.list {
		rs.list[i].sort()
	}
	return rs
}

// sort sorts the run by Seq, and keeps the last of several outcomes of one Seq.
func (r *run) sort() {
	bySeq := func(a, b pack.Outcome) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(r.list, bySeq) {
		slices.SortStableFunc(r.list, bySeq)
	}
	n := 0
	for i := range r.list {
		if i+1 < len(r.list) && r.list[i+1].Seq == r.list[i].Seq {
			continue
		}
		r.list[n] = r.list[i]
		n++
	}
	r.list = r.list[:n]
}

// saveRuns stores plain successes in blocks. Those of events below the mark "trimmed",
// and those that no block can take, become deliveries.
func (g *group) saveRuns(rs *runs) error {
	mark := g.trimmedTo()
	for _, r := range rs.list {
		from := 0
		for from < len(r.list) && r.list[from].Seq <= mark {
			from++
		}
		single, list := r.list[:from], r.list[from:]
		if i := slices.IndexFunc(list, func(o pack.Outcome) bool { return len(o.Result) > pack.MaxResults }); i >= 0 {
			single = slices.Clone(single)
			list = slices.DeleteFunc(slices.Clone(list), func(o pack.Outcome) bool {
				large := len(o.Result) > pack.MaxResults
				if large {
					single = append(single, o)
				}
				return large
			})
		}
		if len(list) > 0 {
			refused, err := g.s.blocks.Save(blockConn{g}, r.handler, list)
			if err != nil {
				return err
			}
			single = append(slices.Clip(single), refused...)
		}
		for i := range single {
			d := single[i].Delivery(r.handler)
			if err := g.setDelivery(&d); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepLeftovers moves outcomes of events that stay in the log beyond the mark "trimmed",
// edge, from blocks to the table deliveries.
func (g *group) keepLeftovers(edge int64) error {
	leftovers, err := g.s.blocks.Trim(blockConn{g}, uint64(edge))
	for i := range leftovers {
		if err != nil {
			return err
		}
		d := leftovers[i].Delivery(leftovers[i].Handler)
		_, err = g.exec(g.s.write.addDelivery, deliveryValues(&d)...)
	}
	return err
}

// history returns the deliveries of one event, by handler.
func (s *Store) history(ctx context.Context, seq uint64) (list []event.Delivery, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	rows, err := tx.StmtContext(ctx, s.read.deliveries).QueryContext(ctx, datafile.Seq(seq))
	if list, err = scanDeliveries(rows, err); err != nil {
		return nil, err
	}
	packed, err := s.packed.Of(ctx, tx, seq)
	if err != nil || len(packed) == 0 {
		return list, err
	}
	byHandler := func(a, b event.Delivery) int { return cmp.Compare(a.Handler, b.Handler) }
	for _, d := range packed {
		if n, found := slices.BinarySearchFunc(list, d, byHandler); !found {
			list = slices.Insert(list, n, d)
		}
	}
	return list, nil
}

// finalTimes calls visit with the Seq and the time, in unix nanoseconds, of each final
// delivery of a handler above after, up to until, ascending. It passes over blocks that
// cannot be read and returns them.
func (s *Store) finalTimes(ctx context.Context, tx *sql.Tx, handler string, after, until uint64,
	visit func(seq uint64, at int64)) (bad []*outcomes.Unreadable, err error) {
	type delivery struct {
		seq, at int64
		final   bool
	}
	var d delivery
	var list []delivery
	rows, err := tx.StmtContext(ctx, s.read.times).QueryContext(ctx, handler, datafile.Seq(after), datafile.Seq(until))
	if err := datafile.Each(rows, err, func() { list = append(list, d) }, &d.seq, &d.at, &d.final); err != nil {
		return nil, err
	}
	before := func(seq uint64) (covered bool) { // visits the deliveries up to seq
		for len(list) > 0 && uint64(list[0].seq) <= seq {
			if covered = uint64(list[0].seq) == seq; list[0].final {
				visit(uint64(list[0].seq), list[0].at)
			}
			list = list[1:]
		}
		return covered
	}
	bad, err = s.packed.Times(ctx, tx, handler, after, until, func(seq uint64, at int64) {
		if !before(seq) {
			visit(seq, at)
		}
	})
	before(math.MaxUint64)
	return bad, err
}

// newestFinal returns the time of the newest final delivery of a handler from one Seq to
// another, both included, in unix nanoseconds; 0 for none. Of a block that cannot be
// read it takes the newest outcome.
func (s *Store) newestFinal(ctx context.Context, handler string, from, to uint64) (newest int64, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	bad, err := s.finalTimes(ctx, tx, handler, from-1, to, func(_ uint64, at int64) { newest = max(newest, at) })
	for _, u := range bad {
		newest = max(newest, u.NewestAt)
	}
	return newest, err
}
