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
)

const (
	mergeAt     = 16 << 10  // keys in memory from which on they are merged into the file
	mergeUrgent = 128 << 10 // keys in memory from which on merges do not pause
	mergeStep   = 2048      // merged by one group at most
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
	for _, seq := range g.s.keys.Recent(in.keys[0].Hash, candidates) {
		if i, found := slices.BinarySearchFunc(g.records, seq, func(rec event.Record, seq uint64) int {
			return cmp.Compare(rec.Seq, seq)
		}); found { // of this group
			if ev := g.records[i].Event; ev.Metadata().IdempotencyKey == in.key {
				return repeated(g.records[i], in.ev), true, nil
			}
			continue
		}
		var envelope string
		err := g.queryRow(g.s.write.findKey, int64(seq), in.key).Scan(&envelope)
		if errors.Is(err, sql.ErrNoRows) {
			continue // another key of this hash, or a trimmed event
		}
		if err != nil {
			return r, false, err
		}
		first, err := event.Parse(envelope)
		if err != nil { // this event is damaged; the other writes of the group are not
			return event.Receipt{Seq: seq, IdempotencyKey: in.key, Err: fmt.Errorf("event %d: %w", seq, err)}, true, nil
		}
		return repeated(event.Record{Seq: seq, Event: first}, in.ev), true, nil
	}
	return r, false, nil
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

// runMerger merges keys into the file until Close.
func (s *Store) runMerger() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	failing := false
	for {
		for s.keys.Len() >= mergeAt && !s.closed() {
			err := s.mergeKeys(context.Background())
			if err != nil && !failing && !s.closed() {
				s.log.Warn("keys of new events remain in memory: their index cannot be written", "keys", s.keys.Len(), "error", err)
			}
			if failing = err != nil; failing {
				break // another attempt follows a second later
			}
		}
		select {
		case <-tick.C:
		case <-s.closing:
			return
		}
	}
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
