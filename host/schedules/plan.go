package schedules

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for systems without a database of time zones

	"github.com/robfig/cron/v3"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// The bounds of Schedule.Every.
const (
	MinEvery = time.Second
	MaxEvery = 366 * 24 * time.Hour
)

// Plan has the due times of a schedule, in UTC and whole seconds. It is immutable and safe
// for concurrent use.
type Plan struct {
	every time.Duration // 0: cron

	clock cron.SpecSchedule // of a wall clock
	zone  *time.Location
	// hourly is true when every hour of the day matches: due times then follow the elapsed
	// time when clocks change.
	hourly bool
}

// NewPlan returns the due times of a schedule. Errors are fault.Invalid in the field cron,
// zone or every.
func NewPlan(s spec.Schedule) (*Plan, error) {
	switch {
	case s.Cron == "" && s.Every == 0:
		return nil, fault.Field("", "needs cron or every")
	case s.Cron != "" && s.Every != 0:
		return nil, fault.Field("every", "cannot be used together with cron")
	case s.Every != 0:
		return newInterval(s)
	}
	zone, err := zoneOf(s.Zone)
	if err != nil {
		return nil, err
	}
	clock, err := parseCron(s.Cron)
	if err != nil {
		return nil, err
	}
	const allHours = 1<<24 - 1
	p := &Plan{clock: *clock, zone: zone, hourly: clock.Hour&allHours == allHours}
	if p.Next(time.Now()).IsZero() {
		return nil, fault.Field("cron", "%s never fires: no such time exists within the next five years", fault.Quote(s.Cron))
	}
	return p, nil
}

func newInterval(s spec.Schedule) (*Plan, error) {
	switch {
	case s.Zone != "":
		return nil, fault.Field("zone", "belongs to cron; an interval has no time zone")
	case s.Every < MinEvery || s.Every > MaxEvery:
		return nil, fault.Field("every", "is %s; it must be %s to %s", s.Every, MinEvery, MaxEvery)
	case s.Every%time.Second != 0:
		return nil, fault.Field("every", "is %s; it must be whole seconds", s.Every)
	}
	return &Plan{every: s.Every}, nil
}

// zoneOf returns a time zone of the IANA database.
func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if name == "Local" { // another one on each machine
		return nil, fault.Field("zone", "must be the name of a time zone, such as Europe/Berlin, not Local")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fault.Field("zone", "there is no time zone %s; use a name of the IANA database, such as Europe/Berlin or UTC", fault.Quote(name))
	}
	return zone, nil
}

// parseCron parses an expression of five fields, or a descriptor such as @daily.
func parseCron(text string) (*cron.SpecSchedule, error) {
	refuse := func(format string, args ...any) (*cron.SpecSchedule, error) {
		return nil, fault.Field("cron", format, args...)
	}
	switch at, err := time.Parse(time.RFC3339, text); {
	case err == nil && at.Before(time.Now()):
		return refuse("%s is a time in the past; a schedule needs five fields, such as 0 3 * * *", fault.Quote(text))
	case err == nil:
		return refuse("%s is one time; a schedule needs five fields, such as 0 3 * * *. Publish an event with metadata.deliver_at for one time",
			fault.Quote(text))
	case strings.Contains(text, "TZ="):
		return refuse("%s names a time zone; put it into zone", fault.Quote(text))
	case strings.HasPrefix(text, "@every"):
		return refuse("%s is an interval; write it as every", fault.Quote(text))
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return refuse("%s is no cron expression: %v. It has five fields (minute, hour, day of month, month, day of week), such as 0 3 * * *, "+
			"or is @hourly, @daily, @weekly, @monthly or @yearly", fault.Quote(text), err)
	}
	clock, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return refuse("%s is no cron expression of five fields", fault.Quote(text))
	}
	clock.Location = time.UTC
	return clock, nil
}

// Next returns the first due time after t; zero when there is none within five years.
//
// The due times of every are multiples of it since 1970-01-01T00:00:00Z, so that all hosts
// have the same ones. Those of cron are of the local clock. When clocks change:
//
//   - A schedule for all hours (* or 0-23) follows the elapsed time: in the hour that comes
//     twice it is due in both, and in the hour that is skipped not at all.
//   - A schedule for certain hours is due once for each day that it is for: at the first of two equal
//     local times, and for local times that do not exist once, at the end of the gap.
func (p *Plan) Next(t time.Time) time.Time {
	switch {
	case p.every != 0:
		return floor(t, p.every).Add(p.every)
	case p.hourly:
		return p.nextElapsed(t)
	}
	return p.nextLocal(t)
}

// floor returns the last multiple of every that is not after t.
func floor(t time.Time, every time.Duration) time.Time {
	seconds := int64(every / time.Second)
	unix := t.Unix() // rounds down
	return time.Unix(unix-(unix%seconds+seconds)%seconds, 0).UTC()
}

// wall returns the local time at t as if its zone were UTC.
func (p *Plan) wall(t time.Time) time.Time {
	_, offset := t.In(p.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// nextLocal finds the due time of schedules for certain hours. The instant of a local time
// does not decrease with it, so that the first one after t is that of a later local time.
func (p *Plan) nextLocal(t time.Time) time.Time {
	for local := p.clock.Next(p.wall(t)); !local.IsZero(); local = p.clock.Next(local) {
		if due := p.instant(local); due.After(t) {
			return due
		}
	}
	return time.Time{}
}

// instant returns when a local time is: at first if it comes twice, and the end of the gap
// if it does not exist.
func (p *Plan) instant(local time.Time) time.Time {
	t := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), 0, 0, p.zone)
	start, end := t.ZoneBounds()
	switch shown := p.wall(t); {
	case shown.After(local): // as before the gap
		return start.UTC()
	case shown.Before(local): // as after it
		return end.UTC()
	case start.IsZero():
		return t.UTC()
	}
	_, offset := start.Add(-time.Second).Zone()
	if before := local.Add(-time.Duration(offset) * time.Second); before.Before(start) {
		return before
	}
	return t.UTC()
}

// nextElapsed finds the due time of schedules for all hours: in each period without a change
// of the clock, the local times follow the elapsed ones.
func (p *Plan) nextElapsed(t time.Time) time.Time {
	const periods = 64 // more than in five years
	for range periods {
		local := p.wall(t)
		next := p.clock.Next(local)
		if next.IsZero() {
			return next
		}
		due := t.Add(next.Sub(local)).UTC()
		_, end := t.In(p.zone).ZoneBounds()
		if end.IsZero() || due.Before(end) {
			return due
		}
		if p.matches(p.wall(end)) {
			return end.UTC()
		}
		t = end
	}
	return time.Time{}
}

// matches reports whether a schedule is due at a local time.
func (p *Plan) matches(local time.Time) bool {
	return p.clock.Next(local.Add(-time.Second)).Equal(local)
}

// Between returns the newest due times after one time and not after another, ascending, at most limit, and
// the number of all of them.
func (p *Plan) Between(after, until time.Time, limit int) (newest []time.Time, total int) {
	if p.every != 0 {
		if d := floor(until, p.every).Sub(floor(after, p.every)); d > 0 {
			total = int(d / p.every)
		}
		after = floor(until, p.every).Add(-time.Duration(min(total, limit)) * p.every)
		for range min(total, limit) {
			after = after.Add(p.every)
			newest = append(newest, after)
		}
		return newest, total
	}
	for due := p.Next(after); !due.IsZero() && !due.After(until); due = p.Next(due) {
		if total++; len(newest) == 2*limit {
			newest = slices.Delete(newest, 0, limit)
		}
		newest = append(newest, due)
	}
	return newest[max(0, len(newest)-limit):], total
}
