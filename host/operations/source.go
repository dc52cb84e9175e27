package operations

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const (
	readBatch = 256 // events read at once
	// maxExamined and maxCounting bound the counting of matching events.
	maxExamined = 1_000_000
	maxCounting = 5 * time.Second
	// maxDead bounds the dead letters of one redrive, whose Seqs are kept in memory.
	maxDead   = 1_000_000
	maxSample = 10
)

// batch is a part of the events that were examined, in the order of the log.
type batch struct {
	seqs     []uint64 // that match, ascending
	ids      []string // of the first ones of them
	examined int
	upTo     uint64 // all up to this Seq are examined
	last     bool   // there are no more
}

func (b *batch) add(rec event.Record) {
	b.seqs = append(b.seqs, rec.Seq)
	if len(b.ids) < maxSample {
		b.ids = append(b.ids, rec.Event.ID())
	}
}

// source returns the function that finds the next batch of the events of an operation after a
// Seq.
func (r *Runner) source(o *operation) func(ctx context.Context, after uint64) (batch, error) {
	switch o.Kind {
	case Replay:
		return func(ctx context.Context, after uint64) (batch, error) { return r.readLog(ctx, o, after) }
	case Retry:
		return func(ctx context.Context, after uint64) (batch, error) { return r.readRetrying(ctx, o, after) }
	}
	var dead batch // of all, from the first call on
	return func(ctx context.Context, after uint64) (batch, error) {
		if !dead.last {
			var err error
			if dead, err = r.readDead(ctx, o, after); err != nil {
				return batch{}, err
			}
		}
		n, _ := slices.BinarySearch(dead.seqs, after+1)
		part := batch{seqs: dead.seqs[n:min(n+maxChunk, len(dead.seqs))], upTo: o.to, last: n+maxChunk >= len(dead.seqs),
			examined: dead.examined, ids: dead.ids}
		dead.examined, dead.ids = 0, nil // they are reported once
		if !part.last {
			part.upTo = part.seqs[len(part.seqs)-1]
		}
		return part, nil
	}
}

// readLog finds events of the log that the handler takes.
func (r *Runner) readLog(ctx context.Context, o *operation, after uint64) (batch, error) {
	records, err := r.cfg.Log.Read(ctx, max(after+1, o.from), readBatch)
	if err != nil {
		return batch{}, err
	}
	b := batch{upTo: o.to, last: len(records) == 0}
	for _, rec := range records {
		if rec.Seq > o.to {
			b.last = true
			break
		}
		b.examined++
		b.upTo = rec.Seq
		if o.matches(rec.Event) {
			b.add(rec)
		}
	}
	if b.last {
		b.upTo = o.to
	}
	return b, nil
}

// readRetrying finds deliveries that wait for another attempt.
func (r *Runner) readRetrying(ctx context.Context, o *operation, after uint64) (batch, error) {
	list, err := r.cfg.Deliveries.Retrying(ctx, o.Plugin, max(after, o.from-1), readBatch)
	if err != nil {
		return batch{}, err
	}
	b := batch{upTo: o.to, last: len(list) == 0}
	for _, d := range list {
		if d.Seq > o.to {
			b.last = true
			break
		}
		b.examined++
		b.upTo = d.Seq
		if !r.failedSo(o, d) {
			continue
		}
		records, err := r.cfg.Log.Read(ctx, d.Seq, 1)
		switch {
		case err != nil:
			return batch{}, err
		case len(records) == 0 || records[0].Seq != d.Seq: // it was trimmed
		case o.matches(records[0].Event):
			b.add(records[0])
		}
	}
	if b.last {
		b.upTo = o.to
	}
	return b, nil
}

// readDead finds all dead letters after a Seq. The store lists the newest first, and they are
// redriven in the order of the log.
func (r *Runner) readDead(ctx context.Context, o *operation, after uint64) (batch, error) {
	b := batch{last: true}
	f := event.DeadFilter{Handler: o.Plugin, Subject: o.Filter.Subject, Class: event.Class(o.Filter.Class)}
	var ids []string // of the oldest ones so far, newest first
	for cursor := (event.DeadPosition{Seq: o.to + 1, Handler: ""}).String(); ; {
		list, next, err := r.cfg.Deliveries.DeadLetters(ctx, f, cursor, readBatch)
		if err != nil {
			return batch{}, err
		}
		for _, d := range list {
			if d.Seq <= after || d.Seq < o.from {
				next = ""
				break
			}
			b.examined++
			if !r.failedSo(o, d.Delivery) || !o.matches(d.Event) {
				continue
			}
			b.seqs = append(b.seqs, d.Seq)
			if ids = append(ids, d.Event.ID()); len(ids) > maxSample {
				ids = ids[1:]
			}
		}
		if len(b.seqs) > maxDead {
			return batch{}, fault.New(fault.Exhausted, "more than %d dead letters match: redrive a part of them, with from and to", maxDead)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	slices.Reverse(b.seqs)
	b.seqs = slices.Compact(b.seqs) // one event can be a dead letter of a present and of an earlier shard
	slices.Reverse(ids)
	b.ids = ids
	return b, nil
}

// failedSo reports whether the last error of a delivery is one that the filter selects.
func (r *Runner) failedSo(o *operation, d event.Delivery) bool {
	f := o.Filter
	return (f.Class == "" || f.Class == string(d.ErrorClass)) &&
		(f.Issue == "" || f.Issue == r.cfg.IssueOf(d.Handler, d.ErrorClass, d.ErrorMessage))
}

// count counts the events of an operation.
func (r *Runner) count(ctx context.Context, o *operation) (wire.OperationPreview, error) {
	p := wire.OperationPreview{Sample: []string{}}
	limited, cancel := context.WithTimeout(ctx, maxCounting)
	defer cancel()
	next := r.source(o)
	for after := o.position(); ; {
		b, err := next(limited, after)
		if err != nil {
			if errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
				return p, nil
			}
			return p, err
		}
		p.Matches += uint64(len(b.seqs))
		p.Examined += uint64(b.examined)
		p.Sample = append(p.Sample, b.ids[:min(len(b.ids), maxSample-len(p.Sample))]...)
		after = b.upTo
		if b.last {
			p.Exact = true
			return p, nil
		}
		if p.Examined >= maxExamined {
			return p, nil
		}
	}
}
