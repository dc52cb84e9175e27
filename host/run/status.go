package run

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
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
	Settings func() config.Bus           // in force now
	Lost     func(handler string) uint64 // events deleted before the handler had them
	Health   func() error                // why the store refuses writes
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
	for _, cursor := range cursors { // sorted by name
		name, ok := strings.CutPrefix(cursor.Name, "handler/")
		if !ok {
			continue
		}
		reader, err := l.reader(ctx, name, cursor.Seq)
		if err != nil {
			return wire.LogStatus{}, err
		}
		reader.Dead = dead[name]
		status.Handlers = append(status.Handlers, reader)
	}
	return status, nil
}

// reader reports the progress of one handler.
func (l LogStatus) reader(ctx context.Context, name string, cursor uint64) (wire.LogReader, error) {
	reader := wire.LogReader{Plugin: name, Cursor: cursor, Lost: l.Lost(name)}
	s, err := l.Runner.Dispatcher.Figures(ctx, name)
	if err != nil {
		return reader, err
	}
	reader.Lag, reader.Open = s.Lag, s.Open
	if reader.Lag == 0 {
		return reader, nil
	}
	oldest, err := l.Log.Read(ctx, s.Oldest, 1)
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
