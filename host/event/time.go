package event

import (
	"regexp"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
)

var rfc3339 = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}` +
	`(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

// ParseTime parses an RFC 3339 time (section 5.6) of the years 1970 to 9999. A leap
// second is the second after it. The result is in UTC and never the zero time. The
// error is fault.Invalid without a field.
func ParseTime(text string) (time.Time, error) {
	invalid := fault.New(fault.Invalid, "%s is not an RFC 3339 time, such as 2026-05-01T10:00:00Z", fault.Quote(text))
	if !rfc3339.MatchString(text) {
		return time.Time{}, invalid
	}
	upper := strings.ToUpper(text)
	leap := upper[17:19] == "60"
	if leap {
		upper = upper[:17] + "59" + upper[19:]
	}
	t, err := time.Parse(time.RFC3339Nano, upper)
	if err != nil {
		return time.Time{}, invalid
	}
	t = t.UTC()
	if leap {
		if t.Hour() != 23 || t.Minute() != 59 {
			return time.Time{}, invalid
		}
		t = t.Add(time.Second)
	}
	if y := t.Year(); y < 1970 || y > 9999 {
		return time.Time{}, fault.New(fault.Invalid, "%s is in the year %d of UTC, outside 1970 to 9999", fault.Quote(text), y)
	}
	return t, nil
}
