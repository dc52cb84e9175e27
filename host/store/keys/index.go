package keys

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// batch is the number of entries that one statement reads or writes. Unused parameters
// are NULL, which equals no hash and no Seq.
const batch = 64

// Config sets up an Index. Writer and Reader are required: connections to the data file.
type Config struct {
	Writer, Reader *sql.DB
	Hash           func(text string) int64 // nil is one by the store's seed
	Chunk          int                     // events that Load merges at once; 0 is 262,144
}

// Index is the index of a store. See the package comment.
type Index struct {
	recent recent
	hash   func(text string) int64
	chunk  int

	merged uint64       // at Open, the Seq up to which the file had all entries
	max    atomic.Int64 // no entry that only the file has has a higher hash
	swept  atomic.Int64 // the number of events removed from the log before the last complete sweep

	lookup                                  *sql.Stmt // of a reader
	find, insert, remove, setMerged, newest *sql.Stmt // of the writer
	sweepEdge, sweep, setSwept              *sql.Stmt // of the writer
}

// Bind returns a prepared statement of the writer in the present transaction.
type Bind func(*sql.Stmt) *sql.Stmt

// Open returns the index of a data file. Its recent entries are missing: see Load.
func Open(ctx context.Context, cfg Config) (*Index, error) {
	x := &Index{hash: cfg.Hash, chunk: cmp.Or(cfg.Chunk, 1<<18)}
	repeat := func(text string) string { return strings.Repeat(text+", ", batch-1) + text }
	err := datafile.Prepare(ctx, cfg.Writer, datafile.Statements{
		&x.find: `SELECT v.column1, k.seq FROM (VALUES ` + repeat("(?)") + `) AS v CROSS JOIN event_keys AS k ON k.hash = v.column1`,
		&x.insert: `INSERT OR IGNORE INTO event_keys SELECT v.column1, v.column2 FROM (VALUES ` + repeat("(?, ?)") + `) AS v
			WHERE EXISTS (SELECT 1 FROM events WHERE seq = v.column2)`,
		&x.remove:    `DELETE FROM event_keys WHERE (hash, seq) IN (VALUES ` + repeat("(?, ?)") + `)`,
		&x.setMerged: `UPDATE key_index SET merged = ?`,
		&x.newest:    `SELECT seq, event_id, idempotency_key FROM events WHERE seq >= ? AND seq <= ? ORDER BY seq`,
		&x.sweepEdge: `SELECT hash, seq FROM event_keys WHERE (hash, seq) > (?, ?) ORDER BY hash, seq LIMIT 1 OFFSET ?`,
		&x.sweep: `DELETE FROM event_keys WHERE (hash, seq) > (?, ?) AND (hash, seq) <= (?, ?) AND seq <= ?
			AND NOT EXISTS (SELECT 1 FROM events WHERE events.seq = event_keys.seq)`,
		&x.setSwept: `UPDATE key_index SET swept = ?`,
	})
	if err == nil {
		x.lookup, err = cfg.Reader.PrepareContext(ctx, `SELECT seq FROM event_keys WHERE hash = ?`)
	}
	if err != nil {
		return nil, err
	}
	var seed []byte
	var merged, swept, highest int64
	err = cfg.Writer.QueryRowContext(ctx, `SELECT seed, merged, swept FROM key_index`).Scan(&seed, &merged, &swept)
	if err == nil {
		err = cfg.Writer.QueryRowContext(ctx, `SELECT coalesce(max(hash), ?) FROM event_keys`, int64(math.MinInt64)).Scan(&highest)
		if datafile.Damaged(err) { // the log can be read; publishers that need the page get the error
			highest, err = math.MaxInt64, nil
		}
	}
	if err == nil && len(seed) < seedSize {
		err = fault.New(fault.Internal, "the index of keys has no seed")
	}
	if x.hash == nil {
		x.hash = func(text string) int64 { return hash(seed, text) }
	}
	x.merged = uint64(merged)
	x.swept.Store(swept)
	x.max.Store(highest)
	return x, err
}

// AppendEntries appends the entries of an event to list. id is empty when it is the key.
func (x *Index) AppendEntries(list []Entry, seq uint64, key, id string) []Entry {
	list = append(list, Entry{x.hash(key), seq})
	if id != "" && id != key {
		list = append(list, Entry{x.hash(id), seq})
	}
	return list
}

// Add adds entries of events that the present transaction stores.
func (x *Index) Add(list ...Entry) { x.recent.add(list...) }

// Undo removes entries that were added, and whose transaction was rolled back.
func (x *Index) Undo(list []Entry) { x.recent.remove(list) }

// Recent appends the Seqs of the events in memory that may have a key with this hash.
func (x *Index) Recent(hash int64, list []uint64) []uint64 { return x.recent.find(hash, list) }

// Lookup returns the Seqs of the events that may have this key or id. It is safe for
// concurrent use.
func (x *Index) Lookup(ctx context.Context, text string) (seqs []uint64, err error) {
	h := x.hash(text)
	seqs = x.recent.find(h, nil) // first: an entry is merged before it is removed here
	rows, err := x.lookup.QueryContext(ctx, h)
	var seq int64
	err = datafile.Each(rows, err, func() { seqs = append(seqs, uint64(seq)) }, &seq)
	slices.Sort(seqs)
	return slices.Compact(seqs), err
}

// Merged returns the Seqs of the events in the file that may have keys with these hashes,
// by hash.
func (x *Index) Merged(bind Bind, hashes []int64) (found map[int64][]uint64, err error) {
	var args []any
	limit := x.max.Load()
	for i, h := range hashes {
		if h <= limit {
			args = append(args, h)
		}
		if len(args) < batch && (i < len(hashes)-1 || len(args) == 0) {
			continue
		}
		rows, err := bind(x.find).Query(padded(args, batch)...)
		var hash, seq int64
		err = datafile.Each(rows, err, func() {
			if found == nil {
				found = make(map[int64][]uint64)
			}
			if !slices.Contains(found[hash], uint64(seq)) { // a hash may be asked for twice
				found[hash] = append(found[hash], uint64(seq))
			}
		}, &hash, &seq)
		if err != nil {
			return nil, err
		}
		args = args[:0]
	}
	return found, nil
}

func padded(args []any, n int) []any {
	for len(args) < n {
		args = append(args, nil)
	}
	return args
}

// Remove removes entries of events that were deleted, by transactions before the present
// one.
func (x *Index) Remove(bind Bind, list []Entry) error {
	if len(list) == 0 {
		return nil
	}
	sortEntries(list)
	x.recent.remove(list)
	return each(bind(x.remove), list)
}

// Indexed returns the Seq up to which the file had all entries when it was opened.
func (x *Index) Indexed() uint64 { return x.merged }

// Len returns the number of entries in memory.
func (x *Index) Len() int { return x.recent.len() }

// A Merge moves the entries of the events up to a Seq into the file, in steps on the
// writer's goroutine. Each step belongs into a transaction of its own, and follows the
// commit of the one before; after a failure the merge is begun again.
type Merge struct {
	x       *Index
	upTo    uint64
	left    []Entry
	written []Entry // by the step before
}

// Merge returns a merge of the entries up to a Seq. All events up to it are stored.
func (x *Index) Merge(upTo uint64) *Merge { return &Merge{x: x, upTo: upTo, left: x.recent.upTo(upTo)} }

// Step merges up to n entries, and removes those of the step before from memory. It
// reports whether more steps have to follow.
func (m *Merge) Step(bind Bind, n int) (more bool, err error) {
	m.forget() // here, so that the writer does not miss an entry that moves while it looks
	if len(m.left) == 0 {
		_, err := bind(m.x.setMerged).Exec(int64(m.upTo))
		return false, err
	}
	m.written, m.left = m.left[:min(n, len(m.left))], m.left[min(n, len(m.left)):]
	return true, each(bind(m.x.insert), m.written)
}

// forget removes the entries from memory that the file has.
func (m *Merge) forget() {
	if len(m.written) > 0 {
		m.x.max.Store(max(m.x.max.Load(), m.written[len(m.written)-1].Hash))
		m.x.recent.remove(m.written)
		m.written = nil
	}
}

// each runs a statement with the entries of a list, a batch at a time.
func each(stmt *sql.Stmt, list []Entry) error {
	args := make([]any, 0, 2*batch)
	for chunk := range slices.Chunk(list, batch) {
		args = args[:0]
		for _, e := range chunk {
			args = append(args, e.Hash, int64(e.Seq))
		}
		if _, err := stmt.Exec(padded(args, 2*batch)...); err != nil {
			return err
		}
	}
	return nil
}

// blockSize is the number of events that Load reads singly when one of them is damaged.
const blockSize = 256

// Load adds the entries of the events after one Seq up to another, as the writer's
// connection has them, outside of a transaction. Of more than Config.Chunk events, such as
// those of an older file, it merges all but the last. problem is what does not prevent a
// start: events that cannot be read, whose keys are not found, and a merge that failed, so
// that entries remain in memory.
func (x *Index) Load(ctx context.Context, db *sql.DB, after, last uint64) (problem, err error) {
	mergeable := true
	for from := after + 1; from <= last; {
		to := min(last, from+uint64(x.chunk)-1)
		end, err := x.load(ctx, from, to)
		if datafile.Damaged(err) {
			problem = err
			to = min(last, end+blockSize)
			for seq := end + 1; seq <= to; seq++ {
				if _, err := x.load(ctx, seq, seq); err != nil && !datafile.Damaged(err) {
					return nil, err
				}
			}
		} else if err != nil {
			return nil, err
		}
		if from = to + 1; from <= last && x.recent.len() >= x.chunk && mergeable {
			if err := x.mergeAll(ctx, db, to); err != nil {
				problem, mergeable = err, false
			}
		}
	}
	return problem, nil
}

// load adds the entries of events, and returns the Seq of the last one it could read.
func (x *Index) load(ctx context.Context, from, to uint64) (end uint64, err error) {
	var list []Entry
	end = from - 1
	rows, err := x.newest.QueryContext(ctx, datafile.Seq(from), datafile.Seq(to))
	var seq int64
	var id sql.NullString
	var key string
	err = datafile.Each(rows, err, func() {
		list = x.AppendEntries(list, uint64(seq), key, id.String)
		end = uint64(seq)
	}, &seq, &id, &key)
	x.recent.add(list...)
	return end, err
}

// mergeAll merges the entries up to a Seq in one transaction.
func (x *Index) mergeAll(ctx context.Context, db *sql.DB, upTo uint64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	bind := func(s *sql.Stmt) *sql.Stmt { return tx.StmtContext(ctx, s) }
	m := x.Merge(upTo)
	if _, err := m.Step(bind, len(m.left)); err != nil {
		return err
	}
	all := m.written
	m.written = nil // they are not in the file yet
	if _, err := m.Step(bind, 0); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	m.written = all
	m.forget()
	return nil
}
