package doctor

import (
	"fmt"
	"os"
	"time"
)

// Bounds of a sane clock.
const (
	firstYear = 2025        // the program is younger than that
	lastYear  = 2100        // a clock beyond it was never set
	tolerated = time.Minute // a file's time may be ahead by
	maxStep   = time.Second // the wall clock may move against the monotonic one while the doctor looks
)

// Clock looks at the clock: began is a time.Now of when the examination began,
// with its monotonic reading, and now is one of just now. Files were written by
// a host: their times cannot be ahead.
func Clock(began, now time.Time, files ...string) []Finding {
	const check = "clock"
	wall := now.Round(0).Sub(began.Round(0)) // without the monotonic reading
	shown := now.Format(time.RFC3339)
	var findings []Finding
	if year := now.UTC().Year(); year < firstYear || year > lastYear {
		findings = append(findings, Bad(check, fmt.Sprintf("it says %s: it was never set", shown), "set it, and have it kept by NTP; events carry its time"))
	}
	if step := (wall - now.Sub(began)).Abs(); step > maxStep {
		findings = append(findings, Warn(check, fmt.Sprintf("it was moved by %s while it was watched", step.Round(time.Millisecond)),
			"have it slewed and not stepped; retention and retries go by it"))
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			continue // it is not there, or the look at it says why not
		}
		if ahead := info.ModTime().Sub(now); ahead > tolerated {
			findings = append(findings, Warn(check, fmt.Sprintf("it says %s, but %s was written %s later: it was set back", shown, path, ahead.Round(time.Second)),
				"set it right; new events would look older than those before them"))
			break
		}
	}
	if findings == nil {
		findings = append(findings, Good(check, shown))
	}
	return findings
}
