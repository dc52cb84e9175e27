package host

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// logStatus shows how the event log stands to the API.
type logStatus struct {
	h      *Host
	log    engine
	runner *runner
}

// LogStatus implements api.LogStatuser.
func (l logStatus) LogStatus(ctx context.Context) (wire.LogStatus, error) {
	st, err := l.log.Status(ctx)
	if err != nil {
		return wire.LogStatus{}, err
	}
	cursors, err := l.log.Cursors(ctx)
	if err != nil {
		return wire.LogStatus{}, err
	}
	dead, err := l.log.DeadCounts(ctx)
	if err != nil {
		return wire.LogStatus{}, err
	}
	c := l.h.current.Load()
	status := wire.LogStatus{
		Engine: string(c.Bus.Engine), FirstSeq: st.FirstSeq, LastSeq: st.LastSeq, Events: uint64(st.Events), Bytes: st.Bytes, MaxBytes: st.MaxBytes,
		RetentionS: int64(c.Bus.Retention / time.Second), Handlers: []wire.LogReader{}, Full: st.MaxBytes > 0 && st.Bytes >= st.MaxBytes,
	}
	if err := l.h.storeFault(); err != nil {
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
		reader := wire.LogReader{Plugin: name, Cursor: cursor.Seq, Dead: dead[name], Lost: l.h.retention.Lost(name)}
		s, err := l.runner.dispatcher.Figures(ctx, name)
		if err != nil {
			return wire.LogStatus{}, err
		}
		reader.Lag, reader.Open, reader.HistorySkipped = s.Lag, s.Open, s.HistorySkipped
		if reader.Lag > 0 {
			oldest, err := l.log.Read(ctx, s.Oldest, 1)
			var bad *event.Unreadable
			if err != nil && !errors.As(err, &bad) { // the time of one that cannot be read is not known
				return wire.LogStatus{}, err
			}
			if len(oldest) > 0 {
				at := oldest[0].Event.Metadata().Time
				reader.OldestAt = &at
			}
		}
		status.Handlers = append(status.Handlers, reader)
	}
	return status, nil
}

// stuck names a handler that cannot get on in the log, the first by name, and
// where it stands; "" when none is.
func (r *runner) stuck() (name, where string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.handlers)) {
		if where, _ := r.handlers[name].Stuck(); where != "" {
			return name, where
		}
	}
	return "", ""
}
