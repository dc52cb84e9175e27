package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"math"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// blockBits is how many Seqs, as a power of two, one summary is of.
const blockBits = 8

// topics gathers which types and subjects the events of the newest block have.
// The writer stores them when the next block begins: one row for 256 events,
// where an index entry for each would cost a third of an append.
type topics struct {
	block   int64
	hashes  map[uint32]struct{}
	partial bool // some of the block could not be read: it gets no summary
}

func (t *topics) reset(block int64) {
	t.block, t.hashes, t.partial = block, make(map[uint32]struct{}), false
}

func (t *topics) add(typ, subject string) {
	t.hashes[topicHash('t', typ)] = struct{}{}
	t.hashes[topicHash('s', subject)] = struct{}{}
}

func (t *topics) encoded() []byte {
	b := make([]byte, 0, 4*len(t.hashes))
	for h := range t.hashes {
		b = binary.LittleEndian.AppendUint32(b, h)
	}
	return b
}

// topicHash is FNV-1a of 32 bits over kind and text. It is stored: it never changes.
func topicHash(kind byte, text string) uint32 {
	const offset, prime = 2166136261, 16777619
	h := (offset ^ uint32(kind)) * prime
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * prime
	}
	return h
}

// mayHave reports whether a summary has what a query asks for. It errs on the
// side of yes.
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

// summarize gathers the topics of the group's events, and stores those of the
// blocks that are complete.
func (g *group) summarize() error {
	t := &g.s.topics
	for _, rec := range g.records {
		if at := int64(rec.Seq >> blockBits); at != t.block {
			if len(t.hashes) > 0 && !t.partial {
				if _, err := g.exec(g.s.write.setBlock, t.block, t.encoded()); err != nil {
					return err
				}
			}
			t.reset(at)
		}
		t.add(string(rec.Event.Type()), rec.Event.Subject())
	}
	return nil
}

// load reads the topics of the newest block from the file. Damage there is for
// those to report who need the events.
func (t *topics) load(ctx context.Context, db *sql.DB, last uint64) error {
	t.reset(int64(last >> blockBits))
	err := t.scan(ctx, db)
	if datafile.Damaged(err) {
		t.partial = true
		return nil
	}
	return err
}

func (t *topics) scan(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT type, subject FROM events WHERE seq >= ?`, t.block<<blockBits)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var typ, subject string
		if err := rows.Scan(&typ, &subject); err != nil {
			return err
		}
		t.add(typ, subject)
	}
	return rows.Err()
}

// summaries is how many summaries are looked at in one query.
const summaries = 256

func (s *Store) list(ctx context.Context, q event.Query) ([]event.Record, error) {
	if q.Key != "" {
		rows, err := s.read.byKey.QueryContext(ctx, q.Key)
		records, err := scanRecords(rows, err)
		return slices.DeleteFunc(records, func(rec event.Record) bool { return !q.Selects(rec) }), err
	}
	end := int64(math.MaxInt64)
	if q.Before != 0 {
		end = sqlSeq(q.Before)
	}
	if q.Type == "" && q.Subject == "" {
		return s.readNewest(ctx, end, q.Limit, func(end int64, limit int) (*sql.Rows, error) {
			return s.read.newest.QueryContext(ctx, end, limit)
		})
	}
	var oldest, newest int64
	if err := s.read.bounds.QueryRowContext(ctx).Scan(&oldest, &newest); err != nil {
		return nil, err
	}
	end = min(end, newest+1)
	var list []event.Record
	search := func(from int64) error { // from there to end, which moves there
		records, err := s.readNewest(ctx, end, q.Limit-len(list), func(end int64, limit int) (*sql.Rows, error) {
			return s.read.newestOfTopic.QueryContext(ctx, from, end, string(q.Type), q.Subject, limit)
		})
		list, end = append(list, records...), from
		return err
	}
	for end > oldest && len(list) < q.Limit {
		page, err := s.summaries(ctx, (end-1)>>blockBits)
		if err != nil {
			return nil, err
		}
		for _, sum := range page {
			if len(list) == q.Limit || end <= oldest {
				break
			}
			from, to := sum.block<<blockBits, (sum.block+1)<<blockBits
			if to < end { // what is between has no summary
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
func (s *Store) summaries(ctx context.Context, from int64) ([]summary, error) {
	rows, err := s.read.blocks.QueryContext(ctx, from, summaries)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []summary
	for rows.Next() {
		var sum summary
		if err := rows.Scan(&sum.block, &sum.topics); err != nil {
			return nil, err
		}
		page = append(page, sum)
	}
	return page, rows.Err()
}
