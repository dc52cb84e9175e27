package search

import (
	"context"
	"slices"

	"github.com/berth-host/berth/host/event"
)

const (
	chunkBytes  = 2 << 20 // bytes of events read at a time, about
	maxChunk    = 256     // events read at a time
	deadPage    = 16      // dead letters read at a time, each with its event
	maxRetrying = 1 << 16 // deliveries of one request that are sorted
)

// records returns the next event, newest first; false at the end.
type records func(ctx context.Context) (event.Record, bool, error)

// candidates returns the events from first to before, before excluded, that the filter may
// select.
func (s *Searcher) candidates(ctx context.Context, f *Filter, first, before uint64) (records, error) {
	if !f.hasFailed() || f.Key != "" {
		return s.scan(f, first, before), nil
	}
	var list []seqs
	if f.Status != event.StatusRetrying {
		list = append(list, s.dead(f, before))
	}
	if f.Status != event.StatusDead {
		retrying, all, err := s.retrying(ctx, f, first, before)
		if err != nil {
			return nil, err
		}
		if !all {
			return s.scan(f, first, before), nil
		}
		list = append(list, retrying)
	}
	return s.read(merged(list), first), nil
}

// chunk adapts the number of events that are read at once to their size: events differ by a
// factor of a thousand.
type chunk struct{ bytes, events int }

func (c *chunk) add(rec event.Record) {
	c.bytes += len(rec.Event.Envelope())
	c.events++
}

func (c *chunk) next() int {
	if c.events == 0 {
		return chunkBytes / event.MaxSize
	}
	return max(1, min(maxChunk, chunkBytes/max(1, c.bytes/c.events)))
}

// scan reads the log from the newest event back.
func (s *Searcher) scan(f *Filter, first, before uint64) records {
	q := event.Query{Type: f.Type, Subject: f.Subject, Key: f.Key, Before: before}
	var size chunk
	var buffered []event.Record
	end := false
	return func(ctx context.Context) (event.Record, bool, error) {
		if len(buffered) == 0 && !end {
			q.Limit = size.next()
			var err error
			if buffered, err = s.Log.Events(ctx, q); err != nil {
				return event.Record{}, false, err
			}
			end = len(buffered) < q.Limit
		}
		if len(buffered) == 0 || buffered[0].Seq < first {
			return event.Record{}, false, nil
		}
		rec := buffered[0]
		buffered = buffered[1:]
		size.add(rec)
		q.Before = rec.Seq
		return rec, true, nil
	}
}

// seqs returns the next Seq, descending; false at the end.
type seqs func(ctx context.Context) (uint64, bool, error)

// read returns the events at these Seqs. It skips those that have left the log.
func (s *Searcher) read(next seqs, first uint64) records {
	return func(ctx context.Context) (event.Record, bool, error) {
		for {
			seq, found, err := next(ctx)
			if err != nil || !found || seq < first {
				return event.Record{}, false, err
			}
			list, err := s.Log.Events(ctx, event.Query{Before: seq + 1, Limit: 1})
			if err != nil {
				return event.Record{}, false, err
			}
			if len(list) == 1 && list[0].Seq == seq {
				return list[0], true, nil
			}
		}
	}
}

// dead returns the Seqs of dead letters below a Seq, 0 for all.
func (s *Searcher) dead(f *Filter, before uint64) seqs {
	find := event.DeadFilter{Handler: f.Handler, Type: string(f.Type), Subject: f.Subject, Class: f.Class}
	cursor := event.DeadPosition{Seq: before}.String()
	var buffered []uint64
	end := false
	return func(ctx context.Context) (uint64, bool, error) {
		if len(buffered) == 0 && !end {
			list, next, err := s.DeadLetters.DeadLetters(ctx, find, cursor, deadPage)
			if err != nil {
				return 0, false, err
			}
			for _, l := range list {
				buffered = append(buffered, l.Seq)
			}
			cursor, end = next, next == ""
		}
		if len(buffered) == 0 {
			return 0, false, nil
		}
		seq := buffered[0]
		buffered = buffered[1:]
		return seq, true, nil
	}
}

// retrying returns the Seqs from first to before of deliveries that wait for a retry; false
// in all when there are too many to sort.
func (s *Searcher) retrying(ctx context.Context, f *Filter, first, before uint64) (next seqs, all bool, err error) {
	handlers := []string{f.Handler}
	if f.Handler == "" {
		handlers = s.Handlers()
	}
	var found []uint64
	for _, handler := range handlers {
		for after := first - 1; ; {
			list, err := s.Retries.Retrying(ctx, handler, after, maxRetrying)
			if err != nil {
				return nil, false, err
			}
			for _, d := range list {
				if before == 0 || d.Seq < before {
					found = append(found, d.Seq)
				}
				after = d.Seq
			}
			if len(found) > maxRetrying {
				return nil, false, nil
			}
			if len(list) < maxRetrying || before != 0 && after >= before { // a call looks at all of the handler
				break
			}
		}
	}
	slices.Sort(found)
	return func(context.Context) (uint64, bool, error) {
		if len(found) == 0 {
			return 0, false, nil
		}
		seq := found[len(found)-1]
		found = found[:len(found)-1]
		return seq, true, nil
	}, true, nil
}

// merged returns the Seqs of all of these lists, descending, each once.
func merged(list []seqs) seqs {
	type head struct {
		seq   uint64
		next  seqs
		begun bool
	}
	heads := make([]*head, len(list))
	for i, next := range list {
		heads[i] = &head{next: next}
	}
	last := uint64(0)
	return func(ctx context.Context) (uint64, bool, error) {
		var highest *head
		for i := 0; i < len(heads); {
			h := heads[i]
			for !h.begun || last != 0 && h.seq >= last {
				seq, found, err := h.next(ctx)
				if err != nil {
					return 0, false, err
				}
				if !found {
					heads = slices.Delete(heads, i, i+1)
					h = nil
					break
				}
				h.seq, h.begun = seq, true
			}
			if h == nil {
				continue
			}
			if highest == nil || h.seq > highest.seq {
				highest = h
			}
			i++
		}
		if highest == nil {
			return 0, false, nil
		}
		last = highest.seq
		return last, true, nil
	}
}
