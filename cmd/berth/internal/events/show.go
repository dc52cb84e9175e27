package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func (a app) print(ev wire.Event, wide bool) error {
	meta := metadata(ev)
	a.Print("event    %s\ntype     %s\nsubject  %s\nkey      %s\ntime     %s\n",
		meta.EventID, ev.EventType, meta.Subject, meta.IdempotencyKey, console.Clock(meta.Time))
	if ev.PublishedBy != nil {
		a.Print("by       %s\n", publisher(*ev.PublishedBy))
	}
	if meta.CausationID != "" {
		a.Print("cause    %s\n", meta.CausationID)
	}
	if ev.CopyOf != "" {
		a.Print("copy of  %s\n", ev.CopyOf)
	}
	if ev.Only != "" {
		a.Print("only     %s\n", ev.Only)
	}
	a.Print("data     %s\n\n", string(ev.Data))
	switch ev.Status {
	case wire.EventScheduled:
		return a.Print("It is scheduled: it is due at %s, and has no deliveries before.\n", due(ev.DueAt))
	case wire.EventCancelled:
		return a.Print("It was cancelled at %s, before it was due: no handler gets it.\n", due(ev.CancelledAt))
	}
	if len(ev.Deliveries) == 0 {
		return a.Print("No handler takes it.\n")
	}
	if err := a.printDeliveries(ev.Deliveries, wide); err != nil {
		return err
	}
	return a.printHistories(cmp.Or(meta.EventID, meta.IdempotencyKey), ev.Deliveries)
}

func (a app) printDeliveries(list []wire.Delivery, wide bool) error {
	if wide {
		return console.Table(a.Console, "HANDLER\tSTATUS\tATTEMPTS\tTOOK\tFUEL\tENDED\tMODULE\tANSWER", list,
			func(d wire.Delivery) console.Cells {
				return console.Cells{d.Unit(), d.Status, d.Attempts, took(d), fuel(d), ended(d), module(d), answer(d)}
			})
	}
	return console.Table(a.Console, "HANDLER\tSTATUS\tATTEMPTS\tTOOK\tANSWER", list, func(d wire.Delivery) console.Cells {
		return console.Cells{d.Unit(), d.Status, d.Attempts, took(d), answer(d)}
	})
}

// publisher names who has published an event.
func publisher(p spec.Publisher) string {
	token := "token " + cmp.Or(p.Name, p.Token)
	if p.Token != "" && p.Token != p.Name {
		token += " (" + p.Token + ")"
	}
	switch {
	case p.Source == "":
		return token
	case p.Token == "" && p.Source == event.SourceOrders:
		return "the orders"
	}
	name, scheduled := strings.CutPrefix(p.Source, "schedule:")
	switch {
	case p.Token == "" && scheduled:
		return "the schedule " + name
	case p.Token == "":
		return "plugin " + p.Source
	case scheduled:
		return token + ", by the schedule " + name
	}
	return token + ", by " + p.Source
}

// printHistories prints what the deliveries of the event wait for, what an operator can do
// about it, and their attempts.
func (a app) printHistories(id string, list []wire.Delivery) error {
	waits := false
	for _, d := range list {
		if text := waiting(d); text != "" {
			if !waits {
				a.Print("\n")
			}
			waits = true
			a.Print("%s %s\n", d.Unit(), text)
			for _, command := range remedies(id, d) {
				a.Print("  %s\n", command)
			}
		}
	}
	for _, d := range list {
		if !eventful(d.History) {
			continue
		}
		a.Print("\n%s\n", d.Unit())
		for i, past := range d.History {
			if i > 0 && past.Attempt <= d.History[i-1].Attempt {
				a.Print("  delivered again\n") // by a redrive or a replay, from the first attempt on
			}
			a.printAttempt(past)
		}
	}
	return nil
}

// eventful reports whether attempts have more to show than that the first one was ok.
func eventful(list []wire.PastAttempt) bool {
	for _, past := range list {
		if past.Error != nil || len(past.Logs) > 0 {
			return true
		}
	}
	return false
}

// waiting says what a delivery waits for; "" for nothing.
func waiting(d wire.Delivery) string {
	w := d.WaitingFor
	if w == nil {
		return ""
	}
	until, because := "", ""
	if at := cmp.Or(w.Until, d.DueAt); at != nil {
		until = " until " + console.Clock(*at)
	}
	if w.Reason != "" {
		because = ": " + w.Reason
	}
	switch w.Kind {
	case "retry":
		return fmt.Sprintf("waits%s for attempt %d", until, d.Attempts+1) // which is the reason
	case "key":
		text := "waits behind event " + w.EventID + ", which has the same order key"
		if w.Until != nil {
			return text + " and is tried again at " + console.Clock(*w.Until)
		}
		return text + because
	case "breaker":
		return "waits" + until + " for its breaker to let an event through" + because
	case "pause":
		return "waits for the plugin to be resumed" + because
	case "stuck":
		return "waits, because the log cannot be read there" + because
	case "instance":
		return "waits for a free instance" + because
	case "backlog":
		return "waits for earlier events to be read first" + because
	case "disabled":
		return "waits" + because // the plugin does not run
	}
	return "waits" + until + " for " + w.Kind + because
}

// remedies returns the commands that end what a delivery of the event waits for.
func remedies(id string, d wire.Delivery) []string {
	plugin := " --plugin " + d.Plugin
	switch d.WaitingFor.Kind {
	case "retry":
		return []string{"now:   berth events retry " + id + plugin, "never: berth events skip " + id + plugin}
	case "key":
		if other := d.WaitingFor.EventID; other != "" {
			return []string{"see it:  berth events show " + other, "skip it: berth events skip " + other + plugin}
		}
	case "breaker":
		return []string{"now: berth events retry " + id + plugin}
	case "pause":
		return []string{"berth plugin resume " + d.Plugin}
	case "stuck", "disabled":
		return []string{"berth plugin show " + d.Plugin}
	}
	return nil
}

// printAttempt prints an attempt with its error, its stack and its log.
func (a app) printAttempt(past wire.PastAttempt) {
	outcome := past.Status
	if past.Error != nil {
		outcome = past.Error.Class
	}
	by := ""
	if v := cmp.Or(past.Version, short(past.SHA256)); v != "" {
		by = ", version " + v
	}
	if past.Instance > 0 {
		by += fmt.Sprintf(", instance %d", past.Instance)
	}
	a.Print("  attempt %d  %s  %s  %.2f ms, fuel %d%s\n", past.Attempt, console.Clock(past.At), outcome, past.DurationMS, past.Fuel, by)
	if e := past.Error; e != nil {
		text := e.Message
		if len(e.Stack) > 0 { // which has the calls that follow in the message
			text = event.Headline(text, 500)
		}
		a.Print("    %s\n", console.Lines(text))
		for _, f := range e.Stack {
			at := ""
			if f.File != "" {
				at = fmt.Sprintf("  (%s:%d)", f.File, f.Line)
			}
			a.Print("      at %s%s\n", f.Function, at)
		}
	}
	for _, l := range past.Logs {
		a.Print("    log %s  %-5s  %s\n", l.At.Local().Format("15:04:05.000"), strings.ToLower(l.Level), l.Message)
	}
}

// short returns the beginning of a digest.
func short(sha256 string) string { return sha256[:min(12, len(sha256))] }

// notKept reports whether an older version of the host did not keep the result.
func notKept(d wire.Delivery) bool { return d.ResultKept != nil && !*d.ResultKept }

// tried reports whether an attempt has ended whose figures are known.
func tried(d wire.Delivery) bool { return !notKept(d) && d.Attempts > 0 }

func took(d wire.Delivery) string {
	if !tried(d) {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", d.DurationMS)
}

func fuel(d wire.Delivery) string {
	if !tried(d) {
		return "-"
	}
	return fmt.Sprint(d.Fuel)
}

// ended returns when the last attempt ended, or when the delivery was given up.
func ended(d wire.Delivery) string {
	if d.Attempts == 0 && d.Status != string(event.StatusDead) {
		return "-"
	}
	return console.Clock(d.At)
}

func module(d wire.Delivery) string { return cmp.Or(d.SHA256, "-") }

// answer returns a handler's answer in one line.
func answer(d wire.Delivery) string {
	if d.Error != nil {
		return failure(d.Error)
	}
	if notKept(d) {
		return "(result not kept)"
	}
	if len(d.Result) == 0 || string(d.Result) == "null" {
		return "-"
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, d.Result); err != nil {
		return string(d.Result)
	}
	return compact.String()
}
