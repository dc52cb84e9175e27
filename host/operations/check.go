package operations

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// check checks a request, and returns the operation without an id.
func (r *Runner) check(ctx context.Context, in wire.NewOperation) (*operation, error) {
	f := in.Filter
	switch n := utf8.RuneCountInString(in.Name); {
	case !slices.Contains(Kinds(), in.Kind):
		return nil, fault.Field("kind", "is %s; it must be replay, redrive or retry", fault.Quote(in.Kind))
	case in.Plugin == "":
		return nil, fault.Field("plugin", "is required: the plugin that gets the events")
	case n > MaxName:
		return nil, fault.Field("name", "has %d characters; at most %d are allowed", n, MaxName)
	case in.Rate < 0 || in.Rate > MaxRate:
		return nil, fault.Field("rate", "is %d; it must be 0, for no bound, to %d events a second", in.Rate, MaxRate)
	case len(f.Subject) > event.MaxText:
		return nil, fault.Field("filter.subject", "is %d bytes; that of an event has at most %d", len(f.Subject), event.MaxText)
	case in.Kind == Replay && f.Class != "":
		return nil, fault.Field("filter.class", "does not apply to a replay, which also gives events that succeeded: use a redrive or a retry")
	case in.Kind == Replay && f.Issue != "":
		return nil, fault.Field("filter.issue", "does not apply to a replay: use a redrive or a retry, or a replay from the issue's first_seen on")
	case in.Kind == Replay && f.From == "":
		return nil, fault.Field("filter.from", `is required for a replay: a time (2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq `+
			`(1042) or "earliest"`)
	}
	if f.Class != "" {
		if classes := event.FailureClasses(); !slices.Contains(classes, f.Class) {
			return nil, fault.Field("filter.class", "%s is not a class of error; there are %s", fault.Quote(f.Class), strings.Join(classes, ", "))
		}
	}
	o := &operation{Operation: wire.Operation{Kind: in.Kind, Name: in.Name, Plugin: in.Plugin, Filter: f, Rate: in.Rate}}
	o.whole = in.Kind == Replay && in.Rate == 0 && f.EventType == "" && f.Subject == "" && f.When == ""
	if err := r.checkNames(ctx, in); err != nil {
		return nil, err
	}
	var err error
	if err = r.compile(o); err != nil {
		return nil, err
	}
	o.from, o.to, err = r.seqRange(ctx, in.Kind, f)
	return o, err
}

// checkNames checks that the plugin and the issue are there.
func (r *Runner) checkNames(ctx context.Context, in wire.NewOperation) error {
	positions, err := r.positions(ctx, in.Plugin)
	if err != nil {
		return err
	}
	if len(positions) == 0 {
		return fault.New(fault.NotFound, "the plugin %s has no position in the log: it has never run", fault.Quote(in.Plugin))
	}
	if in.Filter.Issue == "" {
		return nil
	}
	issue, err := r.cfg.Issue(in.Filter.Issue)
	if err != nil {
		return err
	}
	if issue.Handler != in.Plugin {
		return fault.Field("filter.issue", "the issue %s is one of the plugin %s", issue.ID, issue.Handler)
	}
	return nil
}

// compile compiles the part of an operation's filter that is about the event, and for a replay
// what its handler takes.
func (r *Runner) compile(o *operation) (err error) {
	f := o.Filter
	selected := func(*event.Event) bool { return true }
	if f.EventType != "" || f.When != "" {
		if selected, err = r.cfg.Compile(f.EventType, f.When); err != nil {
			return inFilter(err)
		}
	}
	takes := func(*event.Event) bool { return true }
	if o.Kind == Replay {
		if takes, err = r.cfg.Filter(o.Plugin); err != nil {
			return err
		}
	}
	o.matches = func(ev *event.Event) bool {
		return (f.Subject == "" || f.Subject == ev.Subject()) && selected(ev) && takes(ev)
	}
	return nil
}

// seqRange returns the Seqs of a filter, both ends included. An event at an end that is a time
// is excluded.
func (r *Runner) seqRange(ctx context.Context, kind string, f wire.OperationFilter) (first, last uint64, err error) {
	first, last = 1, r.cfg.Log.Last()
	now := r.cfg.Now()
	if f.From != "" {
		p, err := event.ParsePosition(f.From)
		if err != nil {
			return 0, 0, inField("filter.from", err)
		}
		first = max(p.Seq, 1)
		if t, ok := p.When(now); ok {
			if first, err = r.cfg.Log.SeqAt(ctx, t); err != nil {
				return 0, 0, err
			}
		}
	}
	if f.To != "" {
		p, err := event.ParsePosition(f.To)
		switch t, ok := p.When(now); {
		case err != nil:
			return 0, 0, inField("filter.to", err)
		case p.Earliest:
			return 0, 0, fault.Field("filter.to", `cannot be "earliest"; leave it out for all there is until now`)
		case ok:
			after, err := r.cfg.Log.SeqAt(ctx, t)
			if err != nil {
				return 0, 0, err
			}
			last = min(last, max(after, 1)-1)
		default:
			last = min(last, p.Seq)
		}
	}
	switch {
	case first <= last || kind != Replay && f.From == "" && f.To == "":
		return first, last, nil
	case first > r.cfg.Log.Last():
		return 0, 0, fault.Field("filter.from", "the log has nothing from there on; its last event is %d", r.cfg.Log.Last())
	}
	return 0, 0, fault.Field("filter.to", "the log has nothing between from and there")
}
