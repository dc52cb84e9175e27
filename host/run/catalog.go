package run

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/eventtypes"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/schedules"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/wire"
)

// CheckedBus is a bus that refuses events which the schemas of their types refuse.
type CheckedBus struct {
	*bus.Bus
	Types *eventtypes.Types
}

// NewCheckedBus returns a bus that checks events by the types in force.
func NewCheckedBus(events *bus.Bus, table func() *eventtypes.Table, log bus.Log, logger *slog.Logger) CheckedBus {
	taken := func(ctx context.Context, key string) (bool, error) {
		_, err := log.Event(ctx, key)
		if fault.Is(err, fault.NotFound) {
			_, err = log.ScheduledEvent(ctx, key) // not due yet, or cancelled
		}
		if fault.Is(err, fault.NotFound) {
			return false, nil
		}
		return err == nil, err
	}
	return CheckedBus{events, eventtypes.New(eventtypes.Config{Table: table, Taken: taken, Now: time.Now, Logger: logger})}
}

// PublishEvents implements ports.Publisher.
func (b CheckedBus) PublishEvents(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	return b.Types.Publish(ctx, events, b.Bus.PublishEvents)
}

// EventTypes is the event types with their subscribers, for the API.
type EventTypes struct {
	Types       *eventtypes.Types
	Subscribers func(event.Type) []string
}

// List implements catalog.EventTypes.
func (e EventTypes) List() []wire.EventType { return e.Types.List(e.Subscribers) }

// Type implements catalog.EventTypes.
func (e EventTypes) Type(name string) (wire.EventType, error) {
	return e.Types.Type(name, e.Subscribers)
}

// Schedules returns a runner of schedules, which has none yet.
func Schedules(ctx context.Context, events CheckedBus, store schedules.Store, logger *slog.Logger) (*schedules.Runner, error) {
	return schedules.Open(ctx, schedules.Config{Store: store, Publish: events.PublishEvents, Now: time.Now, Logger: logger})
}

// ScheduleFigures returns the function that returns the figures of schedules.
func ScheduleFigures(list func() []wire.Schedule) func() []figures.Schedule {
	return func() (figuresOf []figures.Schedule) {
		for _, s := range list() {
			f := figures.Schedule{Name: s.Name, Published: s.Published, Missed: s.MissedRuns, Failed: s.Failed}
			if s.NextDueAt != nil {
				f.NextDue = *s.NextDueAt
			}
			figuresOf = append(figuresOf, f)
		}
		return figuresOf
	}
}
