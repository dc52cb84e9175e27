package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Units are the units of handlers, by their generations. It is safe for concurrent use.
type Units struct {
	Generations *shards.Generations // nil: hosts do not share the log, and each handler is one unit
	Read        func(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	Last        func() uint64                                 // the highest Seq of the log
	Owner       func(unit string) (m spec.Member, found bool) // the live host that runs a unit; nil: there are no others
}

// Units implements remote.Units.
func (u Units) Units(ctx context.Context, plugin string) ([]string, error) {
	l, err := u.layout(ctx, plugin)
	return l.Units(plugin), err
}

func (u Units) layout(ctx context.Context, plugin string) (shards.Layout, error) {
	g, err := u.read(ctx, plugin)
	return g.Layout, err
}

func (u Units) read(ctx context.Context, plugin string) (shards.Generation, error) {
	if u.Generations == nil {
		return shards.Generation{Layout: shards.New(1, "")}, nil
	}
	return u.Generations.Read(ctx, plugin)
}

// running returns the layout of a plugin if its units may run now, and fault.Unavailable otherwise.
func (u Units) running(ctx context.Context, plugin string) (shards.Layout, error) {
	g, err := u.read(ctx, plugin)
	if err == nil && !g.MayRun() {
		err = &fault.Error{Code: fault.Unavailable, RetryAfter: time.Second,
			Reason: fmt.Sprintf("the shards of %s are being changed, and no host runs them at this moment: repeat the call", plugin)}
	}
	return g.Layout, err
}

// Running implements remote.Units.
func (u Units) Running(ctx context.Context, plugin string) ([]string, error) {
	l, err := u.running(ctx, plugin)
	return l.Units(plugin), err
}

// divideSpan bounds the events that are read at once to divide some of them.
const divideSpan = 64

// Divide implements remote.Units; each part is ascending. An event that is missing or cannot be read is
// any unit's.
func (u Units) Divide(ctx context.Context, plugin string, seqs []uint64) (map[string][]uint64, error) {
	l, err := u.running(ctx, plugin)
	if err != nil {
		return nil, err
	}
	units := l.Units(plugin)
	if len(units) == 1 {
		return map[string][]uint64{units[0]: seqs}, nil
	}
	key := valueAt(l.OrderBy)
	parts := make(map[string][]uint64)
	for left := slices.Sorted(slices.Values(seqs)); len(left) > 0; {
		n := 1
		for n < len(left) && left[n]-left[0] < divideSpan {
			n++
		}
		records, err := u.Read(ctx, left[0], int(left[n-1]-left[0])+1)
		var bad *event.Unreadable
		if errors.As(err, &bad) {
			n = 1
			records, err = u.Read(ctx, left[0], 1)
		}
		if err != nil && !errors.As(err, &bad) {
			return nil, err
		}
		upTo := left[n-1]
		if last := len(records) - 1; last >= 0 {
			upTo = min(upTo, records[last].Seq)
		}
		for ; len(left) > 0 && left[0] <= upTo; left = left[1:] {
			shard := l.Shard("", left[0])
			if i, found := slices.BinarySearchFunc(records, left[0], func(rec event.Record, seq uint64) int { return cmp.Compare(rec.Seq, seq) }); found {
				shard = shardOf(l, key, records[i])
			}
			parts[units[shard]] = append(parts[units[shard]], left[0])
		}
	}
	return parts, nil
}

// shardOf returns the shard of an event; key is valueAt of the layout's order.
func shardOf(l shards.Layout, key func(*event.Event) string, rec event.Record) int {
	if key == nil {
		return l.Shard("", rec.Seq)
	}
	return l.Shard(key(rec.Event), rec.Seq)
}

// Known returns the units of a plugin as this host knows them.
func (u Units) Known(plugin string) []string {
	if u.Generations == nil {
		return []string{plugin}
	}
	return u.Generations.Of(plugin).Layout.Units(plugin)
}

// beyond reports whether an event is for the next shards of a plugin.
func (u Units) beyond(plugin string, seq uint64) bool {
	if u.Generations == nil {
		return false
	}
	g := u.Generations.Of(plugin)
	return (g.Stage == shards.Draining || g.Stage == shards.Ending) && seq > g.Cut
}

// shown returns the shards of a plugin for the API; nil for one that does not change.
func (u Units) shown(plugin string) *wire.PluginShards {
	if u.Generations == nil {
		return nil
	}
	g := u.Generations.Of(plugin)
	if g.Layout.Shards <= 1 && g.Next == nil {
		return nil
	}
	s := &wire.PluginShards{Count: g.Layout.Shards, OrderBy: g.Layout.OrderBy, Stage: string(g.Stage), Until: g.Until()}
	if g.Next != nil {
		s.Next = &wire.PluginLayout{Count: g.Next.Shards, OrderBy: g.Next.OrderBy}
	}
	return s
}

// Gets reports whether a unit is the one of its handler that gets an event, as this host knows it.
func (u Units) Gets(unit string, rec event.Record) bool {
	plugin := spec.PluginOf(unit)
	units := u.Known(plugin)
	if len(units) == 1 {
		return unit == units[0]
	}
	l := u.Generations.Of(plugin).Layout
	return unit == units[shardOf(l, valueAt(l.OrderBy), rec)]
}
