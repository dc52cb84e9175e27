package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Units knows the units of handlers. It is safe for concurrent use.
type Units interface {
	// Units returns the units that a plugin's handler has now, as the database has them.
	Units(ctx context.Context, plugin string) ([]string, error)
	// Running returns them, or fault.Unavailable when none may run now.
	Running(ctx context.Context, plugin string) ([]string, error)
	// Divide returns Seqs of the log by the unit that gets the event now, each part in their order,
	// or fault.Unavailable likewise.
	Divide(ctx context.Context, plugin string, seqs []uint64) (map[string][]uint64, error)
}

const (
	maxCalls = 16  // of an action on several units, at once
	deadPage = 256 // dead letters that are read at once, with their events
)

// unitsOf returns the units that get returns of a plugin, or the unit that is named.
func unitsOf(ctx context.Context, handler string, get func(context.Context, string) ([]string, error)) ([]string, error) {
	if _, shard := spec.ShardOf(handler); shard {
		return []string{handler}, nil
	}
	return get(ctx, handler)
}

// divided carries out an action on events of a plugin, or of the unit that is named, where they belong.
func (a *Actions) divided(ctx context.Context, handler string, seqs []uint64, do func(unit string, seqs []uint64) (int, error)) (int, error) {
	parts := map[string][]uint64{handler: seqs}
	if _, shard := spec.ShardOf(handler); !shard {
		var err error
		if parts, err = a.units.Divide(ctx, handler, seqs); err != nil {
			return 0, err
		}
	}
	n, err := forEach(slices.Sorted(maps.Keys(parts)), func(unit string) (int, error) { return do(unit, parts[unit]) })
	var partial *event.PartialError
	if errors.As(err, &partial) {
		for _, unit := range partial.Units {
			partial.Seqs = append(partial.Seqs, parts[unit]...)
		}
		slices.Sort(partial.Seqs)
	}
	return n, err
}

// forEach carries out an action on several units, some at once, and returns the sum of its results. Its
// error, an event.PartialError unless there is one unit only, says for which units it failed, and why
// for the first one of them.
func forEach(units []string, do func(unit string) (int, error)) (total int, err error) {
	if len(units) == 1 {
		return do(units[0])
	}
	var (
		running sync.WaitGroup
		slots   = make(chan struct{}, maxCalls)
		results = make([]int, len(units))
		errs    = make([]error, len(units))
	)
	for i, unit := range units {
		slots <- struct{}{}
		running.Go(func() {
			results[i], errs[i] = do(unit)
			<-slots
		})
	}
	running.Wait()
	var failed []string
	for i, one := range errs {
		total += results[i]
		if one != nil {
			failed = append(failed, units[i])
			if err == nil {
				err = one
			}
		}
	}
	if err != nil {
		err = &event.PartialError{Units: failed, Err: fmt.Errorf("%d of %d handlers and shards failed (%s); it is done for the others: %w",
			len(failed), len(units), strings.Join(failed, ", "), err)}
	}
	return total, err
}

// redriveFormer redrives dead letters of a unit that is no more: the present units of their events get
// them, and then they are purged. A crash in between repeats the first part.
func (a *Actions) redriveFormer(ctx context.Context, unit string, f event.DeadFilter) (int, error) {
	f.Handler, f.OneUnit = unit, true
	var newest time.Time
	found := false
	for cursor, more := "", true; more; more = cursor != "" {
		list, next, err := a.DeadLetters(ctx, f, cursor, deadPage)
		if err != nil {
			return 0, err
		}
		cursor = next
		if len(list) == 0 {
			continue
		}
		found = true
		seqs := make([]uint64, len(list))
		for i, d := range list {
			seqs[i] = d.Seq
			if d.At.After(newest) {
				newest = d.At
			}
		}
		if _, err := a.Requeue(ctx, spec.PluginOf(unit), seqs); err != nil {
			return 0, err
		}
	}
	if !found {
		return 0, nil
	}
	f.Until = newest.Add(1) // and none that came meanwhile
	return call(ctx, a.way, unit, purge, f, a.purge)
}

// revive redrives those dead letters of these events that are of units which are no more. Those of which
// it fails remain.
func (a *Actions) revive(ctx context.Context, handler string, seqs []uint64) (total int, err error) {
	if len(seqs) == 0 {
		return 0, nil
	}
	plugin := spec.PluginOf(handler)
	present, err := a.units.Units(ctx, plugin)
	if err != nil {
		return 0, err
	}
	dead := make(map[uint64]map[string]string) // ids of events, by Seq and unit
	var again []uint64
	lowest := slices.Min(seqs)
	for cursor, more := (event.DeadPosition{Seq: slices.Max(seqs) + 1}).String(), true; more; {
		list, next, err := a.DeadLetters(ctx, event.DeadFilter{Handler: handler}, cursor, deadPage)
		if err != nil {
			return 0, err
		}
		for _, d := range list {
			if !slices.Contains(present, d.Handler) && slices.Contains(seqs, d.Seq) {
				if dead[d.Seq] == nil {
					dead[d.Seq] = make(map[string]string)
					again = append(again, d.Seq)
				}
				dead[d.Seq][d.Handler] = d.Event.ID()
			}
		}
		cursor, more = next, next != "" && list[len(list)-1].Seq > lowest
	}
	if len(again) == 0 {
		return 0, nil
	}
	_, err = a.Requeue(ctx, plugin, again)
	if err != nil {
		for _, seq := range event.FailedSeqs(err, again) {
			delete(dead, seq)
		}
	}
	ids := make(map[string][]string) // of events that are to be delivered again, by unit
	for _, seq := range again {
		for unit, id := range dead[seq] {
			ids[unit] = append(ids[unit], id)
		}
	}
	n, buried := forEach(slices.Sorted(maps.Keys(ids)), func(unit string) (int, error) { return call(ctx, a.way, unit, bury, ids[unit], a.bury) })
	return n, cmp.Or(err, buried)
}
