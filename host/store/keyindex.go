package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/keys"
)

const (
	mergeAt     = 16 << 10  // keys in memory from which on they are merged into the file
	mergeUrgent = 128 << 10 // keys in memory from which on merges do not pause
	mergeStep   = 2048      // merged by one group at most
	sweepStep   = 4096      // examined by one group of a sweep at most
	maxDead     = 8         // entries of trimmed events with one hash from which on the writer removes them
)

// hash sets the keys of insertions that have none yet. Callers of Append do it, because
// every write waits for the writer.
func (s *Store) hash(list []insertion) {
	for i := range list {
		if in := &list[i]; in.keys == nil {
			in.keys = s.keys.AppendEntries(nil, 0, in.key, in.ev.ID())
		}
	}
}

// index adds the newest record to the index.
func (g *group) index(in *insertion) {
	for i := range in.keys {
		in.keys[i].Seq = g.seq
	}
	g.keys = append(g.keys, in.keys...)
	g.s.keys.Add(in.keys...)
}

// merged returns the Seqs of the events in the file that may have the keys of insertions,
// by the hash of the key.
func (g *group) merged(list []insertion) (map[int64][]uint64, error) {
	hashes := make([]int64, len(list))
	for i := range list {
		hashes[i] = list[i].keys[0].Hash
	}
	return g.s.keys.Merged(g.bind, hashes)
}

// known returns the receipt of an event whose key the log has, and whether that is so.
func (g *group) known(in *insertion, candidates []uint64) (r event.Receipt, known bool, err error) {
	r, known, misses, err := g.match(in, candidates)
	if err == nil && len(misses) >= maxDead {
		err = g.noteDead(in.keys[0].Hash, misses)
	}
	return r, known, err
}

// match returns the same as known, and the Seqs of the candidates that have not the key.
func (g *group) match(in *insertion, candidates []uint64) (r event.Receipt, known bool, misses []uint64, err error) {
	for _, seq := range g.s.keys.Recent(in.keys[0].Hash, candidates) {
		if i, found := slices.BinarySearchFunc(g.records, seq, func(rec event.Record, seq uint64) int {
			return cmp.Compare(rec.Seq, seq)
		}); found { // of this group
			if ev := g.records[i].Event; ev.Metadata().IdempotencyKey == in.key {
				return repeated(g.records[i], in.ev), true, misses, nil
			}
			continue
		}
		var envelope string
		err := g.queryRow(g.s.write.findKey, int64(seq), in.key).Scan(&envelope)
		if errors.Is(err, sql.ErrNoRows) {
			misses = append(misses, seq) // another key of this hash, or a trimmed event
			continue
		}
		if err != nil {
			return r, false, nil, err
		}
		first, err := event.Parse(envelope)
		if err != nil { // this event is damaged; the other writes of the group are not
			return event.Receipt{Seq: seq, IdempotencyKey: in.key, Err: fmt.Errorf("event %d: %w", seq, err)}, true, misses, nil
		}
		return repeated(event.Record{Seq: seq, Event: first}, in.ev), true, misses, nil
	}
	return r, false, misses, nil
}

// noteDead notes which candidates of a hash are entries of trimmed events, so that append
// removes them. Fewer than maxDead are left to the next sweep: removing one changes a page
// of the index. Only a key that is published and trimmed again and again has more.
func (g *group) noteDead(hash int64, misses []uint64) error {
	for _, seq := range misses {
		if seq > g.trimmedTo() {
			continue
		}
		var there bool
		if err := g.queryRow(g.s.trim.there, datafile.Seq(seq)).Scan(&there); err != nil {
			return err
		}
		if !there {
			g.dead = append(g.dead, keys.Entry{Hash: hash, Seq: seq})
		}
	}
	return nil
}

// repeated returns the receipt of an event whose key the log has, in first. It may be
// unresolved.
func repeated(first event.Record, ev *event.Event) event.Receipt {
	r := event.Receipt{Seq: first.Seq, EventID: first.Event.ID(), IdempotencyKey: ev.Metadata().IdempotencyKey}
	if r.Duplicate = first.Event.Digest() == ev.Digest(); !r.Duplicate {
		r.Err = &unresolved{first, ev}
	}
	return r
}

// loadKeys adds to the index the events that it lacks. It runs at the start, and when a
// commit may have succeeded although it failed.
func (s *Store) loadKeys(ctx context.Context, last uint64) error {
	problem, err := s.keys.Load(ctx, s.writer, s.indexed, last)
	if err != nil {
		return err
	}
	if problem != nil {
		s.log.Warn("index of idempotency keys not complete, or not stored; a repeated key may be taken as new", "error", problem)
	}
	s.indexed = last
	return nil
}

// runMerger merges keys into the file, and sweeps those of trimmed events, until Close.
func (s *Store) runMerger() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	failing := false
	for {
		err := s.maintainKeys(context.Background())
		if err != nil && !failing && !s.closed() {
			s.log.Warn("index of keys cannot be written: those of new events remain in memory, and those of trimmed events in the file",
				"keys", s.keys.Len(), "error", err)
		}
		failing = err != nil // another attempt follows a second later
		select {
		case <-tick.C:
		case <-s.closing:
			return
		}
	}
}

// maintainKeys merges and sweeps as long as it is necessary.
func (s *Store) maintainKeys(ctx context.Context) error {
	for !s.closed() {
		var err error
		switch removed, present := s.counts(); {
		case s.keys.Len() >= mergeAt:
			err = s.mergeKeys(ctx)
		case s.keys.Due(removed, present):
			err = s.sweepKeys(ctx)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// counts returns how many events were ever removed from the log, and how many it has.
func (s *Store) counts() (removed, present int64) {
	present = s.present.Load()
	return int64(s.last()) - present, present
}

// sweepKeys deletes the entries of trimmed events from the index of keys. Merges that
// become necessary take precedence.
func (s *Store) sweepKeys(ctx context.Context) error {
	const doing = "sweep the index of keys"
	removed, _ := s.counts()
	sw, p := s.keys.Sweep(removed), &s.sweep
	for more := true; more; {
		n := p.step
		err := s.paced(ctx, doing, p, func(g *group) (err error) {
			var changed bool
			more, changed, err = sw.Step(g.bind, n, g.trimmedTo())
			g.changed = g.changed || changed
			return err
		})
		if err == nil && more {
			err = s.pause(ctx, doing, p)
		}
		if err == nil && s.keys.Len() >= mergeAt {
			err = s.mergeKeys(ctx)
		}
		if err != nil {
			return err
		}
	}
	sw.Done()
	return nil
}

// mergeKeys merges the keys that are in memory into the file. Publishers that are faster
// than its pace would fill the memory: beyond mergeUrgent keys it does not pause.
func (s *Store) mergeKeys(ctx context.Context) error {
	const doing = "index the keys of the log"
	m, p := s.keys.Merge(s.last()), &s.merge
	for more := true; more; {
		urgent := s.keys.Len() > s.urgent
		n := p.step
		if urgent {
			n = mergeStep
		}
		err := s.paced(ctx, doing, p, func(g *group) (err error) {
			g.changed = true
			more, err = m.Step(g.bind, n)
			return err
		})
		if err == nil && more && !urgent {
			err = s.pause(ctx, doing, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
