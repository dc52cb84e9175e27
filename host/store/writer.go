package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/commits"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/keys"
	"github.com/berth-host/berth/host/store/kv"
)

// op is one caller's write.
type op struct {
	// run does the write. It sets err when this write alone fails; then it has changed
	// nothing, unless isolated. It returns an error of the file, which ends the group.
	run      func(g *group) error
	isolated bool // runs in a savepoint of its own, rolled back when err is set
	alone    bool // forms a group of its own
	// A write that only appends has these instead of run, so that neighbours in
	// the group are inserted together.
	append   []insertion
	size     int64 // of these events in the log
	receipts []event.Receipt
	// A write of a plugin's state has this instead of run; see kv.Batch.
	kv *kv.Write

	events int
	bytes  int

	sent  bool         // it is in the queue already; see trySend
	state atomic.Int32 // queued, then taken or withdrawn
	err   error
	done  chan struct{} // closed when the group is committed or has failed
}

const (
	queued int32 = iota
	taken
	withdrawn
)

// faults makes the writer fail on purpose, for tests. A nil function does not.
type faults struct {
	begin, inOp, commit func() error // before the step: the transaction is rolled back
	committed           func() error // after the commit, as if its result was lost

	keeps bool // the keeper does not move deliveries into blocks

	hash  func(key string) int64 // in place of the index's own
	chunk int                    // keys.Config.Chunk
}

func (f faults) at(step func() error) error {
	if step == nil {
		return nil
	}
	return step()
}

// trySend puts a write into the queue for submit, unless that is full.
func (s *Store) trySend(o *op) bool {
	if o.done == nil {
		o.done = make(chan struct{})
	}
	select {
	case s.ops <- o:
		o.sent = true
	default:
	}
	return o.sent
}

// sendKV returns how a write of a plugin's state gets to the writer; see kv.StateConfig.
func (s *Store) sendKV(w *kv.Write) (try func() bool, await func(context.Context, string) error) {
	o := &op{events: 1, bytes: len(w.Value), kv: w, alone: w.Kind == kv.Sweep}
	return func() bool { return s.trySend(o) }, func(ctx context.Context, doing string) error { return s.submit(ctx, doing, o) }
}

// submit queues a write and waits for its result. When ctx ends before the writer has
// taken the write, it is withdrawn and never runs; afterwards submit waits for the
// result: a group takes milliseconds, and the writer uses the caller's memory until
// then.
func (s *Store) submit(ctx context.Context, doing string, o *op) error {
	if !o.sent {
		if err := ctx.Err(); err != nil {
			return s.coded(doing, err)
		}
		if s.closed() {
			return s.coded(doing, errClosed())
		}
		if !s.trySend(o) { // the queue is rarely full
			select {
			case s.ops <- o:
			case <-ctx.Done():
				return s.coded(doing, ctx.Err())
			case <-s.stopped:
				return s.coded(doing, errClosed())
			}
		}
	}
	s.notifyWriter()
	// After closing stopped the writer fails the queued operations; later ones fail
	// here. So callers need not wait for that channel, which all of them would lock.
	select {
	case <-s.stopped:
		if o.state.CompareAndSwap(queued, withdrawn) {
			return s.coded(doing, errClosed())
		}
	default:
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		if o.state.CompareAndSwap(queued, withdrawn) {
			return s.coded(doing, ctx.Err())
		}
		<-o.done
	}
	return s.coded(doing, o.err)
}

// group is the transaction that is being written.
type group struct {
	s   *Store
	tx  *sql.Tx
	ops []*op

	// Published by the commit.
	seq       uint64 // the highest assigned so far
	added     int64  // bytes of records
	deferred  int64  // bytes of scheduled events that were added, less those that were moved
	size      size   // of the log; set before the commit
	writes    uint64 // of the store; set before the commit
	changed   bool   // the group has changed something
	at        int64  // unix ns, the time of this group's events
	records   []event.Record
	keys      []keys.Entry            // added to the index
	dead      []keys.Entry            // of trimmed events, to be removed from the index
	trimmed   uint64                  // events below this were removed, except leftovers
	removed   bool                    // events were removed
	restamped bool                    // at is before the time of the last group
	bound     map[*sql.Stmt]*sql.Stmt // prepared statements, in this transaction
	flushed   time.Duration           // the commit took so long
}

// writeGroup runs the operations in one transaction and reports each its result.
func (s *Store) writeGroup(ops []*op) {
	began := time.Now()
	g := &group{s: s, ops: ops}
	err := s.file.Detached()
	if err != nil { // the file may have its name again
		err = s.file.Check()
	}
	if err == nil {
		err = g.run()
		s.noteDamage(g, err)
	}
	if err != nil {
		s.stale = true // the commit may have succeeded nevertheless
		s.kvBatch.Abort()
		s.later.Abort()
		s.keys.Undo(g.keys)
		for _, o := range ops {
			o.err = err
		}
		if err := s.reread(); err != nil {
			s.log.Warn("end of the log not read after a failed write; the next write retries", "error", err)
		}
	} else {
		s.publish(g)
		s.kvBatch.Commit()
		s.later.Commit()
		if g.changed {
			s.file.Acknowledge(s.position()) // before the callers return
		}
	}
	s.Commits.Observe(commits.Commit{Changed: g.changed, Writes: len(ops), Events: len(g.records), Took: g.flushed, Err: err})
	s.expect(len(ops)+len(s.ops), time.Since(began)) // before the callers return
	for _, o := range ops {
		close(o.done)
	}
}

func (g *group) run() error {
	s := g.s
	if s.stale {
		if err := s.reread(); err != nil {
			return err
		}
	}
	if err := s.fail.at(s.fail.begin); err != nil {
		return err
	}
	tx, err := s.writer.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit; otherwise the file's own error is returned
	g.tx, g.seq = tx, s.last()
	g.at = max(s.now().UnixNano(), s.appended)
	for ops := g.ops; len(ops) > 0; {
		n, err := g.runNext(ops)
		if err != nil {
			return err
		}
		if err := s.fail.at(s.fail.inOp); err != nil {
			return err
		}
		ops = ops[n:]
	}
	if err := s.kvBatch.Flush(s.kvFile.In(conn{g})); err != nil {
		return err
	}
	if err := g.account(); err != nil {
		return err
	}
	if err := s.fail.at(s.fail.commit); err != nil {
		return err
	}
	if g.flushed, err = commits.Measure(tx.Commit); err != nil {
		return err
	}
	if err := s.file.CheckCommit(); err != nil { // a commit to a deleted file is lost
		return err
	}
	return s.fail.at(s.fail.committed)
}

// runNext runs the first operation, or all the appends before the next other
// operation, and returns their number.
func (g *group) runNext(ops []*op) (n int, err error) {
	o := ops[0]
	switch {
	case o.isolated:
		return 1, g.inSavepoint(o)
	case o.kv != nil:
		o.err, err = g.s.kvBatch.Apply(o.kv, g.s.kvFile.In(conn{g}))
		return 1, err
	case o.append == nil:
		return 1, o.run(g)
	}
	batch := g.s.batch[:0]
	for size := int64(0); n < len(ops) && ops[n].append != nil; n++ {
		o := ops[n]
		if o.err = g.admit(size + o.size); o.err == nil {
			batch = append(batch, o.append...)
			size += o.size
		}
	}
	receipts, err := g.append(batch)
	clear(batch)
	if g.s.batch = batch; cap(batch) > 2*maxGroupEvents {
		g.s.batch = nil // free the buffer of a single large call
	}
	if err != nil {
		return n, err
	}
	for _, o := range ops[:n] {
		if o.err != nil {
			continue
		}
		k := len(o.append)
		o.receipts, receipts = receipts[:k:k], receipts[k:]
	}
	return n, nil
}

// inSavepoint runs an operation that can be rolled back alone.
func (g *group) inSavepoint(o *op) error {
	if _, err := g.tx.Exec("SAVEPOINT op"); err != nil {
		return err
	}
	before := g.mark()
	if err := o.run(g); err != nil {
		return err
	}
	if o.err != nil {
		if datafile.Failed(o.err) {
			return o.err
		}
		if _, err := g.tx.Exec("ROLLBACK TO op"); err != nil {
			return errors.Join(o.err, err)
		}
		g.reset(before)
	} else {
		g.changed = true // possibly, by the caller's function
	}
	_, err := g.tx.Exec("RELEASE op")
	return err
}

// exec runs one of the writer's prepared statements in the group.
func (g *group) exec(stmt *sql.Stmt, args ...any) (changed int64, err error) {
	res, err := g.bind(stmt).Exec(args...)
	if err != nil {
		return 0, err
	}
	changed, err = res.RowsAffected()
	g.changed = g.changed || changed > 0
	return changed, err
}

func (g *group) queryRow(stmt *sql.Stmt, args ...any) *sql.Row {
	return g.bind(stmt).QueryRow(args...)
}

func (g *group) bind(stmt *sql.Stmt) *sql.Stmt {
	b := g.bound[stmt]
	if b == nil {
		if g.bound == nil {
			g.bound = make(map[*sql.Stmt]*sql.Stmt)
		}
		b = g.tx.Stmt(stmt)
		g.bound[stmt] = b
	}
	return b
}

// publish makes a committed group visible to readers, before its callers return.
func (s *Store) publish(g *group) {
	s.size, s.writes = g.size, g.writes
	s.present.Store(s.size.events)
	if g.trimmed > 0 {
		s.trimmed.Store(g.trimmedTo())
		s.window.Trim(g.trimmed)
	}
	if g.restamped || len(g.records) > 0 {
		s.appended = g.at
	}
	if len(g.records) == 0 {
		return
	}
	s.indexed = g.seq
	s.window.Add(g.records)
}

// position returns the progress of the store. Only the writer may call it.
func (s *Store) position() datafile.Position {
	return datafile.Position{Store: s.id, Seq: s.last(), Writes: s.writes}
}

// reread reads the end of the log after a group whose commit may or may not have succeeded.
func (s *Store) reread() error {
	ctx, cancel := context.WithTimeout(context.Background(), datafile.BusyTimeout+time.Second)
	defer cancel()
	return s.refresh(ctx)
}

// refresh reads the end of the log from the file. At the start that takes long when the file has
// no index of its keys yet, as after a migration.
func (s *Store) refresh(ctx context.Context) error {
	var last, appended, trimmed, writes int64
	err := s.writer.QueryRowContext(ctx, `SELECT
		max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM marks)),
		(SELECT coalesce(max(appended_at), 0) FROM events WHERE seq = (SELECT max(seq) FROM events)),
		coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0),
		events, bytes, scheduled + cancelled, scheduled_bytes, writes, store FROM log_size, identity`).
		Scan(&last, &appended, &trimmed, &s.size.events, &s.size.bytes, &s.size.scheduled, &s.size.waiting, &writes, &s.id)
	if err != nil {
		return err
	}
	if err := s.topics.Load(ctx, s.writer, uint64(last)); err != nil {
		return err
	}
	if err := s.loadKeys(ctx, uint64(last)); err != nil {
		return err
	}
	s.stale = false
	s.present.Store(s.size.events)
	s.writes = uint64(writes)
	s.appended = max(s.appended, appended)
	s.trimmed.Store(uint64(trimmed))
	s.window.Reset(uint64(last))
	return nil
}

// protect runs a caller's function on the writer goroutine: a panic fails that call,
// not the host.
func protect(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			buf := make([]byte, 4<<10)
			buf = buf[:runtime.Stack(buf, false)]
			err = fault.New(fault.Internal, "panic: %s\n%s", fmt.Sprint(p), buf)
		}
	}()
	return fn()
}
