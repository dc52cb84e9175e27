package store

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
)

// size is the size of the log. The file has the same in log_size, changed in the
// transactions that change the log.
// scheduled counts cancelled events as well, waiting has the bytes of the others.
type size struct{ events, bytes, scheduled, waiting int64 }

// SetMaxBytes changes Config.MaxBytes. Events that are stored already remain.
func (s *Store) SetMaxBytes(bytes int64) { s.max.Store(bytes) }

// admit checks whether publishers may append so many bytes more.
func (g *group) admit(bytes int64) error {
	limit := g.s.max.Load()
	if used := g.s.size.bytes + g.added + g.deferred; limit > 0 && bytes > 0 && used+bytes > limit {
		return event.LogFull(used, limit)
	}
	return nil
}

// account counts the write, and the events it appends. A group that changed nothing is
// no write, and its commit needs no flush.
func (g *group) account() error {
	g.size, g.writes = g.s.size, g.s.writes
	if !g.changed {
		return nil
	}
	if err := g.summarize(); err != nil {
		return err
	}
	n := int64(len(g.records))
	if _, err := g.exec(g.s.write.addSize, n, g.added); err != nil {
		return err
	}
	g.size.events, g.size.bytes, g.writes = g.size.events+n, g.size.bytes+g.added, g.writes+1
	if g.removed {
		return g.queryRow(g.s.write.size).Scan(&g.size.events, &g.size.bytes, &g.size.scheduled, &g.size.waiting)
	}
	return nil
}

// mark and reset undo the effects of a rolled back savepoint on the group.
func (g *group) mark() group {
	return group{seq: g.seq, added: g.added, deferred: g.deferred, records: g.records, keys: g.keys}
}

func (g *group) reset(to group) {
	g.s.keys.Undo(g.keys[len(to.keys):])
	g.seq, g.added, g.deferred, g.records, g.keys = to.seq, to.added, to.deferred, to.records, to.keys
}

// Status returns the size of the log.
func (s *Store) Status(ctx context.Context) (event.LogStatus, error) {
	const doing = "read the log's size"
	st := event.LogStatus{MaxBytes: s.max.Load()}
	var first, last, at int64
	if err := s.read.status.QueryRowContext(ctx).Scan(&st.Events, &st.Bytes, &st.Scheduled, &st.ScheduledBytes, &last, &first, &at); err != nil {
		return event.LogStatus{}, s.coded(doing, err)
	}
	st.FirstSeq, st.LastSeq = uint64(first), uint64(last)
	if first > 0 {
		st.OldestAt = time.Unix(0, at).UTC()
	}
	return st, nil
}

// Cursors returns every cursor, by name.
func (s *Store) Cursors(ctx context.Context) ([]event.Cursor, error) {
	var list []event.Cursor
	var name string
	var seq int64
	rows, err := s.read.cursors.QueryContext(ctx)
	err = datafile.Each(rows, err, func() { list = append(list, event.Cursor{Name: name, Seq: uint64(seq)}) }, &name, &seq)
	return list, s.coded("list the cursors", err)
}

// summarize adds the topics of the group's events, and stores those of the blocks that
// are complete.
func (g *group) summarize() error {
	t := &g.s.topics
	for _, rec := range g.records {
		if at := int64(rec.Seq >> logread.BlockBits); at != t.Block {
			if t.Complete() {
				if _, err := g.exec(g.s.write.setBlock, t.Block, t.Encoded()); err != nil {
					return err
				}
			}
			t.Reset(at)
		}
		t.Add(string(rec.Event.Type()), rec.Event.Subject())
	}
	return nil
}
