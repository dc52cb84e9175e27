package pglog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// call is one Append.
type call struct {
	events   []*event.Event
	size     int64
	fence    spec.Fence
	fenced   bool
	receipts []event.Receipt
	repeats  map[int]keyed // of the events whose keys were taken, by their index
	err      error
}

// resolved returns the receipts. It compares the content of repeated events, which can take
// long: the caller does it, after the transaction.
func (c *call) resolved() []event.Receipt {
	for i, by := range c.repeats {
		c.receipts[i] = by.receipt(c.events[i])
	}
	return c.receipts
}

// Append implements bus.Log. The events of concurrent calls are appended in one transaction.
func (l *Log) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	const doing = "append events"
	if err := l.usable(ctx, doing); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, nil
	}
	c := &call{events: events}
	for i, ev := range events {
		if ev == nil {
			return nil, fault.New(fault.Invalid, "%s: event %d of %d is nil", doing, i+1, len(events))
		}
		c.size += ev.Size()
	}
	c.fence, c.fenced = spec.FenceOf(ctx)
	if err := l.appends.Do(ctx, c); err != nil {
		return nil, conn.Coded(doing, err)
	}
	if c.err != nil {
		return nil, c.err
	}
	return c.resolved(), nil
}

// appendGroup appends the events of the calls in one transaction and sets their results.
func (l *Log) appendGroup(group []*call) {
	var g *fast
	var err error
	if !l.repeats {
		g, err = l.appendNew(group)
	}
	if g != nil && err == nil {
		l.advance(g.base, g.records)
	}
	if g == nil && err == nil {
		if err = l.appendAny(group); err == nil {
			l.CatchUp(context.Background())
		}
	}
	if err != nil {
		for _, c := range group {
			c.receipts, c.err = nil, err
		}
		return
	}
	l.db.Notify(topic)
}

// appendEvents appends events of which no key is taken, in one statement, which is its own
// transaction: the row head is locked by its change, and the statement inserts with the values
// of the changed row. When a key is taken, it fails with repeated. It returns no row, and
// changes nothing, when the log would be too large, or when there are scheduled events and the
// keys must be compared with theirs.
const appendEvents = `WITH h AS (
		UPDATE head SET seq = seq + $9::bigint, events = events + $9::bigint, bytes = bytes + $1::bigint, at = greatest(at, $2::bigint)
		WHERE ($10::bigint = 0 OR bytes + $1::bigint <= $10::bigint) AND ($11::boolean OR scheduled + cancelled = 0)
		RETURNING seq - $9::bigint AS base, at),
	added AS (
		INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope, origin)
		SELECT h.base + e.n, e.id, e.key, e.type, e.subject, h.at, e.envelope, e.origin FROM h, ` + unnested + `
		ON CONFLICT (idempotency_key) DO NOTHING RETURNING 1),
	result AS (SELECT (SELECT count(*) FROM added) = $9::bigint AS all_added)
	SELECT base / CASE WHEN all_added THEN 1 ELSE 0 END FROM h, result`

// repeated is the SQLSTATE of a division by zero, by which appendEvents undoes itself.
const repeated = "22012"

// fast is a group of new events.
type fast struct {
	base    uint64
	records []event.Record
}

// appendNew appends the events of a group that are all due now, if none of their keys is taken.
// It returns nil when that is not so; then it has changed nothing.
func (l *Log) appendNew(group []*call) (*fast, error) {
	var cols columns
	var size int64
	var events []*event.Event
	seen := make(map[string]bool)
	named := false
	for _, c := range group {
		size += c.size
		if c.fenced {
			return nil, nil
		}
		for _, ev := range c.events {
			key := ev.Metadata().IdempotencyKey
			if !ev.Deferral().IsZero() || seen[key] {
				return nil, nil
			}
			seen[key] = true
			named = named || key != ev.ID()
			cols.add(ev)
			events = append(events, ev)
		}
	}
	g := &fast{}
	var base int64
	args := append(cols.values(size, l.now().UnixNano()), int64(len(events)), l.maxBytes.Load(), !named)
	err := l.db.WriteOne(context.Background(), "append events", appendEvents, args, []any{&base})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case conn.State(err) == repeated:
		l.repeats = true
		return nil, nil
	case err != nil:
		return nil, err
	}
	g.base = uint64(base)
	g.number(group, events)
	return g, nil
}

// number gives the events of a group their Seqs.
func (g *fast) number(group []*call, events []*event.Event) {
	g.records = make([]event.Record, len(events))
	for i, ev := range events {
		g.records[i] = event.Record{Seq: g.base + uint64(i) + 1, Event: ev.WithoutDeferral()}
	}
	i := 0
	for _, c := range group {
		c.receipts = make([]event.Receipt, len(c.events))
		for j, ev := range c.events {
			c.receipts[j] = event.Receipt{Seq: g.records[i].Seq, EventID: ev.ID(), IdempotencyKey: ev.Metadata().IdempotencyKey}
			i++
		}
	}
}

// appendAny appends any group: it locks the row head, looks at every key, and judges each call
// by itself.
func (l *Log) appendAny(group []*call) error {
	var all []*event.Event
	var fences []spec.Fence
	for _, c := range group {
		all = append(all, c.events...)
		if c.fenced {
			fences = append(fences, c.fence)
		}
	}
	repeats := false
	err := l.db.Write(context.Background(), "append events", func(ctx context.Context, tx pgx.Tx) error {
		repeats = false
		stale, err := conn.Stale(ctx, tx, fences)
		if err != nil {
			return err
		}
		h, err := LockHead(ctx, tx)
		if err != nil {
			return err
		}
		h.Now = l.now()
		known, err := find(ctx, tx, all)
		if err != nil {
			return err
		}
		repeats = len(known) > 0
		// New events are inserted at once, after the Seqs of all are known.
		p := plan{head: h, known: known, seq: h.Seq, bytes: h.Bytes, later: h.ScheduledBytes, limit: l.maxBytes.Load()}
		for _, c := range group {
			c.receipts, c.repeats, c.err = nil, nil, nil
			if c.fenced && isStale(stale, c.fence) {
				c.err = fmt.Errorf("append events: %w", l.db.Refuse(c.fence))
				continue
			}
			c.receipts, c.err = p.take(c)
		}
		_, err = Insert(ctx, tx, h, p.events)
		return err
	})
	l.repeats = repeats
	return err
}

func isStale(stale []spec.Fence, f spec.Fence) bool {
	for _, s := range stale {
		if s == f {
			return true
		}
	}
	return false
}

// plan collects the new events of a group in the order in which Insert numbers them.
type plan struct {
	head   *Head
	known  map[string]keyed
	seq    uint64
	bytes  int64
	later  int64 // bytes of the events that are not due yet
	limit  int64
	events []*event.Event
}

func (p *plan) take(c *call) ([]event.Receipt, error) {
	if p.limit > 0 && p.bytes+c.size > p.limit {
		return nil, fmt.Errorf("append events: %w", event.LogFull(p.bytes, p.limit))
	}
	receipts := make([]event.Receipt, len(c.events))
	for i, ev := range c.events {
		m := ev.Metadata()
		if by, found := p.known[m.IdempotencyKey]; found {
			if c.repeats == nil {
				c.repeats = make(map[int]keyed)
			}
			c.repeats[i] = by
			continue
		}
		receipts[i] = event.Receipt{EventID: m.EventID, IdempotencyKey: m.IdempotencyKey}
		first := keyed{record: event.Record{Event: ev}}
		if due := dueAt(ev, p.head.Now); !due.IsZero() {
			if err := event.FitScheduled(p.later, ev.Size(), p.limit); err != nil {
				receipts[i] = event.Receipt{IdempotencyKey: m.IdempotencyKey, Err: err}
				continue
			}
			p.later += ev.Size()
			due = timeOf(due.UnixNano())
			receipts[i].Due, first.later = due, &event.Scheduled{Event: ev.WithoutDeferral(), Due: due, Accepted: p.head.Now}
		} else {
			p.seq++
			receipts[i].Seq, first.record.Seq = p.seq, p.seq
		}
		p.known[m.IdempotencyKey] = first
		p.bytes += ev.Size()
		p.events = append(p.events, ev)
	}
	return receipts, nil
}
