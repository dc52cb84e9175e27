package config

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/spec"
)

// The values of event_types.<type>.mode.
const (
	modeReject = "reject"
	modeWarn   = "warn"
)

// typeText is a section of event_types as the file has it.
type typeText struct {
	Schema      schemaSource
	Mode        string
	Description string
	Owner       string
}

// schemaSource is a schema: a file, or a JSON Schema in the file itself; neither for none.
type schemaSource struct {
	file   string
	inline json.RawMessage
}

// eventTypesField describes the events of single types. The schemas are compiled by package
// eventtypes.
func eventTypesField(c *Config) field {
	return field{path: "event_types",
		doc: "What is known about the events of a type. An event whose data its type's schema refuses is not published: 400, with the position " +
			"in the data. The schema also counts for events that plugins emit (INVALID), for edited copies and for schedules; not for those of " +
			"the orders API. What the log already has under the event's key is recognised first.",
		about: func() about {
			return about{key: "<type>", schema: object{"propertyNames": object{"pattern": eventTypePattern}},
				parts: typeTable(newType()).fields}
		},
		read: func(v document.Value) {
			for _, e := range v.EntriesUpTo(maxNamed, "event types") {
				if _, err := parseEventType(e.Key); err != nil {
					e.Value.Fail("%v", err)
				}
				t := newType()
				typeTable(t).read(e.Value)
				c.EventTypes = append(c.EventTypes, spec.EventType{Type: e.Key, Schema: t.Schema.inline, File: t.Schema.file, Warn: t.Mode == modeWarn,
					Description: t.Description, Owner: t.Owner, Line: e.Line})
			}
		},
		each: func(emit func(string, state)) {
			for _, et := range c.EventTypes {
				t := &typeText{Schema: schemaSource{et.File, et.Schema}, Mode: modeOf(et), Description: et.Description, Owner: et.Owner}
				for path, s := range typeTable(t).states() {
					if s.text != "" {
						emit("event_types."+et.Type+"."+path, s)
					}
				}
			}
		},
	}
}

func newType() *typeText { return &typeText{Mode: modeReject} }

func modeOf(t spec.EventType) string {
	if t.Warn {
		return modeWarn
	}
	return modeReject
}

// eventTypePattern is what event.ParseType takes.
const eventTypePattern = `^[a-z0-9][a-z0-9_.-]{0,127}$`

func typeTable(t *typeText) table {
	return table{fields: []field{
		setting("schema", schemaKind(), &t.Schema,
			"The JSON Schema of the data, of draft 2020-12, or 2019-09 or draft-07 if `$schema` names it: a mapping, or the path of a JSON file "+
				"of at most 64 KiB. A changed schema file counts from the next reload. "+
				"References lead to parts of the same schema only. Without it any data is taken.").unset("").with(func(s *state) {
			s.secret = true // long
			if len(t.Schema.inline) > 0 {
				s.shown = fmt.Sprintf("in the file, %d bytes", len(t.Schema.inline))
			}
		}),
		setting("mode", wordKind(modeReject, modeWarn), &t.Mode,
			"What becomes of events that the schema refuses: they are not published, or they are published, counted and logged."),
		setting("description", textKind("text", parseDescription), &t.Description, "What the events are, for people.").unset(`""`),
		setting("owner", textKind("text", parseDescription), &t.Owner, "Who answers for them, for people.").unset(`""`),
	}}
}

func parseDescription(s string) (string, error) {
	const limit = 1000
	return valid(s, len(s) <= limit, "is over %d bytes", limit)
}

// schemaKind is a JSON Schema, or the path of a file with one.
func schemaKind() kind[schemaSource] {
	read := func(v document.Value) (s schemaSource) {
		switch v.Tag() {
		case "!!map", "!!bool":
			s.inline = v.JSON()
		case "!!str":
			if s.file = v.Raw(); s.file == "" {
				v.Fail("must be a JSON Schema, or the path of a file with one")
			}
		default:
			v.Fail("must be a JSON Schema, or the path of a file with one, not %s", v.Kind())
		}
		return s
	}
	text := func(s schemaSource) string {
		if s.file != "" {
			return strconv.Quote(s.file)
		}
		return string(s.inline)
	}
	return kind[schemaSource]{read, text, func() about {
		return about{label: "JSON Schema or path", schema: object{"type": []string{"string", "object", "boolean"}}}
	}}
}
