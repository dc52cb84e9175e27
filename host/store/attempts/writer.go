package attempts

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/datafile"
)

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
	Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error)
	Scan(stmt *sql.Stmt, dest []any, args ...any) error // the only result of a query
}

// Writer writes attempts. It is not safe for concurrent use.
type Writer struct {
	insert                              [len(insertSizes)]*sql.Stmt
	excess, removeOldest                *sql.Stmt
	size, oldestLogs, removeLogs        *sql.Stmt
	removeTo, removeReleased, removeAll *sql.Stmt

	last  int64 // the highest id that was used
	limit int64 // of the logs of one handler, in bytes
	steps int   // of the removal of logs for one handler and write, at most
	args  []any // buffer
}

// insertSizes are how many attempts the statements insert: the largest that is full is used.
var insertSizes = [...]int{16, 4, 1}

const (
	evictStep  = 256 // attempts that lose their logs with one statement, at most
	evictSteps = 64  // for one handler and write
)

// Prepare prepares the statements on the writer's connection.
func (w *Writer) Prepare(ctx context.Context, db *sql.DB) error {
	insert := func(n int) string {
		one := `(?` + strings.Repeat(`, ?`, columnCount-1) + `)`
		return `INSERT INTO attempts (` + columns + `) VALUES ` + one + strings.Repeat(`, `+one, n-1) +
			` ON CONFLICT (handler, seq, at, number, status) DO NOTHING`
	}
	const orphaned = ` AND NOT EXISTS (SELECT 1 FROM events WHERE events.seq = a.seq))`
	w.Bound(spec.MaxHandlerLog, evictSteps)
	err := datafile.Prepare(ctx, db, datafile.Statements{
		&w.insert[0]: insert(insertSizes[0]),
		&w.insert[1]: insert(insertSizes[1]),
		&w.insert[2]: insert(insertSizes[2]),
		&w.excess: `SELECT seq FROM attempts INDEXED BY attempts_by_event WHERE handler = ?1 AND seq IN (SELECT value FROM json_each(?2))
			GROUP BY seq HAVING count(*) > ?3`,
		&w.removeOldest: `DELETE FROM attempts WHERE id IN (SELECT id FROM attempts INDEXED BY attempts_by_event
			WHERE handler = ? AND seq = ? ORDER BY id DESC LIMIT -1 OFFSET ?)`,
		&w.size: `SELECT coalesce((SELECT bytes FROM attempt_logs WHERE handler = ?), 0)`,
		&w.oldestLogs: `SELECT id, log_size FROM attempts INDEXED BY attempts_with_logs WHERE handler = ? AND log_size > 0
			ORDER BY id LIMIT ?`,
		&w.removeLogs: `UPDATE attempts INDEXED BY attempts_with_logs SET logs = '', log_size = 0
			WHERE handler = ? AND log_size > 0 AND id <= ?`,
		&w.removeTo: handlers + `DELETE FROM attempts WHERE id IN (SELECT a.id FROM named CROSS JOIN attempts AS a INDEXED BY attempts_by_event
			WHERE a.handler = named.handler AND a.seq > ? AND a.seq <= ?` + orphaned,
		&w.removeReleased: handlers + `DELETE FROM attempts WHERE id IN (SELECT a.id FROM named CROSS JOIN released AS r
			CROSS JOIN attempts AS a INDEXED BY attempts_by_event WHERE r.seq <= ? AND a.handler = named.handler AND a.seq = r.seq` + orphaned,
		&w.removeAll: `DELETE FROM attempts WHERE handler = ?`,
	})
	if err != nil {
		return err
	}
	return db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM attempts`).Scan(&w.last)
}

// Bound changes the bound of a handler's logs, in bytes, and how many steps a write takes to
// remove what is over it; for tests.
func (w *Writer) Bound(bytes int64, steps int) { w.limit, w.steps = bytes, steps }

// handlers is a table expression: the handlers that have attempts, found with one look-up
// in the index for each.
const handlers = `WITH RECURSIVE named(handler) AS (SELECT min(handler) FROM attempts UNION ALL
	SELECT (SELECT min(b.handler) FROM attempts AS b WHERE b.handler > named.handler) FROM named
		WHERE named.handler IS NOT NULL) `

// Save stores the attempts of a batch whose events exist, and removes those, and logs of
// those, that are too many then.
func (w *Writer) Save(c Conn, b *Batch, exists func(seq uint64) (bool, error)) error {
	list := b.list[:0]
	for _, e := range b.list {
		there, err := exists(e.Seq)
		if err != nil {
			return err
		}
		if there {
			list = append(list, e)
		}
	}
	if err := w.insertAll(c, list); err != nil {
		return err
	}
	type of struct {
		seqs   []int64
		logged bool
	}
	byHandler := make(map[string]*of)
	for i := range list {
		e := &list[i]
		h := byHandler[e.Handler]
		if h == nil {
			h = &of{}
			byHandler[e.Handler] = h
		}
		h.seqs, h.logged = append(h.seqs, datafile.Seq(e.Seq)), h.logged || e.size > 0
	}
	for handler, h := range byHandler {
		if err := w.removeExcess(c, handler, h.seqs); err != nil {
			return err
		}
		if h.logged {
			if err := w.evict(c, handler); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Writer) insertAll(c Conn, list []entry) error {
	for len(list) > 0 {
		size := 0
		for insertSizes[size] > len(list) {
			size++
		}
		n := insertSizes[size]
		w.args = w.args[:0]
		for i := range list[:n] {
			w.last++
			w.args = list[i].values(w.args, w.last)
		}
		if _, err := c.Exec(w.insert[size], w.args...); err != nil {
			return err
		}
		list = list[n:]
	}
	clear(w.args)
	return nil
}

// removeExcess removes the oldest attempts of deliveries that have more than
// event.MaxPastAttempts.
func (w *Writer) removeExcess(c Conn, handler string, seqs []int64) error {
	var over []int64
	var seq int64
	found, err := c.Query(w.excess, handler, datafile.List(slices.Values(seqs)), event.MaxPastAttempts)
	if err := datafile.Each(found, err, func() { over = append(over, seq) }, &seq); err != nil {
		return err
	}
	for _, seq := range over {
		if _, err := c.Exec(w.removeOldest, handler, seq, event.MaxPastAttempts); err != nil {
			return err
		}
	}
	return nil
}

// evict removes the logs of a handler's oldest attempts until the others are within the
// limit, or there were too many steps.
func (w *Writer) evict(c Conn, handler string) error {
	var bytes int64
	if err := c.Scan(w.size, []any{&bytes}, handler); err != nil {
		return err
	}
	for range w.steps {
		if bytes <= w.limit {
			break
		}
		var id, size, last int64
		found, err := c.Query(w.oldestLogs, handler, evictStep)
		if err := datafile.Each(found, err, func() {
			if bytes > w.limit {
				last, bytes = id, bytes-size
			}
		}, &id, &size); err != nil {
			return err
		}
		if _, err := c.Exec(w.removeLogs, handler, last); err != nil {
			return err
		}
	}
	return nil
}

// RemoveTo removes the attempts of the events above one Seq, up to another, that are not in
// the log any more. RemoveReleased removes those of events in the table released, up to a
// Seq, and Forget all of a handler.
func (w *Writer) RemoveTo(c Conn, from, to int64) error {
	_, err := c.Exec(w.removeTo, from, to)
	return err
}

// RemoveReleased is described at RemoveTo.
func (w *Writer) RemoveReleased(c Conn, to int64) error {
	_, err := c.Exec(w.removeReleased, to)
	return err
}

// Forget is described at RemoveTo.
func (w *Writer) Forget(c Conn, handler string) error {
	_, err := c.Exec(w.removeAll, handler)
	return err
}
