package run

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
)

const (
	// unroutedEvery is the interval between two log lines about one type.
	unroutedEvery = 10 * time.Minute
	// unroutedTypes bounds the number of types logged in that interval.
	unroutedTypes = 100
)

// Unrouted logs the types of events without a route: such an event is stored, and no
// handler takes it. It is for one goroutine.
type Unrouted struct {
	table  func() *route.Table
	now    func() time.Time
	logger *slog.Logger
	since  time.Time
	logged map[event.Type]bool // since then
}

// NewUnrouted returns an observer for the route table in force.
func NewUnrouted(table func() *route.Table, now func() time.Time, logger *slog.Logger) *Unrouted {
	return &Unrouted{table: table, now: now, logger: logger, logged: make(map[event.Type]bool)}
}

// Run logs types of events that are published from now on, until ctx ends.
func (u *Unrouted) Run(ctx context.Context, b *bus.Bus) {
	buf := make([]event.Record, 256)
	for ctx.Err() == nil {
		sub := b.Subscribe(b.Last() + 1)
		for n, err := sub.Next(ctx, buf); err == nil; n, err = sub.Next(ctx, buf) {
			u.note(buf[:n])
		}
		sub.Close()
		select { // unreadable events are skipped
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// note logs the types of these events that no route takes.
func (u *Unrouted) note(records []event.Record) {
	table := u.table()
	for _, rec := range records {
		typ := rec.Event.Type()
		if table.Routed(typ) {
			continue
		}
		if now := u.now(); now.Sub(u.since) >= unroutedEvery {
			clear(u.logged)
			u.since = now
		}
		if u.logged[typ] || len(u.logged) == unroutedTypes {
			continue
		}
		u.logged[typ] = true
		u.logger.Warn("event type has no route, so no handler takes it; add one under routes: in the configuration",
			"event_type", string(typ), "event_id", rec.Event.ID(), "event_source", rec.Event.Metadata().Source)
		if len(u.logged) == unroutedTypes {
			u.logger.Warn("further event types without a route are not logged", "types", unroutedTypes, "for", unroutedEvery)
		}
	}
}
