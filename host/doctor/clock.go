package doctor

import (
	"fmt"
	"os"
	"time"
)

// Bounds of a sane clock.
const (
	firstYear = 2025        // the program is newer than that
	lastYear  = 2100        // a clock beyond it was never set
	maxAhead  = time.Minute // of a file's time
	maxStep   = time.Second // of the wall clock against the monotonic one during the examination
)

// Clock checks the clock: began is the time.Now at which the examination began,
// with its monotonic reading, now the present one. The files were written by a
// host, so their times must not be in the future.
func Clock(began, now time.Time, files ...string) []Finding {
	const check = "clock"
	wall := now.Round(0).Sub(began.Round(0)) // without the monotonic reading
	shown := now.Format(time.RFC3339)
	var findings []Finding
	if year := now.UTC().Year(); year < firstYear || year > lastYear {
		findings = append(findings, Bad(check, fmt.Sprintf("the clock reads %s: it was never set", shown),
			"set the clock and synchronise it by NTP; events carry its time"))
	}
	if step := (wall - now.Sub(began)).Abs(); step > maxStep {
		findings = append(findings, Warn(check, fmt.Sprintf("the clock stepped by %s during the examination", step.Round(time.Millisecond)),
			"let NTP slew the clock instead of stepping it; retention and retries depend on it"))
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			continue // missing, or another check reports why
		}
		if ahead := info.ModTime().Sub(now); ahead > maxAhead {
			findings = append(findings, Warn(check, fmt.Sprintf("the clock reads %s, but %s was written %s later: the clock was set back", shown,
				path, ahead.Round(time.Second)),
				"correct the clock; new events would have earlier times than existing ones"))
			break
		}
	}
	if findings == nil {
		findings = append(findings, Good(check, shown))
	}
	return findings
}
