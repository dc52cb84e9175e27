package remote

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Handlers are the handlers of this host; see delivery.Dispatcher.
type Handlers interface {
	IsOpen(handler string) bool
	Runs(handler string) bool
	Deliveries
}

// Deliveries are the actions on deliveries, on the host that runs the handler.
type Deliveries interface {
	Replay(ctx context.Context, handler string, from, to uint64) error
	Requeue(ctx context.Context, handler string, seqs []uint64) (int, error)
	RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error)
	SkipEvent(ctx context.Context, handler string, seq uint64) error
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	Purge(ctx context.Context, f event.DeadFilter) (int, error)

	// The following only read what is stored.
	Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) ([]event.DeadLetter, string, error)
}

// Actions are Deliveries on any host, where a handler is that of a plugin, with all of its shards, or a
// unit. It is safe for concurrent use.
type Actions struct {
	Deliveries
	way   Way
	here  Handlers
	units Units
	// dead counts the dead letters of each unit.
	dead func(context.Context) (map[string]uint64, error)
}

// NewActions returns the actions on the handlers of all hosts.
func NewActions(way Way, here Handlers, units Units, dead func(context.Context) (map[string]uint64, error)) *Actions {
	return &Actions{here, way, here, units, dead}
}

type span struct{ From, To uint64 }

// The names of the commands.
const (
	replay  = "replay"
	requeue = "requeue"
	retry   = "retry"
	skip    = "skip"
	redrive = "redrive"
	purge   = "purge"
	bury    = "purge-events"
)

// Methods are the commands that hosts carry out for each other.
func (a *Actions) Methods() map[string]cluster.Method {
	return map[string]cluster.Method{
		replay:  a.present(method(replay, a.replay)),
		requeue: a.present(method(requeue, a.here.Requeue)),
		retry:   a.present(method(retry, a.here.RetryNow)),
		skip:    a.present(method(skip, a.skip)),
		redrive: a.present(method(redrive, a.redrive)),
		purge:   a.whenStarted(method(purge, a.purge)), // also of units that are no more
		bury:    a.whenStarted(method(bury, a.bury)),
	}
}

// present carries a command out if the unit is one that its plugin's handler has now, and that may run.
// This does not change meanwhile: the host that carries it out owns the unit.
func (a *Actions) present(m cluster.Method) cluster.Method {
	m = a.whenStarted(m)
	return func(ctx context.Context, unit string, body []byte) ([]byte, error) {
		plugin := spec.PluginOf(unit)
		units, err := a.units.Running(ctx, plugin)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(units, unit) {
			return nil, fault.New(fault.Unavailable, "the shards of %s have changed a moment ago: repeat the call", plugin)
		}
		return m(ctx, unit, body)
	}
}

// whenStarted carries a command out once this host runs the handler, if it is open: it may be about to
// start.
func (a *Actions) whenStarted(m cluster.Method) cluster.Method {
	return func(ctx context.Context, handler string, body []byte) ([]byte, error) {
		if err := await(ctx, func() bool { return !a.here.IsOpen(handler) || a.here.Runs(handler) }); err != nil {
			return nil, err
		}
		return m(ctx, handler, body)
	}
}

func (a *Actions) replay(ctx context.Context, handler string, s span) (nothing, error) {
	return nothing{}, a.here.Replay(ctx, handler, s.From, s.To)
}

func (a *Actions) skip(ctx context.Context, handler string, seq uint64) (nothing, error) {
	return nothing{}, a.here.SkipEvent(ctx, handler, seq)
}

func (a *Actions) redrive(ctx context.Context, handler string, f event.DeadFilter) (int, error) {
	f.Handler, f.OneUnit = handler, true
	return a.here.Redrive(ctx, f)
}

func (a *Actions) purge(ctx context.Context, handler string, f event.DeadFilter) (int, error) {
	f.Handler, f.OneUnit = handler, true
	return a.here.Purge(ctx, f)
}

// bury purges the dead letters of some events.
func (a *Actions) bury(ctx context.Context, handler string, ids []string) (n int, err error) {
	for _, id := range ids {
		one, err := a.purge(ctx, handler, event.DeadFilter{EventID: id})
		n += one
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Replay implements Deliveries.
func (a *Actions) Replay(ctx context.Context, handler string, from, to uint64) error {
	units, err := unitsOf(ctx, handler, a.units.Running)
	if err != nil {
		return err
	}
	_, err = forEach(units, func(unit string) (int, error) {
		_, err := call(ctx, a.way, unit, replay, span{from, to}, a.replay)
		return 0, err
	})
	return err
}

// Requeue implements Deliveries.
func (a *Actions) Requeue(ctx context.Context, handler string, seqs []uint64) (int, error) {
	return a.divided(ctx, handler, seqs, func(unit string, seqs []uint64) (int, error) {
		return call(ctx, a.way, unit, requeue, seqs, a.here.Requeue)
	})
}

// RetryNow implements Deliveries.
func (a *Actions) RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error) {
	n, err := a.divided(ctx, handler, seqs, func(unit string, seqs []uint64) (int, error) {
		return call(ctx, a.way, unit, retry, seqs, a.here.RetryNow)
	})
	var partial *event.PartialError
	if errors.As(err, &partial) && n < len(seqs)-len(partial.Seqs) {
		partial.Seqs = seqs // the others may be dead letters of units that are no more
	}
	if err != nil || n == len(seqs) || !a.way.Shared {
		return n, err
	}
	revived, err := a.revive(ctx, handler, seqs)
	return n + revived, err
}

// SkipEvent implements Deliveries.
func (a *Actions) SkipEvent(ctx context.Context, handler string, seq uint64) error {
	_, err := a.divided(ctx, handler, []uint64{seq}, func(unit string, _ []uint64) (int, error) {
		_, err := call(ctx, a.way, unit, skip, seq, a.skip)
		return 0, err
	})
	return err
}

// Redrive implements Deliveries. The dead letters of units that are no more go to the present units of
// their events.
func (a *Actions) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	if !a.way.Shared {
		return a.here.Redrive(ctx, f)
	}
	return a.each(ctx, f, func(unit string, present bool) (int, error) {
		if !present {
			return a.redriveFormer(ctx, unit, f)
		}
		return call(ctx, a.way, unit, redrive, f, a.redrive)
	})
}

// Purge implements Deliveries.
func (a *Actions) Purge(ctx context.Context, f event.DeadFilter) (int, error) {
	if !a.way.Shared {
		return a.here.Purge(ctx, f)
	}
	return a.each(ctx, f, func(unit string, _ bool) (int, error) { return call(ctx, a.way, unit, purge, f, a.purge) })
}

// each carries out an action on the dead letters of a plugin's units or of a unit, or of each that has
// any. present says that the unit is one that its handler has now.
func (a *Actions) each(ctx context.Context, f event.DeadFilter, do func(unit string, present bool) (int, error)) (int, error) {
	counts, err := a.dead(ctx)
	if err != nil {
		return 0, err
	}
	present := make(map[string]bool)
	plugins := make(map[string]bool)
	if f.Handler != "" {
		plugins[spec.PluginOf(f.Handler)] = true
	}
	for unit := range counts {
		if f.Handler == "" {
			plugins[spec.PluginOf(unit)] = true
		}
	}
	for plugin := range plugins {
		units, err := a.units.Units(ctx, plugin)
		if err != nil {
			return 0, err
		}
		for _, unit := range units {
			present[unit] = true
		}
	}
	var list []string
	for unit := range counts {
		if !concerns(f, unit) || f.Handler != "" && present[unit] {
			continue
		}
		one := f
		one.Handler, one.OneUnit = unit, true
		found, _, err := a.DeadLetters(ctx, one, "", 1)
		if err != nil {
			return 0, err
		}
		if len(found) > 0 { // otherwise its owner need not be asked
			list = append(list, unit)
		}
	}
	for unit := range present {
		if f.Handler != "" && concerns(f, unit) { // its owner may have some that are not stored yet
			list = append(list, unit)
		}
	}
	slices.Sort(list)
	total := 0
	for _, now := range []bool{true, false} { // what former units give to present ones may be dead again soon
		part := slices.DeleteFunc(slices.Clone(list), func(unit string) bool { return present[unit] != now })
		n, err := forEach(part, func(unit string) (int, error) { return do(unit, now) })
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// concerns reports whether a filter selects dead letters of a unit.
func concerns(f event.DeadFilter, unit string) bool {
	return f.Handler == "" || f.Handler == unit || !f.OneUnit && f.Handler == spec.PluginOf(unit)
}

// Retrying implements Deliveries.
func (a *Actions) Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	units, err := unitsOf(ctx, handler, a.units.Units)
	if err != nil {
		return nil, err
	}
	var all []event.Delivery
	for _, unit := range units {
		list, err := a.Deliveries.Retrying(ctx, unit, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, func(x, y event.Delivery) int { return cmp.Compare(x.Seq, y.Seq) })
	return all[:min(limit, len(all))], nil
}
