package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
)

const (
	// unroutedEvery is how often the log says of one type that it has no route.
	unroutedEvery = 10 * time.Minute
	// unroutedTypes bounds how many types are said so of in that time.
	unroutedTypes = 100
)

// unrouted logs types of events that no route is for: such an event is stored, and
// reaches no handler. It is used by one goroutine.
type unrouted struct {
	table  func() *route.Table
	now    func() time.Time
	logger *slog.Logger
	since  time.Time
	said   map[event.Type]bool // since then
}

func newUnrouted(table func() *route.Table, now func() time.Time, logger *slog.Logger) *unrouted {
	return &unrouted{table: table, now: now, logger: logger, said: make(map[event.Type]bool)}
}

// run logs types of events that are published from now on, until ctx ends.
func (u *unrouted) run(ctx context.Context, b *bus.Bus) {
	buf := make([]event.Record, 256)
	for ctx.Err() == nil {
		sub := b.Subscribe(b.Last() + 1)
		for n, err := sub.Next(ctx, buf); err == nil; n, err = sub.Next(ctx, buf) {
			u.note(buf[:n])
		}
		sub.Close()
		select { // events that cannot be read are passed over
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// note logs the types of these events that no route takes.
func (u *unrouted) note(records []event.Record) {
	table := u.table()
	for _, rec := range records {
		typ := rec.Event.Type()
		if table.Routed(typ) {
			continue
		}
		if now := u.now(); now.Sub(u.since) >= unroutedEvery {
			clear(u.said)
			u.since = now
		}
		if u.said[typ] || len(u.said) == unroutedTypes {
			continue
		}
		u.said[typ] = true
		u.logger.Warn("no route is for this type of event: it reaches no handler; add one under routes: in the configuration",
			"event_type", string(typ), "event_id", rec.Event.ID(), "source", rec.Event.Metadata().Source)
		if len(u.said) == unroutedTypes {
			u.logger.Warn("further types of events without a route are not named for a while", "types", unroutedTypes, "for", unroutedEvery)
		}
	}
}
