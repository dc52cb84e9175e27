package outcomes

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"

	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
)

const (
	// fullBytes is the size of a block from which on it is full, although it has fewer
	// than pack.MaxOutcomes.
	fullBytes = 64 << 10
	// smallBytes is the size of a block up to which it is written again with each outcome
	// after it: an insert changes the same page.
	smallBytes = 1 << 10
)

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
	Query(stmt *sql.Stmt, args ...any) (*sql.Rows, error)
	Scan(stmt *sql.Stmt, dest []any, args ...any) error // the only result of a query
}

// Writer writes blocks. It is not safe for concurrent use.
type Writer struct {
	at, frameAt, put, remove, removeOf    *sql.Stmt
	removeBelow, below, content, existing *sql.Stmt
	overwrites, overwrite, success        *sql.Stmt

	reader     *Reader
	unreadable map[int64]error // blocks whose pages are damaged, by id; see noteDamaged
	kept       map[int64]bool  // those of them that cannot be removed
	suspect    bool            // one of them is not known yet
	encoder    pack.Encoder
	block      []byte
	merged     []pack.Outcome // buffers
	decoded    []pack.Outcome
}

// Prepare prepares the statements on the writer's connection.
func (w *Writer) Prepare(ctx context.Context, db *sql.DB) (err error) {
	if w.reader, err = NewReader(ctx, db); err != nil {
		return err
	}
	const (
		sized  = `SELECT ` + frameColumns + `, outcomes, octet_length(block)`
		before = ` FROM outcome_blocks AS b WHERE handler = ?1 AND first_seq <= ?2 ORDER BY first_seq DESC LIMIT 1`
		ended  = ` FROM named CROSS JOIN outcome_blocks AS b WHERE b.handler = named.handler AND b.first_seq <= ?1 AND b.last_seq <= ?1`
		run    = ` WHERE handler = ?1 AND seq >= ?2 AND seq <= ?3`
	)
	return datafile.Prepare(ctx, db, datafile.Statements{
		&w.at: sized + `, CASE WHEN last_seq >= ?3 OR outcomes < ?4 AND octet_length(block) < ?5 THEN block END,
			coalesce((SELECT outcomes << 32 | octet_length(block) FROM outcome_blocks AS a WHERE a.handler = ?1 AND a.first_seq < b.first_seq
				ORDER BY a.first_seq DESC LIMIT 1), ?4 << 32),
			EXISTS (SELECT 1 FROM deliveries WHERE handler = ?1 AND seq >= ?3 AND seq <= ?2)` + before,
		&w.frameAt: sized + before,
		&w.put: `INSERT INTO outcome_blocks (handler, first_seq, last_seq, newest_at, outcomes, block) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (handler, first_seq) DO UPDATE SET last_seq = excluded.last_seq, newest_at = excluded.newest_at,
				outcomes = excluded.outcomes, block = excluded.block`,
		&w.remove:   `DELETE FROM outcome_blocks WHERE id = ?`,
		&w.removeOf: `DELETE FROM outcome_blocks WHERE handler = ?`,
		&w.removeBelow: handlers + `DELETE FROM outcome_blocks WHERE id IN (SELECT b.id` + ended + `
			AND b.id NOT IN (SELECT value FROM json_each(?2))
			AND NOT EXISTS (SELECT 1 FROM events WHERE seq >= b.first_seq AND seq <= b.last_seq))`,
		&w.below:      handlers + `SELECT ` + frameColumns + ended,
		&w.content:    `SELECT block FROM outcome_blocks WHERE id = ?`,
		&w.existing:   existing,
		&w.success:    `SELECT status, attempts, at FROM deliveries WHERE handler = ? AND seq = ?`,
		&w.overwrites: `SELECT EXISTS (SELECT 1 FROM deliveries` + run + `)`,
		&w.overwrite:  `DELETE FROM deliveries` + run + ` AND seq IN (SELECT value FROM json_each(?4))`,
	})
}

// Save stores outcomes of a handler, each in place of the outcome or the delivery with
// the same Seq. The list is not empty, ascending by Seq, and above the mark "trimmed".
// Save returns those that it does not store, because they belong into the range of a
// block that it must leave as it is: they have to be stored as deliveries.
func (w *Writer) Save(c Conn, handler string, list []pack.Outcome) (refused []pack.Outcome, err error) {
	// From the end: the block that begins at or before the last outcome, and all that
	// belong into it or behind it.
	for first := true; len(list) > 0; first = false {
		b, err := w.blockAt(c, handler, list[len(list)-1].Seq, list[0].Seq)
		if err == nil && first && (b == nil || b.overwrites) {
			err = w.removeDeliveries(c, handler, list)
		}
		if err != nil {
			return nil, err
		}
		from := 0
		if b != nil {
			from, _ = pack.Search(list, uint64(b.first))
		}
		left, err := w.savePart(c, handler, b, list[from:])
		if err != nil {
			return nil, err
		}
		refused = append(refused, left...)
		list = list[:from]
	}
	return refused, nil
}

// removeDeliveries removes the deliveries that the outcomes replace. There are nearly
// never any.
func (w *Writer) removeDeliveries(c Conn, handler string, list []pack.Outcome) error {
	first, last := datafile.Seq(list[0].Seq), datafile.Seq(list[len(list)-1].Seq)
	var there bool
	if err := c.Scan(w.overwrites, []any{&there}, handler, first, last); err != nil || !there {
		return err
	}
	_, err := c.Exec(w.overwrite, handler, first, last, seqsOf(list))
	return err
}

// seqsOf returns the Seqs as a JSON list.
func seqsOf(list []pack.Outcome) string {
	return datafile.List(func(yield func(int64) bool) {
		for i := range list {
			if !yield(datafile.Seq(list[i].Seq)) {
				return
			}
		}
	})
}

// stored is a block as Save finds it.
type stored struct {
	frame
	outcomes int
	size     int64
	content  []byte // nil when the block is full and no outcome belongs into it
	err      error  // of reading the content, when its page is damaged

	earlier    int64 // the outcomes of the block before, times 2^32, and its size; full for none
	overwrites bool  // there may be deliveries in the range that blockAt was called with
}

// earlierAbsorbs is absorbs for the block before this one.
func (b *stored) earlierAbsorbs(n int) bool {
	e := stored{outcomes: int(b.earlier >> 32), size: b.earlier & (1<<32 - 1)}
	return e.absorbs(n)
}

// blockAt returns the block of a handler that begins at or before last; nil for none. It
// has its content if it ends at first or later, or is not full.
func (w *Writer) blockAt(c Conn, handler string, last, first uint64) (*stored, error) {
	b := stored{overwrites: true}
	dest := append(b.dest(), &b.outcomes, &b.size)
	if len(w.unreadable) > 0 {
		err := c.Scan(w.frameAt, dest, handler, datafile.Seq(last))
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if b.err = w.unreadable[b.id]; err != nil || b.err != nil {
			return &b, err
		}
	}
	err := c.Scan(w.at, append(dest, &b.content, &b.earlier, &b.overwrites), handler, datafile.Seq(last), datafile.Seq(first), pack.MaxOutcomes, fullBytes)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case datafile.Damaged(err):
		if c.Scan(w.frameAt, dest, handler, datafile.Seq(last)) == nil {
			w.noteDamaged(b.id, err)
		}
	}
	return &b, err
}

// noteDamaged notes that the pages of a block are damaged. A transaction that has read
// such a page cannot write any more. The next one does not read it.
func (w *Writer) noteDamaged(id int64, err error) {
	if w.unreadable == nil {
		w.unreadable = make(map[int64]error)
	}
	w.unreadable[id] = err
}

// absorbs reports whether n outcomes after the block are merged with it.
func (b *stored) absorbs(n int) bool {
	if b.outcomes >= pack.MaxOutcomes || b.size >= fullBytes || b.err != nil {
		return false
	}
	return b.outcomes <= n || b.outcomes+n >= pack.MaxOutcomes || b.size <= smallBytes
}

// load returns the outcomes of a block, and whether it may be written again.
func (w *Writer) load(b *stored) (list []pack.Outcome, ok bool) {
	block, err := b.open(b.content, b.err)
	if err != nil || block.Extended() {
		return nil, false
	}
	w.decoded, err = block.AppendTo(w.decoded[:0])
	return w.decoded, err == nil
}

// savePart stores outcomes that begin after the first Seq of the block b, and end before
// the block after it. b is nil for outcomes before all blocks.
func (w *Writer) savePart(c Conn, handler string, b *stored, part []pack.Outcome) (refused []pack.Outcome, err error) {
	inside := 0
	if b != nil {
		inside, _ = pack.Search(part, uint64(b.last)+1)
	}
	if inside == 0 {
		return nil, w.saveBehind(c, handler, b, part)
	}
	before, ok := w.load(b)
	if !ok {
		if inside < len(part) {
			err = w.saveBehind(c, handler, nil, part[inside:])
		}
		return part[:inside], err
	}
	w.merged = pack.Union(w.merged[:0], before, part)
	limit := pack.MaxOutcomes
	if n := len(w.merged); n > limit { // blocks of about the same size: more outcomes may come between
		blocks := (n + limit - 1) / limit
		limit = (n + blocks - 1) / blocks
	}
	return nil, w.write(c, handler, w.merged, limit)
}

// saveBehind stores outcomes between the block b and the one after it, and merges b and
// blocks before it that are small.
func (w *Writer) saveBehind(c Conn, handler string, b *stored, part []pack.Outcome) (err error) {
	w.merged = append(w.merged[:0], part...)
	first := int64(-1) // the id of the first block that was merged; write replaces it
	for b != nil && b.absorbs(len(w.merged)) {
		before, ok := w.load(b)
		if !ok {
			break
		}
		if first >= 0 {
			if _, err := c.Exec(w.remove, first); err != nil {
				return err
			}
		}
		first = b.id
		w.merged = slices.Insert(w.merged, 0, before...)
		if !b.earlierAbsorbs(len(w.merged)) {
			break
		}
		if b, err = w.blockAt(c, handler, w.merged[0].Seq-1, w.merged[0].Seq); err != nil {
			return err
		}
	}
	return w.write(c, handler, w.merged, pack.MaxOutcomes)
}

// write stores outcomes as blocks of at most limit. The first one replaces the block
// that begins with the same Seq.
func (w *Writer) write(c Conn, handler string, list []pack.Outcome, limit int) error {
	for len(list) > 0 {
		n := pack.Cut(list, limit)
		newest := list[0].At
		for i := range list[:n] {
			newest = max(newest, list[i].At)
		}
		w.block = w.encoder.Append(w.block[:0], list[:n])
		if _, err := c.Exec(w.put, handler, datafile.Seq(list[0].Seq), datafile.Seq(list[n-1].Seq), newest, n, w.block); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// Times is Reader.Times in the writer's transaction.
func (w *Writer) Times(ctx context.Context, tx *sql.Tx, handler string, after, until uint64,
	visit func(seq uint64, at int64)) (bad []*Unreadable, err error) {
	return w.reader.Times(ctx, tx, handler, after, until, visit)
}

// Forget removes all blocks of a handler.
func (w *Writer) Forget(c Conn, handler string) error {
	clear(w.unreadable) // their ids can be used again
	_, err := c.Exec(w.removeOf, handler)
	return err
}

// Trim removes the blocks that end at edge or below, which the log was trimmed to, and
// returns the outcomes in them whose events remain: they have to be stored as deliveries.
// It keeps a block that cannot be read as long as an event of its range remains.
//
// Where a damaged page cannot be freed it fails. The next call finds the blocks of such
// pages and fails too; later calls pass over them.
func (w *Writer) Trim(c Conn, edge uint64) (leftovers []Single, err error) {
	if w.suspect {
		if err := w.findDamaged(c, edge); err != nil {
			return nil, err
		}
	}
	removed, err := c.Exec(w.removeBelow, datafile.Seq(edge), datafile.List(maps.Keys(w.kept)))
	if err != nil {
		w.suspect = datafile.Damaged(err)
		return nil, err
	}
	if removed > 0 { // their ids can be used again
		maps.DeleteFunc(w.unreadable, func(id int64, _ error) bool { return !w.kept[id] })
	}
	frames, err := listFrames(c.Query(w.below, datafile.Seq(edge)))
	if err != nil {
		return nil, err
	}
	for _, f := range frames {
		b, err := w.read(c, f)
		if err != nil {
			return nil, err
		}
		list, ok := w.load(&b)
		if !ok {
			continue
		}
		rows, err := c.Query(w.existing, seqsOf(list))
		var seq int64
		err = datafile.Each(rows, err, func() {
			if n, found := pack.Search(list, uint64(seq)); found {
				leftovers = append(leftovers, Single{f.handler, list[n]})
			}
		}, &seq)
		if err != nil {
			return nil, err
		}
		if _, err := c.Exec(w.remove, f.id); err != nil {
			return nil, err
		}
	}
	return leftovers, nil
}

// read reads the content of a block, unless its pages are known to be damaged.
func (w *Writer) read(c Conn, f frame) (b stored, err error) {
	b = stored{frame: f, err: w.unreadable[f.id]}
	if b.err != nil {
		return b, nil
	}
	if err = c.Scan(w.content, []any{&b.content}, f.id); datafile.Damaged(err) {
		w.noteDamaged(f.id, err)
	}
	return b, err
}

// findDamaged reads the blocks that end at edge or below, and notes those that have
// damaged pages. Then it returns the error. It finds none as long as they end above edge.
func (w *Writer) findDamaged(c Conn, edge uint64) (failed error) {
	frames, err := listFrames(c.Query(w.below, datafile.Seq(edge)))
	if err != nil {
		return err
	}
	if w.kept == nil {
		w.kept = make(map[int64]bool)
	}
	for _, f := range frames {
		b, err := w.read(c, f)
		switch {
		case datafile.Damaged(err):
			failed = err
		case err != nil:
			return err
		case b.err == nil:
			continue
		}
		w.kept[f.id], w.suspect = true, false
	}
	return failed
}
