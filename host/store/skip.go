package store

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// maxSkip is the maximum number of Seqs that one call skips.
const maxSkip = 100_000

// Skip makes readers pass over unreadable events from one Seq to another, both
// included, as long as they cannot be read. For every handler that has not had such an
// event, or has it open, it records a dead delivery, which cannot be redriven. It is
// durable when it returns.
//
// fault.Conflict: one of the events can be read. fault.NotFound: none of them is in
// the log. fault.Invalid: the range is empty, or has more than 100,000 Seqs. Skipping
// a range again changes nothing.
func (s *Store) Skip(ctx context.Context, from, to uint64) (event.Skipped, error) {
	const doing = "skip events"
	switch {
	case from < 1 || from > to:
		return event.Skipped{}, fault.Field("to", "is %d, but must be at least seq, %d, and seq at least 1", to, from)
	case to-from >= maxSkip:
		return event.Skipped{}, fault.Field("to", "is too far from seq: at most %d events are skipped at once", maxSkip)
	case s.closed():
		return event.Skipped{}, s.coded(doing, errClosed())
	case from > s.Last():
		return event.Skipped{}, fault.New(fault.NotFound, "the log ends at event %d", s.Last())
	}
	var bad []uint64
	for seq := from; seq <= min(to, s.Last()); seq++ {
		there, err := s.Has(ctx, seq)
		switch {
		case datafile.Damaged(err):
			bad = append(bad, seq)
		case err != nil:
			return event.Skipped{}, s.coded(doing, err)
		case there:
			return event.Skipped{}, fault.New(fault.Conflict, "event %d can be read: only events that cannot are skipped", seq)
		}
	}
	if len(bad) == 0 {
		return event.Skipped{}, fault.New(fault.NotFound, "there is no event from %d to %d that cannot be read", from, to)
	}
	done := event.Skipped{From: from, To: to}
	o := &op{events: len(bad), run: func(g *group) (err error) {
		done.Handlers, err = g.skip(from, to, bad, s.now())
		return err
	}}
	if err := s.submit(ctx, doing, o); err != nil {
		return event.Skipped{}, err
	}
	s.log.Warn("unreadable events skipped by an operator", "from_seq", from, "to_seq", to, "unreadable", len(bad), "handlers",
		done.Handlers)
	return done, nil
}

// skip records the range, and a dead delivery of each of its events for each handler
// that has not had it.
func (g *group) skip(from, to uint64, bad []uint64, now time.Time) (handlers []string, err error) {
	t := &g.s.write
	if _, err := g.exec(t.skip, datafile.Seq(from), datafile.Seq(to), now.UnixNano()); err != nil {
		return nil, err
	}
	rows, err := g.bind(t.handlersBefore).Query(datafile.Seq(bad[len(bad)-1]), datafile.Seq(from), datafile.Seq(to))
	var name string
	if err := datafile.Each(rows, err, func() { handlers = append(handlers, name) }, &name); err != nil {
		return nil, err
	}
	for _, seq := range bad { // without the event a dead letter cannot be shown or redriven
		if _, err := g.exec(t.purgeSeq, datafile.Seq(seq)); err != nil {
			return nil, err
		}
	}
	for _, name := range handlers {
		handled := make(map[uint64]bool)
		_, err := g.s.blocks.Times(context.Background(), g.tx, name, from-1, to, func(seq uint64, _ int64) { handled[seq] = true })
		if err != nil {
			return nil, err
		}
		for _, seq := range bad {
			if handled[seq] {
				continue
			}
			if _, err := g.exec(t.skipDelivery, name, datafile.Seq(seq), now.UnixNano(), handlerCursor(name)); err != nil {
				return nil, err
			}
		}
	}
	return handlers, nil
}
