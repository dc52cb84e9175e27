package logread

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// BlockBits is the size of a block: one summary covers 1<<BlockBits Seqs.
const BlockBits = 8

// Topics are the types and subjects of the events of the newest block. The writer
// stores them as the block's summary when the next block begins: one row for 256
// events, where an index entry for each would cost a third of an append. Not safe for
// concurrent use.
type Topics struct {
	Block   int64 // Seq >> BlockBits
	hashes  map[uint32]struct{}
	partial bool // a part of the block could not be read: it gets no summary
}

// Reset begins a block.
func (t *Topics) Reset(block int64) {
	t.Block, t.hashes, t.partial = block, make(map[uint32]struct{}), false
}

// Add adds the topics of an event.
func (t *Topics) Add(typ, subject string) {
	t.hashes[topicHash('t', typ)] = struct{}{}
	t.hashes[topicHash('s', subject)] = struct{}{}
}

// Encoded returns the summary as it is stored.
func (t *Topics) Encoded() []byte {
	b := make([]byte, 0, 4*len(t.hashes))
	for h := range t.hashes {
		b = binary.LittleEndian.AppendUint32(b, h)
	}
	return b
}

// Complete reports whether the topics can be stored as the block's summary.
func (t *Topics) Complete() bool { return len(t.hashes) > 0 && !t.partial }

// topicHash is FNV-1a of 32 bits over kind and text. Stored summaries depend on it: it
// never changes.
func topicHash(kind byte, text string) uint32 {
	const offset, prime = 2166136261, 16777619
	h := (offset ^ uint32(kind)) * prime
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * prime
	}
	return h
}

// mayHave reports whether a block may have events that a query selects.
func mayHave(summary []byte, q event.Query) bool {
	has := func(kind byte, text string) bool {
		want := topicHash(kind, text)
		for ; len(summary) >= 4; summary = summary[4:] {
			if binary.LittleEndian.Uint32(summary) == want {
				return true
			}
		}
		return false
	}
	all := summary
	if q.Type != "" && !has('t', string(q.Type)) {
		return false
	}
	summary = all
	return q.Subject == "" || has('s', q.Subject)
}

// Load reads the topics of the newest block from the file. A damaged block gets no
// summary; readers of its events report the damage.
func (t *Topics) Load(ctx context.Context, db *sql.DB, last uint64) error {
	t.Reset(int64(last >> BlockBits))
	err := t.scan(ctx, db)
	if datafile.Damaged(err) {
		t.partial = true
		return nil
	}
	return err
}

func (t *Topics) scan(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT type, subject FROM events WHERE seq >= ?`, t.Block<<BlockBits)
	var typ, subject string
	return datafile.Each(rows, err, func() { t.Add(typ, subject) }, &typ, &subject)
}

// Summarize makes the summaries of all blocks of a log again, but the newest, which gets
// its own when it is complete.
func Summarize(ctx context.Context, tx *sql.Tx) error {
	add, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO stretches VALUES (?, ?)`)
	if err != nil {
		return err
	}
	defer add.Close()
	var topics Topics
	topics.Reset(-1)
	from := int64(0)
	for {
		n, err := topics.summarize(ctx, tx, add, &from)
		if err != nil {
			return fmt.Errorf("summarize the log: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// summarize adds a page of events to the topics, from a Seq on.
func (t *Topics) summarize(ctx context.Context, tx *sql.Tx, add *sql.Stmt, from *int64) (n int, err error) {
	var seq int64
	var typ, subject string
	var failed error
	found, err := tx.QueryContext(ctx, `SELECT seq, type, subject FROM events WHERE seq > ? ORDER BY seq LIMIT 4096`, *from)
	err = datafile.Each(found, err, func() {
		if block := seq >> BlockBits; block != t.Block {
			if t.Complete() && failed == nil {
				_, failed = add.ExecContext(ctx, t.Block, t.Encoded())
			}
			t.Reset(block)
		}
		t.Add(typ, subject)
		*from, n = seq, n+1
	}, &seq, &typ, &subject)
	return n, errors.Join(err, failed)
}

// summaries is the number of summaries that one query reads.
const summaries = 256

func (r *Reader) list(ctx context.Context, q event.Query) ([]event.Record, error) {
	if q.Key != "" {
		records, err := r.recordsOfKey(ctx, q.Key)
		return slices.DeleteFunc(records, func(rec event.Record) bool { return !q.Selects(rec) }), err
	}
	end := int64(math.MaxInt64)
	if q.Before != 0 {
		end = datafile.Seq(q.Before)
	}
	if q.Type == "" && q.Subject == "" {
		return r.readNewest(ctx, end, q.Limit, func(end int64, limit int) (*sql.Rows, error) {
			return r.newest.QueryContext(ctx, end, limit)
		})
	}
	var oldest, newest int64
	if err := r.bounds.QueryRowContext(ctx).Scan(&oldest, &newest); err != nil {
		return nil, err
	}
	end = min(end, newest+1)
	var list []event.Record
	search := func(from int64) error { // from there to end; then end is from
		records, err := r.readNewest(ctx, end, q.Limit-len(list), func(end int64, limit int) (*sql.Rows, error) {
			return r.newestOfTopic.QueryContext(ctx, from, end, string(q.Type), q.Subject, limit)
		})
		list, end = append(list, records...), from
		return err
	}
	for end > oldest && len(list) < q.Limit {
		page, err := r.summaries(ctx, (end-1)>>BlockBits)
		if err != nil {
			return nil, err
		}
		for _, sum := range page {
			if len(list) == q.Limit || end <= oldest {
				break
			}
			from, to := sum.block<<BlockBits, (sum.block+1)<<BlockBits
			if to < end { // the blocks between have no summary
				if err := search(to); err != nil {
					return nil, err
				}
			}
			if !mayHave(sum.topics, q) {
				end = from
			} else if len(list) < q.Limit {
				if err := search(from); err != nil {
					return nil, err
				}
			}
		}
		if len(page) < summaries && end > oldest && len(list) < q.Limit {
			if err := search(oldest); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

type summary struct {
	block  int64
	topics []byte
}

// summaries returns the summaries from a block on down.
func (r *Reader) summaries(ctx context.Context, from int64) ([]summary, error) {
	rows, err := r.blocks.QueryContext(ctx, from, summaries)
	var page []summary
	var sum summary
	err = datafile.Each(rows, err, func() { page = append(page, sum) }, &sum.block, &sum.topics)
	return page, err
}
