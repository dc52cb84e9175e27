package host

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
)

const (
	retentionEvery = time.Minute // how often events past their retention are removed
	// When the log is at bus.max_size, room is made for this share of it, so that
	// not every publisher has to wait for some.
	roomShare = 8
	// A publisher tries so often, because others can take the room that was made.
	roomTries = 16
	// After nothing could be removed nobody looks again for so long.
	fruitlessPause = 100 * time.Millisecond
)

// retainedLog is what a retention asks of an engine.
type retainedLog interface {
	bus.Log
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
}

// retention decides which events the log lets go: those past bus.retention, and
// the oldest ones when bus.max_size is reached, but none that a known handler
// has not had, unless it is past bus.max_age. A handler is known as long as it
// has a cursor, also while it is disabled, paused or its file is gone; an
// uninstall forgets it. Safe for concurrent use.
type retention struct {
	log      retainedLog
	settings func() config.Bus
	now      func() time.Time
	logger   *slog.Logger
	full     rate.Sometimes

	mu        sync.Mutex // one trim at a time; held over calls of the log
	fruitless time.Time  // when making room last removed nothing

	lostMu sync.Mutex // a leaf
	lost   map[string]uint64
}

func newRetention(log retainedLog, settings func() config.Bus, now func() time.Time, logger *slog.Logger) *retention {
	r := &retention{log: log, settings: settings, now: now, logger: logger, lost: make(map[string]uint64),
		full: rate.Sometimes{First: 1, Interval: time.Minute}}
	r.configure()
	return r
}

// configure tells the engine its bound.
func (r *retention) configure() { r.log.SetMaxBytes(r.settings().MaxSize) }

// Lost returns how many events were removed before the handler had them, since
// the host started.
func (r *retention) Lost(handler string) uint64 {
	r.lostMu.Lock()
	defer r.lostMu.Unlock()
	return r.lost[handler]
}

// pass removes what is past its time, and what is over the bound.
func (r *retention) pass(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.configure()
	settings := r.settings()
	places, err := r.places(ctx)
	if err != nil {
		return err
	}
	before, err := r.log.SeqAt(ctx, r.now().Add(-settings.Retention))
	if err != nil {
		return err
	}
	n, err := r.log.Trim(ctx, min(before, settledBefore(places)))
	if n > 0 {
		r.logger.Info("events past their retention were removed", "events", n)
	}
	if err != nil {
		return err
	}
	if settings.MaxAge > 0 {
		if before, err = r.log.SeqAt(ctx, r.now().Add(-settings.MaxAge)); err != nil {
			return err
		}
		if err := r.give(ctx, before, places); err != nil {
			return err
		}
	}
	st, err := r.log.Status(ctx)
	if err != nil {
		return err
	}
	if st.MaxBytes > 0 && st.Bytes > st.MaxBytes {
		_, err = r.shrink(ctx, 0)
	}
	return err
}

// places returns where each known handler stands, the one furthest back first.
func (r *retention) places(ctx context.Context) ([]event.Cursor, error) {
	all, err := r.log.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	var places []event.Cursor
	for _, c := range all {
		if name, ok := strings.CutPrefix(c.Name, "handler/"); ok {
			places = append(places, event.Cursor{Name: name, Seq: c.Seq})
		}
	}
	slices.SortStableFunc(places, func(a, b event.Cursor) int {
		switch {
		case a.Seq < b.Seq:
			return -1
		case a.Seq > b.Seq:
			return 1
		}
		return 0
	})
	return places, nil
}

// settledBefore is the first Seq that a handler has not had.
func settledBefore(places []event.Cursor) uint64 {
	if len(places) == 0 {
		return ^uint64(0)
	}
	return places[0].Seq + 1
}

// give removes the events below before, also those that handlers have not had,
// and says who lost how many. From one handler's place to the next, every
// handler further back loses what is removed.
func (r *retention) give(ctx context.Context, before uint64, places []event.Cursor) error {
	lost := make(map[string]uint64)
	var failed error
	for i := 0; i <= len(places) && failed == nil; i++ {
		edge := before
		if i < len(places) {
			edge = min(edge, places[i].Seq+1)
		}
		var n int
		n, failed = r.log.Trim(ctx, edge)
		for _, p := range places[:i] {
			lost[p.Name] += uint64(n)
		}
		if edge == before {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		if lost[name] == 0 {
			continue
		}
		r.logger.Error("a handler lost events: they were past bus.max_age and it had not had them; enable or repair it, or uninstall it",
			"handler", name, "events", lost[name], "max_age", r.settings().MaxAge)
		r.lostMu.Lock()
		r.lost[name] += lost[name]
		r.lostMu.Unlock()
	}
	return failed
}

// makeRoom is for a publisher of so many bytes for whom the log was full. It
// answers whether trying again is worth it.
func (r *retention) makeRoom(ctx context.Context, bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.now().Sub(r.fruitless); since >= 0 && since < fruitlessPause {
		return false
	}
	room, err := r.shrink(ctx, bytes)
	if err != nil && ctx.Err() == nil {
		r.logger.Error("no room could be made in the log", "error", err)
	}
	return room && err == nil
}

// shrink removes the oldest events that every handler has had, until there is
// room for so many bytes and some more. It answers whether there is more than
// before.
func (r *retention) shrink(ctx context.Context, bytes int64) (bool, error) {
	places, err := r.places(ctx)
	if err != nil {
		return false, err
	}
	floor := settledBefore(places)
	start, err := r.log.Status(ctx)
	if err != nil {
		return false, err
	}
	target := start.MaxBytes - max(bytes, start.MaxBytes/roomShare)
	if target < 0 {
		return false, nil // it would not fit into an empty log
	}
	st, removed := start, 0
	for edge := st.FirstSeq; st.Bytes > target && st.Events > 0 && edge < floor && edge <= st.LastSeq; {
		// About as many as it takes, but at least a few: those with open or dead
		// deliveries stay where they are.
		each := max(1, st.Bytes/st.Events)
		edge = min(floor, edge+max(16, uint64((st.Bytes-target)/each)+1))
		n, err := r.log.Trim(ctx, edge)
		removed += n
		if err == nil {
			st, err = r.log.Status(ctx)
		}
		if err != nil {
			return false, err
		}
	}
	if removed > 0 {
		r.logger.Info("the log was at bus.max_size; the oldest events that every handler has had were removed",
			"events", removed, "bytes", start.Bytes-st.Bytes, "max_size", start.MaxBytes)
		return true, nil
	}
	if start.Bytes <= target || start.MaxBytes == 0 {
		return true, nil // somebody else made room, or the bound was raised
	}
	r.fruitless = r.now()
	r.full.Do(func() {
		waiting := "none: open and dead deliveries keep their events"
		if len(places) > 0 && places[0].Seq < st.LastSeq {
			waiting = places[0].Name
		}
		r.logger.Error("the log is at bus.max_size and nothing can be removed; publishing is refused until there is room",
			"bytes", st.Bytes, "max_size", st.MaxBytes, "furthest_back", waiting)
	})
	return false, nil
}

// isFull reports whether the log refused a publisher for its own bound.
func isFull(err error) bool { return fault.Is(err, fault.Exhausted) && fault.RetryAfter(err) > 0 }

// boundedLog is an engine that makes room before it refuses a publisher.
type boundedLog struct {
	eventLog
	retention *retention
}

// Append implements bus.Log.
func (l boundedLog) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	receipts, err := l.eventLog.Append(ctx, events)
	if !isFull(err) {
		return receipts, err
	}
	size := int64(0)
	for _, ev := range events {
		size += ev.Size()
	}
	for tries := 0; isFull(err) && tries < roomTries && l.retention.makeRoom(ctx, size); tries++ {
		receipts, err = l.eventLog.Append(ctx, events)
	}
	return receipts, err
}

// boundedDB is the same for orders.
type boundedDB struct {
	*store.Store
	retention *retention
}

// Write implements orders.DB.
func (d boundedDB) Write(ctx context.Context, fn func(tx *sql.Tx) ([]*event.Event, error)) ([]event.Receipt, error) {
	receipts, err := d.Store.Write(ctx, fn)
	for tries := 0; isFull(err) && tries < roomTries && d.retention.makeRoom(ctx, event.MaxSize/4); tries++ {
		receipts, err = d.Store.Write(ctx, fn)
	}
	return receipts, err
}

// startRetention runs the retention until the host closes.
func (h *Host) startRetention() {
	h.background("the retention", func(ctx context.Context) {
		tick := time.NewTicker(retentionEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := h.retention.pass(ctx); err != nil && ctx.Err() == nil {
				h.logger.Error("events past their retention could not be removed", "error", fmt.Errorf("retention: %w", err))
			}
		}
	})
}
