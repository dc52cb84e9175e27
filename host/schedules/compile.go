package schedules

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// SourceOf returns the source of a schedule's events, in their metadata and as their
// publisher. It is no name of a plugin.
func SourceOf(name string) string { return "schedule:" + name }

// KeyOf returns the idempotency key of a schedule's event at a due time.
func KeyOf(name string, due time.Time) string {
	return SourceOf(name) + ":" + due.UTC().Format(time.RFC3339)
}

// Timed is a schedule with its due times.
type Timed struct {
	spec.Schedule
	plan *Plan
}

// Problem is what is wrong with one schedule.
type Problem struct {
	Index  int    // in the list
	Field  string // "" for the schedule as a whole
	Reason string
}

// Compile returns the schedules with their due times, or what is wrong with them. check
// returns why the event types refuse an event.
func Compile(list []spec.Schedule, check func(*event.Event) error) (timed []Timed, problems []Problem) {
	for i, s := range list {
		plan, err := NewPlan(s)
		if err == nil {
			var ev *event.Event
			if ev, err = eventOf(s, KeyOf(s.Name, time.Unix(0, 0)), time.Time{}, spec.Publisher{}); err == nil {
				err = check(ev)
			}
		}
		if err != nil {
			p := Problem{Index: i, Reason: err.Error()}
			var wrong *fault.Error
			if errors.As(err, &wrong) {
				p.Field, p.Reason = wrong.Field, wrong.Reason
			}
			problems = append(problems, p)
			continue
		}
		timed = append(timed, Timed{s, plan})
	}
	return timed, problems
}

// eventOf makes an event of a schedule.
func eventOf(s spec.Schedule, key string, at time.Time, by spec.Publisher) (*event.Event, error) {
	ev, err := event.New(event.Draft{Type: s.Type, Data: json.RawMessage(s.Data), Subject: s.Subject, Source: SourceOf(s.Name),
		IdempotencyKey: key, Time: at})
	if err != nil {
		return nil, err
	}
	by.Source = SourceOf(s.Name)
	return ev.WithOrigin(event.Origin{Publisher: by}), nil
}

// definition identifies the due times of a schedule: one with other due times starts now.
func (t Timed) definition() string {
	if t.Every != 0 {
		return "every " + t.Every.String()
	}
	return "cron " + t.Cron + " " + t.plan.zone.String()
}
