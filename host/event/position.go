package event

import (
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// Position names a position in the log: by a Seq, by a time, by a duration back from
// now, or as the earliest event. Exactly one of the fields is set.
type Position struct {
	Seq      uint64        // from 1
	Time     time.Time     // of publishing
	Ago      time.Duration // back from now; above zero
	Earliest bool
}

// earliest names the log's first event.
const earliest = "earliest"

// maxAgo is the maximum of Ago: 100 years.
const maxAgo = 36_500 * day

const day = 24 * time.Hour

// ParsePosition parses a position: "earliest", a Seq ("1042"), an RFC 3339 time
// ("2026-05-01T10:00:00Z"), or a duration back from now in days, hours, minutes and
// seconds ("7d", "1h", "1d12h", "90m"). The error is fault.Invalid without a field.
func ParsePosition(text string) (Position, error) {
	if text == earliest {
		return Position{Earliest: true}, nil
	}
	if isDigits(text) {
		if n, err := strconv.ParseUint(text, 10, 63); err == nil && n > 0 {
			return Position{Seq: n}, nil
		}
		return Position{}, fault.New(fault.Invalid, "%s is not a Seq of the log: they start at 1", fault.Quote(text))
	}
	if ago, ok := parseAgo(text); ok {
		if ago <= 0 || ago > maxAgo {
			return Position{}, fault.New(fault.Invalid, "%s is not a time before now, and within 100 years of it", fault.Quote(text))
		}
		return Position{Ago: ago}, nil
	}
	if t, err := ParseTime(text); err == nil {
		return Position{Time: t}, nil
	}
	return Position{}, fault.New(fault.Invalid,
		"%s is not a position in the log; use a time (2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq (1042) or %q",
		fault.Quote(text), earliest)
}

// parseAgo parses a duration. A whole number of days comes first.
func parseAgo(text string) (time.Duration, bool) {
	days, clock, found := strings.Cut(text, "d")
	if !found {
		d, err := time.ParseDuration(text)
		return d, err == nil
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil || !isDigits(days) {
		return 0, false
	}
	ago := time.Duration(n) * day
	if clock == "" {
		return ago, true
	}
	d, err := time.ParseDuration(clock)
	return ago + d, err == nil && d >= 0 && d < day && clock[0] >= '0' && clock[0] <= '9'
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// When returns the time of the position, and false for a position without one.
func (p Position) When(now time.Time) (time.Time, bool) {
	switch {
	case p.Ago > 0:
		return now.Add(-p.Ago), true
	case !p.Time.IsZero():
		return p.Time, true
	}
	return time.Time{}, false
}
