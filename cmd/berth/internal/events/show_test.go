package events

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// printed returns what an app prints.
func printed(print func(a app)) string {
	var out bytes.Buffer
	print(app{&command.Env{Console: &console.Console{Out: &out, Err: &out}}})
	return out.String()
}

// TestShowHistory: each failed attempt is shown with its error, its stack and its log, and
// nothing of it can steer the terminal or forge a line.
func TestShowHistory(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 45, 19, 0, time.UTC)
	got := printed(func(a app) {
		_ = a.print(wire.Event{Seq: 7, EventType: "order_placed", Data: []byte(`{"n":1}`), CopyOf: "original", Only: "judge",
			Metadata:    []byte(`{"event_id":"e","idempotency_key":"k","subject":"o-1","causation_id":"c","time":"2026-05-01T10:45:00Z"}`),
			PublishedBy: &spec.Publisher{Token: "t1", Name: "ci"},
			Deliveries: []wire.Delivery{
				{Plugin: "audit", Status: "ok", Attempts: 1, History: []wire.PastAttempt{{Attempt: 1, Status: "ok", At: at}}},
				{Plugin: "judge", Status: "retrying", Attempts: 3, At: at, DueAt: &at, WaitingFor: &wire.WaitingFor{Kind: "retry", Until: &at},
					Error: &wire.DeliveryError{Class: "trap", Message: "index out of range"},
					History: []wire.PastAttempt{
						{Attempt: 1, Status: "retrying", At: at, DurationMS: 1.5, Fuel: 42, Version: "1.2.0", Instance: 3,
							Error: &wire.DeliveryError{Class: "trap", Message: "index out of range\ngoroutine 1", Stack: []spec.Frame{
								{Function: "main.validate", File: "src/main.go", Line: 12}, {Function: "main.\x1b[2Jhandle"}}},
							Logs: []spec.GuestLine{{At: at, Level: "warn", Message: "total is 0\njudge retrying"}}},
						{Attempt: 2, Status: "retrying", At: at, SHA256: strings.Repeat("0a", 32), Error: &wire.DeliveryError{Class: "timeout", Message: "took too long"}},
					}},
			}}, false)
	})
	for _, want := range []string{"event    e\n", "by       token ci (t1)\n", "cause    c\n", "copy of  original\n", "only     judge\n",
		"judge waits until " + console.Clock(at) + " for attempt 4\n  now:   berth events retry e --plugin judge\n" +
			"  never: berth events skip e --plugin judge\n", "\njudge\n",
		"  attempt 1  " + console.Clock(at) + "  trap  1.50 ms, fuel 42, version 1.2.0, instance 3\n    index out of range\n      at main.validate  (src/main.go:12)\n",
		"      at main.\ufffd[2Jhandle\n", "  warn   total is 0 judge retrying\n",
		"  attempt 2  " + console.Clock(at) + "  timeout  0.00 ms, fuel 0, version 0a0a0a0a0a0a\n    took too long\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\naudit\n") || strings.Contains(got, "goroutine") {
		t.Errorf("it shows what says nothing:\n%s", got)
	}
}

func TestWaiting(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 45, 19, 0, time.UTC)
	for kind, want := range map[string]string{
		"retry":    "waits until " + console.Clock(at) + " for attempt 2",
		"key":      "waits behind event e, which has the same order key and is tried again at " + console.Clock(at),
		"breaker":  "waits until " + console.Clock(at) + " for its breaker to let an event through: because",
		"pause":    "waits for the plugin to be resumed: because",
		"stuck":    "waits, because the log cannot be read there: because",
		"instance": "waits for a free instance: because",
		"backlog":  "waits for earlier events to be read first: because",
		"disabled": "waits: because",
		"later":    "waits until " + console.Clock(at) + " for later: because",
	} {
		d := wire.Delivery{Attempts: 1, WaitingFor: &wire.WaitingFor{Kind: kind, EventID: "e", Until: &at, Reason: "because"}}
		if got := waiting(d); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
	unknown := wire.Delivery{WaitingFor: &wire.WaitingFor{Kind: "key", EventID: "e", Reason: "because"}}
	if got, want := waiting(unknown), "waits behind event e, which has the same order key: because"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := waiting(wire.Delivery{}); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestPublisherInWords(t *testing.T) {
	for want, p := range map[string]spec.Publisher{
		"token admin":              {Token: "admin", Name: "admin"},
		"token ci (t1)":            {Token: "t1", Name: "ci"},
		"token ci (t1), by orders": {Token: "t1", Name: "ci", Source: "orders"},
		"plugin fraud-check":       {Source: "fraud-check"},
		"the schedule nightly":     {Source: "schedule:nightly"},

		"token ci (t1), by the schedule nightly": {Token: "t1", Name: "ci", Source: "schedule:nightly"},
		"the orders":                             {Source: "orders"},
	} {
		if got := publisher(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCounts(t *testing.T) {
	for want, c := range map[string]*wire.DeliveryCounts{
		"-": nil, "none": {}, "2 ok": {OK: 2}, "1 dead, 2 retrying, 3 delivering, 4 pending, 5 ok": {OK: 5, Dead: 1, Retrying: 2, Delivering: 3, Pending: 4},
	} {
		if got := counts(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRemedies: what a delivery waits for is shown with the commands that end it.
func TestRemedies(t *testing.T) {
	for kind, want := range map[string]string{
		"retry":    "now:   berth events retry e --plugin p; never: berth events skip e --plugin p",
		"key":      "see it:  berth events show other; skip it: berth events skip other --plugin p",
		"breaker":  "now: berth events retry e --plugin p",
		"pause":    "berth plugin resume p",
		"stuck":    "berth plugin show p",
		"disabled": "berth plugin show p",
		"instance": "",
	} {
		got := remedies("e", wire.Delivery{Plugin: "p", WaitingFor: &wire.WaitingFor{Kind: kind, EventID: "other"}})
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%s: got %q, want %q", kind, text, want)
		}
	}
}

// TestShowRedelivery: the first attempt after a redrive is marked, because attempts are counted
// anew.
func TestShowRedelivery(t *testing.T) {
	got := printed(func(a app) {
		_ = a.printHistories("e", []wire.Delivery{{Plugin: "p", History: []wire.PastAttempt{
			{Attempt: 1, Error: &wire.DeliveryError{Class: "trap"}}, {Attempt: 2, Error: &wire.DeliveryError{Class: "trap"}}, {Attempt: 1, Status: "ok"}}}})
	})
	if strings.Count(got, "delivered again") != 1 || strings.Index(got, "delivered again") < strings.Index(got, "attempt 2") {
		t.Errorf("got\n%s", got)
	}
}
