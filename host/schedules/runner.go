package schedules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	// Lateness is how late the event of a due time may be published without counting as
	// missed.
	Lateness = time.Minute
	// maxWait bounds the wait for the next due time: timers do not notice that the clock of
	// the machine was set, or that it slept.
	maxWait = 5 * time.Second
	// maxAge bounds how far back missed due times are looked for.
	maxAge = 366 * 24 * time.Hour

	maxGroup   = 256 // events that are published together
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// Store keeps documents durably; see bus.State.
type Store interface {
	PutDocuments(ctx context.Context, list []event.Document) error
	Documents(ctx context.Context, kind string) ([]event.Document, error)
}

// Config configures a Runner. All fields are required.
type Config struct {
	Store Store
	// Publish stores events, with a receipt for each in the same order.
	Publish func(ctx context.Context, events []*event.Event) ([]event.Receipt, error)
	Now     func() time.Time // of the machine's clock
	Logger  *slog.Logger
}

// Runner publishes the events of schedules. It is safe for concurrent use.
type Runner struct {
	cfg     Config
	changed chan struct{} // a token: the schedules have changed

	mu      sync.Mutex
	entries []*entry          // by name
	stored  map[string]string // the documents in the store, by name
	failed  map[string]uint64 // publications that failed, by name
}

// entry is one schedule. Runner.mu guards it.
type entry struct {
	Timed
	now position
}

// Open reads the positions of the schedules.
func Open(ctx context.Context, cfg Config) (*Runner, error) {
	r := &Runner{cfg: cfg, changed: make(chan struct{}, 1), failed: make(map[string]uint64)}
	return r, r.Load(ctx)
}

// Load reads the positions again, which another host has stored since: before Run, and for
// lists on a host that does not run the schedules. It must not be called during Run.
func (r *Runner) Load(ctx context.Context) error {
	list, err := r.cfg.Store.Documents(ctx, documentKind)
	if err != nil {
		return fmt.Errorf("read the positions of schedules: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = make(map[string]string)
	for _, d := range list {
		r.stored[d.ID] = d.Body
	}
	timed := make([]Timed, len(r.entries))
	for i, e := range r.entries {
		timed[i] = e.Timed
	}
	r.entries = nil
	r.set(timed)
	return nil
}

// Set sets the schedules. Those that were there before keep their positions.
func (r *Runner) Set(list []Timed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(list)
}

func (r *Runner) set(list []Timed) {
	now := r.cfg.Now().UTC()
	before := make(map[string]position, len(r.entries))
	for _, e := range r.entries {
		before[e.Name] = e.now
	}
	r.entries = make([]*entry, len(list))
	for i, t := range list {
		p, known := before[t.Name]
		if body, found := r.stored[t.Name]; !known && found {
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				r.cfg.Logger.Error("position of a schedule cannot be read; it starts now", "schedule", t.Name, "error", err)
				p = position{}
			}
		}
		r.entries[i] = &entry{Timed: t, now: p.reconcile(t, now)}
	}
	slices.SortFunc(r.entries, func(a, b *entry) int { return cmp.Compare(a.Name, b.Name) })
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Run publishes events until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := minBackoff
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-timer.C:
		}
		wait, err := r.step(ctx)
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Error("events of schedules not published; retrying", "error", err, "retry_in", backoff)
			wait, backoff = backoff, min(2*backoff, maxBackoff)
		} else {
			backoff = minBackoff
		}
		timer.Reset(wait)
	}
}

// due is an event to publish.
type due struct {
	name, definition string // of the schedule
	at               time.Time
	done             time.Time // the position of the schedule afterwards
	event            *event.Event
}

// step publishes what is due, and returns the time until it is to be called again.
func (r *Runner) step(ctx context.Context) (time.Duration, error) {
	list := r.collect(r.cfg.Now().UTC())
	if err := r.save(ctx); err != nil { // also before the first event: a new schedule starts now
		return 0, err
	}
	for group := range slices.Chunk(list, maxGroup) {
		events := make([]*event.Event, len(group))
		for i, d := range group {
			events[i] = d.event
		}
		receipts, err := r.cfg.Publish(ctx, events)
		if err == nil && len(receipts) != len(events) {
			err = fault.New(fault.Internal, "%d receipts for %d events", len(receipts), len(events))
		}
		r.note(group, receipts, err)
		if err := errors.Join(err, r.save(ctx)); err != nil {
			return 0, err
		}
	}
	return r.wait(), nil
}

// collect returns the events that are due, in the order of their due times, and passes over
// due times that were missed and get none.
func (r *Runner) collect(now time.Time) (list []due) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.Paused {
			continue
		}
		if e.now.After.After(now) { // the clock was set back: what is published again is a duplicate
			e.now.After = now
		}
		if oldest := now.Add(-maxAge); e.now.After.Before(oldest) {
			e.now.After = oldest
		}
		times, total := e.plan.Between(e.now.After, now, spec.MaxMissed)
		if total == 0 {
			continue
		}
		done := times[len(times)-1]
		chosen := choose(times, now, e.Missed)
		if skipped := total - len(chosen); skipped > 0 {
			e.now.Missed += uint64(skipped)
			r.cfg.Logger.Warn("due times of a schedule were missed", "schedule", e.Name, "missed", skipped, "missed_policy", e.Missed)
		}
		if len(chosen) == 0 {
			e.now.After = done
			continue
		}
		e.now.After = chosen[0].Add(-time.Nanosecond) // missed ones before it are counted
		for i, at := range chosen {
			d := due{name: e.Name, definition: e.definition(), at: at, done: at}
			if i == len(chosen)-1 {
				d.done = done
			}
			ev, err := eventOf(e.Schedule, KeyOf(e.Name, at), at, spec.Publisher{})
			if err != nil { // Compile has made one
				r.refused(e, err)
				continue
			}
			d.event = ev
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b due) int { return a.at.Compare(b.at) })
	return list
}

// choose returns the due times that get an event.
func choose(times []time.Time, now time.Time, missed spec.Missed) []time.Time {
	late := now.Add(-Lateness)
	onTime, _ := slices.BinarySearchFunc(times, late, time.Time.Compare)
	switch {
	case missed == spec.MissedAll:
		return times
	case missed == spec.MissedOnce && onTime > 0:
		return times[onTime-1:]
	}
	return times[onTime:]
}

// note records what became of a group.
func (r *Runner) note(group []due, receipts []event.Receipt, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	for i, d := range group {
		e := r.entry(d.name)
		if e == nil || e.definition() != d.definition { // changed meanwhile: what is published again is a duplicate
			continue
		}
		if err != nil {
			r.refused(e, err)
			continue
		}
		switch receipt := receipts[i]; {
		case receipt.Err == nil:
			e.now.LastDue, e.now.LastAt, e.now.LastEvent = d.at, now, receipt.EventID
			e.now.LastError, e.now.LastErrorAt = "", time.Time{}
			if !receipt.Duplicate {
				e.now.Published++
			}
		case fault.Is(receipt.Err, fault.Conflict): // published before the schedule had this content
		default:
			r.refused(e, receipt.Err)
			r.cfg.Logger.Error("event of a schedule refused", "schedule", e.Name, "due", d.at, "error", receipt.Err)
		}
		e.now.After = d.done
	}
}

// refused records a failure. It requires r.mu.
func (r *Runner) refused(e *entry, err error) {
	r.failed[e.Name]++
	e.now.LastError, e.now.LastErrorAt = fault.Public(err.Error(), err), r.cfg.Now().UTC()
}

// save stores the positions that have changed, and removes those of schedules that are gone.
func (r *Runner) save(ctx context.Context) error {
	list, err := r.unsaved()
	if err != nil || len(list) == 0 {
		return err
	}
	if err := r.cfg.Store.PutDocuments(ctx, list); err != nil {
		return fmt.Errorf("store the positions of schedules: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range list {
		if r.stored[d.ID] = d.Body; d.Body == "" {
			delete(r.stored, d.ID)
		}
	}
	return nil
}

// unsaved returns the documents that the store does not have as they are.
func (r *Runner) unsaved() (list []event.Document, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := maps.Clone(r.stored)
	for _, e := range r.entries {
		delete(gone, e.Name)
		d, err := e.now.document(e.Name)
		if err != nil {
			return nil, err
		}
		if r.stored[e.Name] != d.Body {
			list = append(list, d)
		}
	}
	for name := range gone {
		list = append(list, event.Document{Kind: documentKind, ID: name})
	}
	return list, nil
}

// entry returns the schedule of a name, or nil. It requires r.mu.
func (r *Runner) entry(name string) *entry {
	at, found := slices.BinarySearchFunc(r.entries, name, func(e *entry, name string) int { return cmp.Compare(e.Name, name) })
	if !found {
		return nil
	}
	return r.entries[at]
}

// wait returns the time until the next due time, at most maxWait.
func (r *Runner) wait() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, wait := r.cfg.Now().UTC(), maxWait
	for _, e := range r.entries {
		if next, ok := e.next(now); ok {
			wait = min(wait, next.Sub(now))
		}
	}
	return max(0, wait)
}

// next returns the next due time, false for none.
func (e *entry) next(now time.Time) (time.Time, bool) {
	if e.Paused {
		return time.Time{}, false
	}
	after := e.now.After
	if after.After(now) {
		after = now
	}
	next := e.plan.Next(after)
	return next, !next.IsZero()
}

// RunNow publishes an event of a schedule now, as the caller's, whether it is paused or not, and leaves its due
// times as they are. fault.NotFound: there is no schedule of this name.
func (r *Runner) RunNow(ctx context.Context, name string, by spec.Publisher) (wire.ScheduleRun, error) {
	s, err := r.find(name)
	if err != nil {
		return wire.ScheduleRun{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return wire.ScheduleRun{}, fault.New(fault.Unavailable, "make a key: %w", err)
	}
	ev, err := eventOf(s, SourceOf(name)+":run:"+id.String(), r.cfg.Now(), by)
	if err != nil {
		return wire.ScheduleRun{}, err
	}
	receipts, err := r.cfg.Publish(ctx, []*event.Event{ev})
	if err == nil {
		err = receipts[0].Err
	}
	if err != nil {
		return wire.ScheduleRun{}, fmt.Errorf("run schedule %s: %w", name, err)
	}
	return wire.ScheduleRun{Schedule: name, EventID: receipts[0].EventID, IdempotencyKey: receipts[0].IdempotencyKey}, nil
}

func (r *Runner) find(name string) (spec.Schedule, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entry(name); e != nil {
		return e.Schedule, nil
	}
	return spec.Schedule{}, fault.New(fault.NotFound, "there is no schedule %s; schedules are in the configuration", fault.Quote(name))
}

// List returns the schedules by name.
func (r *Runner) List() []wire.Schedule {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	list := make([]wire.Schedule, 0, len(r.entries))
	for _, e := range r.entries {
		list = append(list, e.view(now, r.failed[e.Name]))
	}
	return list
}

func (e *entry) view(now time.Time, failed uint64) wire.Schedule {
	w := wire.Schedule{Name: e.Name, Cron: e.Cron, EventType: e.Type, Subject: e.Subject, Missed: string(cmp.Or(e.Missed, spec.MissedSkip)),
		Paused: e.Paused, Published: e.now.Published, MissedRuns: e.now.Missed, Failed: failed, LastEventID: e.now.LastEvent, LastError: e.now.LastError,
		LastDueAt: optional(e.now.LastDue), LastRunAt: optional(e.now.LastAt), LastErrorAt: optional(e.now.LastErrorAt)}
	if e.Every != 0 {
		w.Every = e.Every.String()
	} else {
		w.Zone = e.plan.zone.String()
	}
	if next, ok := e.next(now); ok {
		w.NextDueAt = &next
	}
	return w
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
