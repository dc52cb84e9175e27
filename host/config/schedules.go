package config

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// maxSchedules bounds the schedules of a file.
const maxSchedules = 1000

// schedulesField is the schedules, by name. Their due times are checked by package
// schedules.
func schedulesField(c *Config) field {
	return field{path: "schedules",
		doc: "Events that the host publishes by the clock. The event of a due time has the key `schedule:NAME:TIME`, with the time in UTC, so " +
			"that neither a restart nor a clock that was set back publishes one twice. A new schedule, and one with another `cron`, `zone` or " +
			"`every`, starts now.",
		about: func() about {
			return about{key: "<name>", schema: object{"propertyNames": object{"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}},
				parts: scheduleTable(newSchedule("")).fields}
		},
		read: func(v document.Value) {
			for _, e := range v.EntriesUpTo(maxSchedules, "schedules") {
				if _, err := parseScheduleName(e.Key); err != nil {
					e.Value.Fail("%v", err)
				}
				s := newSchedule(e.Key)
				s.Line = e.Line
				scheduleTable(s).read(e.Value)
				c.Schedules = append(c.Schedules, *s)
			}
		},
		each: func(emit func(string, state)) {
			for i := range c.Schedules {
				for path, s := range scheduleTable(&c.Schedules[i]).states() {
					if s.text != "" {
						emit("schedules."+c.Schedules[i].Name+"."+path, s)
					}
				}
			}
		},
	}
}

// newSchedule returns a schedule without settings.
func newSchedule(name string) *spec.Schedule {
	return &spec.Schedule{Name: name, Data: []byte("null"), Missed: spec.MissedSkip}
}

func scheduleTable(s *spec.Schedule) table {
	return table{[]field{
		setting("event_type", textKind("event type", parseEventType), &s.Type, "The type of the event. Required.").unset(`""`),
		setting("cron", textKind("cron expression", anyText), &s.Cron,
			"Five fields: minute, hour, day of month, month, day of week; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this "+
				"or `every`. When clocks change, a schedule for all hours follows the elapsed time. One for certain hours fires once a day: a "+
				"local time that comes twice counts at first, and one that does not exist counts at the end of the gap.").unset(`""`),
		setting("zone", textKind("time zone", anyText), &s.Zone, "The IANA time zone of `cron`, such as `Europe/Berlin`; by default UTC.").unset(`""`),
		setting("every", durationKind(time.Second, 366*day), &s.Every,
			"An interval in whole seconds. Due times are its multiples since 1970-01-01T00:00:00Z, the same ones on every host.").unset("0s"),
		setting("data", dataKind(), (*json.RawMessage)(&s.Data), "The data of the event.").unset("null").with(func(s *state) {
			if len(s.text) > 200 {
				s.shown, s.secret = fmt.Sprintf("%d bytes", len(s.text)), true
			}
		}),
		setting("subject", textKind("text", parseSubject), &s.Subject, "The subject of the event.").unset(`""`),
		setting("missed", wordKind(spec.MissedSkip, spec.MissedOnce, spec.MissedAll), &s.Missed,
			"What becomes of due times for which no event could be published within a minute: nothing, one event for the newest, or an event "+
				"for each, at most the newest 1,000.").unset("skip"),
		setting("paused", boolKind(), &s.Paused, "It has no due times; when it goes on, it starts now.").unset("false"),
	}, []check{{"", func(v document.Value, keys map[string]document.Value) {
		_, typed := keys["event_type"]
		_, cron := keys["cron"]
		_, every := keys["every"]
		switch {
		case !typed:
			v.Fail("needs event_type")
		case !cron && !every:
			v.Fail("needs cron or every")
		case cron && every:
			v.Fail("has both cron and every; leave one out")
		}
	}}}}
}

func parseScheduleName(s string) (string, error) {
	_, err := parseName(s)
	return valid(s, err == nil, "is not a schedule's name: it must be 1 to 63 of a-z 0-9 and -, and not begin with -")
}

func parseEventType(s string) (string, error) {
	_, err := event.ParseType(s)
	return valid(s, err == nil, "is not an event type: it must be 1 to 128 of a-z 0-9 _ . and -, and begin with a letter or a digit")
}

func parseSubject(s string) (string, error) {
	return valid(s, len(s) <= event.MaxText, "is over %d bytes", event.MaxText)
}

// dataKind is any value, kept as JSON.
func dataKind() kind[json.RawMessage] {
	return kind[json.RawMessage]{document.Value.JSON, jsonText[json.RawMessage], func() about {
		return about{label: "any value", schema: object{}}
	}}
}
