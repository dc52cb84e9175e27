package config

import (
	"time"

	"github.com/berth-host/berth/host/config/document"
)

// Start is where a handler without a position in the log begins. The zero value is
// now: the handler receives events published from then on.
type Start struct {
	Earliest bool      // the first event that the log has
	At       time.Time // the first event of this time or later; zero if unset
}

// String returns the value as the file could hold it.
func (s Start) String() string {
	switch {
	case s.Earliest:
		return "earliest"
	case !s.At.IsZero():
		return s.At.Format(time.RFC3339Nano)
	}
	return "now"
}

func startKind() kind[Start] {
	return kind[Start]{readStart, Start.String, func() about {
		return about{label: "now, earliest or an RFC 3339 time", schema: object{"type": "string"}}
	}}
}

func readStart(v document.Value) (s Start) {
	if tag := v.Tag(); tag != "!!str" && tag != "!!timestamp" {
		v.Fail("must be now, earliest or a time such as 2026-01-31T08:00:00Z, not %s", v.Kind())
		return s
	}
	switch text := v.Raw(); text {
	case "now":
	case "earliest":
		s.Earliest = true
	default:
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || at.Year() < 1970 {
			v.Fail("%s is not now, earliest or an RFC 3339 time such as 2026-01-31T08:00:00Z", document.Quote(text))
			return s
		}
		s.At = at.UTC()
	}
	return s
}
