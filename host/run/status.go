package run

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Ready returns fault.Unavailable when a handler is stuck in the log.
func (r *Runner) Ready() error {
	if name, position := r.Dispatcher.Stuck(); name != "" {
		return fault.New(fault.Unavailable, "the handler %s is stuck at %s: the log cannot be read there", name, position)
	}
	return nil
}

// Log is the part of an engine that LogStatus reads.
type Log interface {
	Status(context.Context) (event.LogStatus, error)
	Cursors(context.Context) ([]event.Cursor, error)
	DeadCounts(context.Context) (map[string]uint64, error)
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
}

// LogStatus reports the state of the event log. It implements ports.LogStatuser.
type LogStatus struct {
	Log      Log
	Runner   *Runner
	Settings func() config.Bus          // in force now
	Lost     func(plugin string) uint64 // events deleted before the handler had them
	Health   func() error               // why the store refuses writes
}

// LogStatus implements ports.LogStatuser.
func (l LogStatus) LogStatus(ctx context.Context) (wire.LogStatus, error) {
	st, err := l.Log.Status(ctx)
	if err != nil {
		return wire.LogStatus{}, err
	}
	cursors, err := l.Log.Cursors(ctx)
	if err != nil {
		return wire.LogStatus{}, err
	}
	dead, err := l.Log.DeadCounts(ctx)
	if err != nil {
		return wire.LogStatus{}, err
	}
	c := l.Settings()
	status := wire.LogStatus{
		Engine: string(c.Engine), FirstSeq: st.FirstSeq, LastSeq: st.LastSeq, Events: uint64(st.Events), Bytes: st.Bytes, MaxBytes: st.MaxBytes,
		Scheduled: st.Scheduled, ScheduledBytes: st.ScheduledBytes,
		RetentionS: int64(c.Retention / time.Second), Handlers: []wire.LogReader{}, Full: st.MaxBytes > 0 && st.Bytes >= st.MaxBytes,
	}
	if err := l.Health(); err != nil {
		status.Problem = err.Error()
	}
	if !st.OldestAt.IsZero() {
		status.OldestAt = &st.OldestAt
	}
	positions := event.Positions(cursors)
	for _, plugin := range slices.Sorted(maps.Keys(positions)) {
		reader, err := l.reader(ctx, plugin, positions[plugin], dead)
		if err != nil {
			return wire.LogStatus{}, err
		}
		status.Handlers = append(status.Handlers, reader)
	}
	return status, nil
}

// reader reports the progress of the handler of a plugin.
func (l LogStatus) reader(ctx context.Context, plugin string, positions []event.Cursor, dead map[string]uint64) (wire.LogReader, error) {
	reader := wire.LogReader{Plugin: plugin, Cursor: math.MaxUint64, Lost: l.Lost(plugin)}
	for unit, n := range dead { // also those of units that are no more
		if spec.PluginOf(unit) == plugin {
			reader.Dead += n
		}
	}
	var s sum
	for _, at := range positions {
		f, err := l.Runner.unitFigures(ctx, at.Name)
		if err != nil {
			return reader, err
		}
		s.add(f)
		reader.Cursor = min(reader.Cursor, at.Seq)
		if shard, found := spec.ShardOf(at.Name); found {
			reader.Shards = append(reader.Shards, wire.ShardReader{Shard: shard, Cursor: at.Seq, Open: f.Open, Dead: dead[at.Name]})
		}
	}
	slices.SortFunc(reader.Shards, func(a, b wire.ShardReader) int { return cmp.Compare(a.Shard, b.Shard) })
	all := s.figures()
	reader.Lag, reader.Open = all.Lag, all.Open
	if reader.Lag == 0 {
		return reader, nil
	}
	oldest, err := l.Log.Read(ctx, all.Oldest, 1)
	var bad *event.Unreadable
	if err != nil && !errors.As(err, &bad) { // the time of an unreadable event is unknown
		return reader, err
	}
	if len(oldest) > 0 {
		at := oldest[0].Event.Metadata().Time
		reader.OldestAt = &at
	}
	return reader, nil
}
