package retention

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

const (
	interval = time.Minute // between two runs of Enforce and Expire
	// A full log reclaims at least this share of bus.max_size, so that not every
	// publisher has to reclaim.
	reclaimDivisor = 8
	// maxReclaims bounds the attempts of one publisher: others may use the space it
	// has reclaimed.
	maxReclaims = 16
	// reclaimPause is the time without a further attempt after one that reclaimed
	// nothing.
	reclaimPause = 100 * time.Millisecond
)

// Log is the part of an engine that a Retention uses.
type Log interface {
	bus.Log
	Cursors(ctx context.Context) ([]event.Cursor, error)
}

// Limits bound the log.
type Limits struct {
	Retention time.Duration // age from which events that every handler has had are deleted
	MaxAge    time.Duration // age from which all events are deleted; 0: never
	MaxSize   int64         // bytes; 0: no limit
}

// Config configures a Retention. All fields but Logger are required.
type Config struct {
	Log    Log
	Limits func() Limits // in force now
	Now    func() time.Time
	Logger *slog.Logger
}

// Retention enforces the limits of one log. It is safe for concurrent use.
type Retention struct {
	Config
	full rate.Sometimes

	mu        sync.Mutex // one trim at a time; held across calls of the log
	fruitless time.Time  // of the last attempt that reclaimed nothing

	lostMu sync.Mutex // guards lost; taken last
	lost   map[string]uint64
}

// New returns the retention of a log, and sets the log's size limit.
func New(cfg Config) *Retention {
	r := &Retention{Config: cfg, lost: make(map[string]uint64), full: rate.Sometimes{First: 1, Interval: time.Minute}}
	r.Configure()
	return r
}

// Configure sets the log's size limit. Call it when Limits has changed.
func (r *Retention) Configure() { r.Log.SetMaxBytes(r.Limits().MaxSize) }

// Lost returns how many events were deleted before the handler had them, since New.
func (r *Retention) Lost(handler string) uint64 {
	r.lostMu.Lock()
	defer r.lostMu.Unlock()
	return r.lost[handler]
}

// Run enforces the limits every minute until ctx ends.
func (r *Retention) Run(ctx context.Context) {
	every(ctx, func() {
		if err := r.Enforce(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Error("events past their retention not deleted", "error", err)
		}
	})
}

// every calls f once per interval until ctx ends.
func every(ctx context.Context, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// Enforce deletes the events past their age and the oldest ones over the size limit.
func (r *Retention) Enforce(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Configure()
	limits := r.Limits()
	cursors, err := r.cursors(ctx)
	if err != nil {
		return err
	}
	before, err := r.Log.SeqAt(ctx, r.Now().Add(-limits.Retention))
	if err != nil {
		return err
	}
	n, err := r.Log.Trim(ctx, min(before, firstUndelivered(cursors)))
	if n > 0 {
		r.Logger.Info("events past their retention deleted", "events", n)
	}
	if err != nil {
		return err
	}
	// The keys of cancelled events stay taken as long as those of delivered ones.
	if _, err := r.Log.TrimCancelled(ctx, r.Now().Add(-limits.Retention)); err != nil {
		return err
	}
	if limits.MaxAge > 0 {
		if before, err = r.Log.SeqAt(ctx, r.Now().Add(-limits.MaxAge)); err != nil {
			return err
		}
		if err := r.deleteUndelivered(ctx, before, cursors); err != nil {
			return err
		}
	}
	st, err := r.Log.Status(ctx)
	if err != nil {
		return err
	}
	if st.MaxBytes > 0 && st.Bytes > st.MaxBytes {
		_, err = r.shrink(ctx, 0)
	}
	return err
}

// cursors returns the cursor of each known handler, that of the slowest of its shards with its plugin
// as the name, the lowest first.
func (r *Retention) cursors(ctx context.Context) ([]event.Cursor, error) {
	all, err := r.Log.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	positions := event.Positions(all)
	cursors := make([]event.Cursor, 0, len(positions))
	for _, plugin := range slices.Sorted(maps.Keys(positions)) {
		slowest := slices.MinFunc(positions[plugin], func(a, b event.Cursor) int { return cmp.Compare(a.Seq, b.Seq) })
		cursors = append(cursors, event.Cursor{Name: plugin, Seq: slowest.Seq})
	}
	slices.SortStableFunc(cursors, func(a, b event.Cursor) int { return cmp.Compare(a.Seq, b.Seq) })
	return cursors, nil
}

// firstUndelivered returns the first Seq that a handler has not had.
func firstUndelivered(cursors []event.Cursor) uint64 {
	if len(cursors) == 0 {
		return ^uint64(0)
	}
	return cursors[0].Seq + 1
}

// deleteUndelivered deletes the events below before, also those that handlers have
// not had, and logs and counts the losses per handler. It trims from one cursor to
// the next: the handlers with lower cursors lose the events of each step.
func (r *Retention) deleteUndelivered(ctx context.Context, before uint64, cursors []event.Cursor) error {
	lost := make(map[string]uint64)
	var failed error
	for i := 0; i <= len(cursors) && failed == nil; i++ {
		edge := before
		if i < len(cursors) {
			edge = min(edge, cursors[i].Seq+1)
		}
		var n int
		n, failed = r.Log.Trim(ctx, edge)
		for _, c := range cursors[:i] {
			lost[c.Name] += uint64(n)
		}
		if edge == before {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		if lost[name] == 0 {
			continue
		}
		r.Logger.Error("handler lost events past bus.max_age that it had not had; enable, repair or uninstall it",
			"plugin", name, "events", lost[name], "max_age", r.Limits().MaxAge)
		r.lostMu.Lock()
		r.lost[name] += lost[name]
		r.lostMu.Unlock()
	}
	return failed
}

// IsFull reports whether the log refused a write for its size limit.
func IsFull(err error) bool { return fault.Is(err, fault.Exhausted) && fault.RetryAfter(err) > 0 }

// Append appends events to the log. When the log is full it reclaims space and
// retries; it returns the log's error when nothing can be reclaimed.
func (r *Retention) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	receipts, err := r.Log.Append(ctx, events)
	if !IsFull(err) {
		return receipts, err
	}
	bytes := int64(0)
	for _, ev := range events {
		bytes += ev.Size()
	}
	return r.retry(ctx, bytes, err, func() ([]event.Receipt, error) { return r.Log.Append(ctx, events) })
}

// Write performs a write that appends events among others, such as an order with
// its event, with the retries of Append.
func (r *Retention) Write(ctx context.Context, write func() ([]event.Receipt, error)) ([]event.Receipt, error) {
	receipts, err := write()
	if !IsFull(err) {
		return receipts, err
	}
	return r.retry(ctx, event.MaxSize/4, err, write)
}

// retry repeats a refused write of so many bytes, and reclaims before each attempt.
func (r *Retention) retry(ctx context.Context, bytes int64, err error, write func() ([]event.Receipt, error)) (
	receipts []event.Receipt, _ error) {
	for tries := 0; IsFull(err) && tries < maxReclaims && r.reclaim(ctx, bytes); tries++ {
		receipts, err = write()
	}
	return receipts, err
}

// reclaim deletes delivered events for a write of so many bytes, and reports whether
// a retry may succeed.
func (r *Retention) reclaim(ctx context.Context, bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.Now().Sub(r.fruitless); since >= 0 && since < reclaimPause {
		return false
	}
	reclaimed, err := r.shrink(ctx, bytes)
	if err != nil && ctx.Err() == nil {
		r.Logger.Error("full log not shrunk", "error", err)
	}
	return reclaimed && err == nil
}

// shrink deletes the oldest events that every handler has had, until a write of so
// many bytes fits with a reserve. It reports whether the log has more space than
// before.
func (r *Retention) shrink(ctx context.Context, bytes int64) (bool, error) {
	cursors, err := r.cursors(ctx)
	if err != nil {
		return false, err
	}
	floor := firstUndelivered(cursors)
	start, err := r.Log.Status(ctx)
	if err != nil {
		return false, err
	}
	target := start.MaxBytes - max(bytes, start.MaxBytes/reclaimDivisor)
	if target < 0 {
		return false, nil // the write does not fit into an empty log
	}
	st, removed := start, 0
	for edge := st.FirstSeq; st.Bytes > target && st.Events > 0 && edge < floor && edge <= st.LastSeq; {
		// Estimate the number of events by their mean size, at least 16: events with
		// open or dead deliveries are not deleted.
		each := max(1, st.Bytes/st.Events)
		edge = min(floor, edge+max(16, uint64((st.Bytes-target)/each)+1))
		n, err := r.Log.Trim(ctx, edge)
		removed += n
		if err == nil {
			st, err = r.Log.Status(ctx)
		}
		if err != nil {
			return false, err
		}
	}
	if st.Bytes > target { // cancelled events are as dispensable as delivered ones
		n, err := r.Log.TrimCancelled(ctx, r.Now())
		if err != nil {
			return false, err
		}
		removed += n
		if st, err = r.Log.Status(ctx); err != nil {
			return false, err
		}
	}
	if removed > 0 {
		r.Logger.Info("log reached bus.max_size; oldest delivered events deleted",
			"events", removed, "bytes", start.Bytes-st.Bytes, "max_size", start.MaxBytes)
		return true, nil
	}
	if start.Bytes <= target || start.MaxBytes == 0 {
		return true, nil // another publisher reclaimed space, or the limit was raised
	}
	r.fruitless = r.Now()
	r.full.Do(func() {
		slowest := "none: open and dead deliveries keep their events"
		if len(cursors) > 0 && cursors[0].Seq < st.LastSeq {
			slowest = cursors[0].Name
		}
		r.Logger.Error("log is at bus.max_size and no event can be deleted; publishing is refused until handlers progress",
			"bytes", st.Bytes, "max_size", st.MaxBytes, "furthest_back", slowest, "scheduled", st.Scheduled)
	})
	return false, nil
}
