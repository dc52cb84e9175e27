package config

import (
	"time"

	"github.com/berth-host/berth/host/config/document"
)

// Start says where in the log a handler begins that has no place there yet. The
// zero value is now: it gets what is published from then on.
type Start struct {
	Earliest bool      // with the first event that the log still has
	At       time.Time // with the first event of this time or later; zero: not said
}

// String writes it as the file would.
func (s Start) String() string {
	switch {
	case s.Earliest:
		return "earliest"
	case !s.At.IsZero():
		return s.At.Format(time.RFC3339Nano)
	}
	return "now"
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
			v.Fail("%s is not now, earliest or a time as in RFC 3339, such as 2026-01-31T08:00:00Z", document.Quote(text))
			return s
		}
		s.At = at.UTC()
	}
	return s
}
