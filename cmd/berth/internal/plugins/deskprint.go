package plugins

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// printTrial prints the report of plugin test for people.
func (a app) printTrial(r trialReport) error {
	counts := make(map[string]int)
	for i, d := range r.Deliveries {
		counts[d.Last().Status]++
		for _, attempt := range d.Attempts {
			a.printAttempt(i+1, d, attempt)
		}
		for _, difference := range r.Differences {
			if difference.Event == i+1 {
				a.printDifference(difference)
			}
		}
	}
	for _, difference := range r.Differences {
		if difference.Event == 0 {
			a.printDifference(difference)
		}
	}
	var parts []string
	for _, status := range []string{desk.StatusOK, desk.StatusRetry, desk.StatusReject, desk.StatusFailed} {
		if n := counts[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	summary := fmt.Sprintf("%s %s: %s", r.Plugin, console.Count(len(r.Deliveries), "event"), strings.Join(parts, ", "))
	switch {
	case r.Updated:
		return a.Print("%s; %s is written\n", summary, r.Golden)
	case r.Golden == "":
		return a.Print("%s; there is no golden file\n", summary)
	case len(r.Differences) > 0:
		return a.Print("%s; %s from %s\n", summary, console.Count(len(r.Differences), "difference"), r.Golden)
	}
	return a.Print("%s; as in %s\n", summary, r.Golden)
}

// printAttempt prints one attempt at the event with this number.
func (a app) printAttempt(number int, d desk.Delivery, at desk.Attempt) {
	status := at.Status
	if at.Number > 1 {
		status += fmt.Sprintf(" (attempt %d)", at.Number)
	}
	a.Print("%d  %s  %s  fuel %s, %.2f ms, %s\n", number, string(d.EventType), status, vet.Amount(at.Fuel, ""), at.DurationMS,
		vet.Amount(uint64(at.Memory), "bytes"))
	if len(at.Result) > 0 {
		a.Print("   result  %s\n", at.Result)
	}
	if at.Message != "" {
		label := "reason"
		if at.Status == desk.StatusFailed {
			label = string(at.Class)
		}
		a.Print("   %s  %s\n", label, console.Lines(at.Message))
	}
	for _, line := range at.Logs {
		a.Print("   log     %s: %s\n", line.Level, line.Message)
	}
	for _, c := range at.Children {
		due := ""
		if c.DeliverAt != "" {
			due = ", due at " + c.DeliverAt
		} else if c.DeliverAfter != "" {
			due = ", due after " + c.DeliverAfter
		}
		a.Print("   child   %s %s, key %s%s\n", string(c.Type), c.Data, c.IdempotencyKey, due)
	}
	for _, c := range at.KV {
		expires := ""
		if c.Expires {
			expires = ", expires"
		}
		a.Print("   kv      %s: %s, was %s%s\n", c.Key, valueOf(c.After), valueOf(c.Before), expires)
	}
	for _, c := range at.HTTP {
		a.Print("   http    %s\n", c.String())
	}
}

// valueOf returns a value of the key-value state for people.
func valueOf(value *string) string {
	if value == nil {
		return "none"
	}
	return strconv.Quote(*value)
}

func (a app) printDifference(d desk.Difference) {
	where := ""
	if d.Attempt > 1 {
		where = fmt.Sprintf(" of attempt %d", d.Attempt)
	}
	a.Print("   DIFFERS %s%s\n     golden  %s\n     now     %s\n", d.What, where, d.Want, d.Got)
}
