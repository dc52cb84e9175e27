// Package plan predicts what another configuration would do: it gives events of the log to the
// present and to the new one, and compares. It delivers nothing and stores nothing.
//
// Read plan.go first; sample.go selects the events, and tally.go counts what a handler gets.
package plan

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// Bounds of a plan.
const (
	StandardEvents = 10_000
	MaxEvents      = 100_000
	maxSamples     = 5 // events that a list has
)

// Log is the part of the log that a plan reads.
type Log interface {
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// SeqAt returns the Seq of the first event appended at or after t, Last()+1 for none.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	Last() uint64
}

// Side is one configuration.
type Side struct {
	Handlers map[string]Handler // by name; those whose manifest is known
	// Refuse returns why the schema of its type refuses an event, or nil. Nil refuses none.
	Refuse func(*event.Event) error
}

// Handler is one handler under a configuration.
type Handler struct {
	// Takes reports whether the handler gets an event. An error is a condition that cannot be
	// evaluated: it does not.
	Takes       func(*event.Event) (bool, error)
	OrderBy     string // JSON Pointer into the envelope; "" for no order
	Concurrency int
	Waits       string   // "disabled" or "paused": its events wait; "" if it runs
	Batch       int      // events of one call, at most; 0 and 1 are one at a time
	Missing     []string // capabilities that it requests and is not granted
}

// Config is what a plan is made of. Log, Present, Next and Mean are required.
type Config struct {
	Log           Log
	Present, Next Side
	Since, Until  time.Time // the events appended between them, Until not included
	MaxEvents     int       // at most this many are examined; 0 is StandardEvents
	// Mean returns the mean duration of a handler's attempts, and false when none was measured.
	Mean func(handler string) (time.Duration, bool)
	// Expired ends the examination when it is closed. What was examined until then counts.
	Expired <-chan struct{}
}

// Make makes a plan. It examines a sample of the log if there are more than MaxEvents events,
// spread evenly over the time. The error is the log's or the context's.
func Make(ctx context.Context, cfg Config) (wire.ConfigPlan, error) {
	p := &planner{cfg: cfg, tallies: make(map[string]*tally), plan: wire.ConfigPlan{From: cfg.Since, To: cfg.Until,
		Handlers: []wire.PlannedHandler{}, Unknown: []wire.PlannedUnknown{}}}
	for _, side := range []Side{cfg.Present, cfg.Next} {
		for name := range side.Handlers {
			p.tallies[name] = newTally(cfg.Present.Handlers, cfg.Next.Handlers, name)
		}
	}
	first, err := cfg.Log.SeqAt(ctx, cfg.Since)
	if err != nil {
		return wire.ConfigPlan{}, err
	}
	end, err := cfg.Log.SeqAt(ctx, cfg.Until)
	if err != nil {
		return wire.ConfigPlan{}, err
	}
	// Of the part before the first event in the log nothing is known.
	if records, err := cfg.Log.Read(ctx, first, 1); err == nil && len(records) > 0 && records[0].Seq < end {
		first = records[0].Seq
		if began := records[0].Event.Metadata().Time; began.After(cfg.Since) && began.Before(cfg.Until) {
			p.plan.From = began
		}
	}
	p.plan.Events = end - min(first, end)
	if err := p.examine(ctx, blocksOf(first, end, cmp.Or(cfg.MaxEvents, StandardEvents))); err != nil {
		return wire.ConfigPlan{}, err
	}
	if p.plan.Limit == "" && p.plan.Examined < p.plan.Events {
		p.plan.Limit = "events"
	}
	p.summarize()
	return p.plan, nil
}

// planner makes one plan.
type planner struct {
	cfg          Config
	tallies      map[string]*tally
	refused, now uint64 // by schemas: of the new and of the present configuration
	refusals     samples
	plan         wire.ConfigPlan
}

// note examines one event.
func (p *planner) note(rec event.Record) {
	for _, t := range p.tallies {
		t.note(rec)
	}
	if p.cfg.Present.Refuse != nil && p.cfg.Present.Refuse(rec.Event) != nil {
		p.now++
	}
	if p.cfg.Next.Refuse == nil {
		return
	}
	if err := p.cfg.Next.Refuse(rec.Event); err != nil {
		p.refused++
		p.refusals.add(rec, err.Error())
	}
}

// summarize fills in the plan.
func (p *planner) summarize() {
	p.plan.Refused = wire.PlannedRefusals{Count: p.refused, Now: p.now, Events: p.refusals.list()}
	p.plan.Differs = p.refused > p.now
	weight := 0.0 // events of the log for each examined one
	if readable := p.plan.Examined - p.plan.Unreadable; readable > 0 {
		weight = float64(p.plan.Events) / float64(p.plan.Examined) / max(1, p.plan.To.Sub(p.plan.From).Seconds())
	}
	for name, t := range p.tallies {
		h := t.handler(name)
		if next, present := p.cfg.Next.Handlers[name]; present {
			h.Backlog = p.backlog(name, next, float64(h.WouldTake)*weight)
		}
		p.plan.Differs = p.plan.Differs || differs(h)
		p.plan.Handlers = append(p.plan.Handlers, h)
	}
	slices.SortFunc(p.plan.Handlers, func(a, b wire.PlannedHandler) int {
		rank := func(h wire.PlannedHandler) int { return map[bool]int{true: 0, false: 1}[differs(h)] }
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Plugin, b.Plugin))
	})
}

// differs reports whether a handler gets other events, or gets them otherwise.
func differs(h wire.PlannedHandler) bool {
	return h.Change != "" || h.Gained > 0 || h.Lost > 0 || h.OrderChanged || h.BatchChanged || len(h.LostGrants) > 0 || h.Failed.Count > h.Failed.Now
}

// backlog predicts whether a handler keeps up with a rate of events.
func (p *planner) backlog(name string, h Handler, rate float64) *wire.PlannedBacklog {
	b := &wire.PlannedBacklog{EventsPerS: rate, Concurrency: h.Concurrency}
	mean, known := p.cfg.Mean(name)
	switch {
	case h.Waits != "":
		b.GrowthPerS = &rate
	case known && h.Concurrency > 0:
		b.MeanMS = new(float64(mean) / float64(time.Millisecond))
		b.Utilisation = new(rate * mean.Seconds() / float64(h.Concurrency))
		growth := 0.0
		if *b.Utilisation > 1 {
			growth = rate * (1 - 1 / *b.Utilisation)
		}
		b.GrowthPerS = &growth
	}
	return b
}
