package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/wire"
)

// maxModule bounds the file of a module, in bytes.
const maxModule = 256 << 20

func (a app) planConfig() *cobra.Command {
	var manifest string
	var in wire.NewPlan
	cmd := a.Remote("plan [FILE]", "Show what another configuration would do with the events of the log",
		func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				if err := a.readPlanned(&in, args[0]); err != nil {
					return err
				}
			}
			if manifest != "" {
				var err error
				if in.Manifest, err = a.readManifest(manifest); err != nil {
					return err
				}
			}
			return command.Fetch(ctx, a.Env, "POST", "/api/v1/config/plan", in, a.printPlan)
		})
	cmd.Long = `Gives events of the log to the configuration in force and to another one, and shows
for each handler which deliveries it would gain and lose, conditions that fail, events
that a new schema refuses, the most frequent order keys, and whether it would keep up.
Nothing is delivered, and nothing changes.

The other configuration is FILE, or without one the host's own file as it is now, as
for berth config diff. With --manifest it is the one in force with a new version of a
plugin: a manifest, or a module that has one inside.

The host examines up to --max-events events, spread evenly over the time, for at most
20 s. Counts are of the events that it examined. The rates are averages over the time:
a burst can still exceed them. The exit code is 0 whether or not there is a difference;
with --json the answer has it as differs.`
	cmd.Example = "  berth config plan config/event_handlers.yaml --against 24h\n" +
		"  berth config plan --manifest fraud-check.wasm --against 7d"
	cmd.Flags().StringVar(&in.Against, "against", "24h", "examine the events from then on: back from now (24h, 7d), a time, or earliest")
	cmd.Flags().StringVar(&manifest, "manifest", "", "manifest, or module with one, of a new version of a plugin")
	cmd.Flags().IntVar(&in.MaxEvents, "max-events", 0, "examine at most this many events (default 10000, at most 100000)")
	return cmd
}

// readPlanned reads a configuration, and the schemas that it names, for a host that may be on
// another machine.
func (a app) readPlanned(in *wire.NewPlan, path string) error {
	text, err := config.Read(path)
	if err != nil {
		return err
	}
	c, err := config.Parse(path, text)
	if err != nil {
		return err
	}
	in.Config, in.SchemaFiles = new(string(text)), make(map[string]string)
	for _, t := range c.EventTypes {
		if t.File == "" {
			continue
		}
		schema, err := a.ReadFile(t.File, maxConfig)
		if errors.Is(err, fs.ErrNotExist) {
			return document.NewError(document.Problem{File: path, Line: t.Line, Path: "event_types." + t.Type + ".schema", Reason: err.Error()})
		}
		if err != nil {
			return err
		}
		in.SchemaFiles[t.File] = string(schema)
	}
	return nil
}

// readManifest reads a manifest, or the one in a module.
func (a app) readManifest(path string) ([]byte, error) {
	text, err := a.ReadFile(path, maxModule)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(text, []byte("\x00asm")) {
		if !json.Valid(text) {
			return nil, fmt.Errorf("%s is neither a manifest, which is one JSON object, nor a module", path)
		}
		return text, nil
	}
	inside, found, err := abi.FindSection(text, abi.ManifestSection)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !found {
		return nil, fmt.Errorf("%s has no manifest inside: give the manifest's own file", path)
	}
	return inside, nil
}

func (a app) printPlan(p wire.ConfigPlan) error {
	a.Print("%s to %s: %s\n", console.Clock(p.From), console.Clock(p.To), sampleOf(p))
	if p.Events == 0 {
		return a.Print("There is nothing to compare: go further back with --against, such as 7d or earliest.\n")
	}
	a.Print("\n")
	if err := console.Table(a.Console, "PLUGIN\tTAKES NOW\tWOULD TAKE\tGAINED\tLOST\tCONDITION FAILS\tCHANGE", p.Handlers,
		func(h wire.PlannedHandler) console.Cells {
			return console.Cells{h.Plugin, h.Takes, h.WouldTake, h.Gained, h.Lost, h.Failed.Count, cmp.Or(changes(h), "-")}
		}); err != nil {
		return err
	}
	for _, h := range p.Handlers {
		a.printEvents(fmt.Sprintf("%s would gain %s", h.Plugin, deliveries(h.Gained)), h.Gained, h.GainedEvents)
		a.printEvents(fmt.Sprintf("%s would lose %s", h.Plugin, deliveries(h.Lost)), h.Lost, h.LostEvents)
	}
	for _, f := range failures(p.Handlers) {
		a.printEvents(fmt.Sprintf("a condition of %s could not be evaluated for %s (now: %d), which it would not get",
			strings.Join(f.plugins, ", "), count(f.Count, "event"), f.Now), f.Count, f.Events)
	}
	a.printEvents(fmt.Sprintf("the schema of its type would refuse %s (now: %d)", count(p.Refused.Count, "event"), p.Refused.Now),
		p.Refused.Count, p.Refused.Events)
	a.Print("\n")
	same := 0
	for _, h := range p.Handlers {
		if p.Differs && changes(h) == "" && h.Gained == 0 && h.Lost == 0 && h.Failed.Count == 0 && keepsUp(h.Backlog) {
			same++ // what is said of it would hide the others
			continue
		}
		a.printLoad(h)
	}
	if same > 0 {
		a.Print("%s: no difference; --json has their order keys and rates\n", console.Count(same, "handler"))
	}
	for _, u := range p.Unknown {
		a.Print("nothing is known of %s: %s\n", u.Plugin, u.Reason)
	}
	if !p.Differs {
		return a.Print("There is no difference.\n")
	}
	return nil
}

// sampleOf says how much of the log was examined.
func sampleOf(p wire.ConfigPlan) string {
	text := fmt.Sprintf("%d of %s examined", p.Examined, count(p.Events, "event"))
	switch p.Limit {
	case "events":
		text += ", a sample that is spread evenly; examine more with --max-events"
	case "time":
		text += ", a sample, within 20 s"
	}
	if p.Unreadable > 0 {
		text += fmt.Sprintf("; %d of them cannot be read", p.Unreadable)
	}
	return text
}

func count(n uint64, noun string) string { return console.Count(int(n), noun) }

func deliveries(n uint64) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}

// changes says how a handler itself changes.
func changes(h wire.PlannedHandler) string {
	var list []string
	if h.Change != "" {
		list = append(list, h.Change)
	}
	if h.OrderChanged {
		list = append(list, "order by "+cmp.Or(h.OrderBy, "nothing"))
	}
	if h.BatchChanged {
		list = append(list, fmt.Sprintf("batches of %d", h.Batch))
	}
	if len(h.LostGrants) > 0 {
		list = append(list, "without the grant of "+strings.Join(h.LostGrants, ", "))
	}
	return strings.Join(list, ", ")
}

// failed are the events for which a condition of each of some handlers cannot be evaluated.
type failed struct {
	wire.PlannedFailures
	plugins []string
}

// failures returns the failures of the handlers; handlers with the same ones, such as those of a
// route, are together.
func failures(handlers []wire.PlannedHandler) (list []failed) {
	for _, h := range handlers {
		if h.Failed.Count == 0 {
			continue
		}
		i := slices.IndexFunc(list, func(f failed) bool {
			return f.Count == h.Failed.Count && f.Now == h.Failed.Now && slices.Equal(f.Events, h.Failed.Events)
		})
		if i < 0 {
			list = append(list, failed{h.Failed, []string{h.Plugin}})
		} else {
			list[i].plugins = append(list[i].plugins, h.Plugin)
		}
	}
	return list
}

// printEvents prints samples of a kind of events, if there are any.
func (a app) printEvents(title string, n uint64, events []wire.PlannedEvent) {
	if n == 0 {
		return
	}
	more := ":"
	if n > uint64(len(events)) {
		more = fmt.Sprintf(", of them %d here:", len(events))
	}
	a.Print("\n%s%s\n", title, more)
	for _, e := range events {
		reason := ""
		if e.Reason != "" {
			reason = ": " + e.Reason
		}
		a.Print("  %d  %s  %s  %s%s\n", e.Seq, e.EventID, e.EventType, cmp.Or(e.Subject, "-"), reason)
	}
}

// keepsUp reports whether a handler is not known to be too slow.
func keepsUp(b *wire.PlannedBacklog) bool {
	return b == nil || b.GrowthPerS == nil || *b.GrowthPerS == 0
}

// printLoad prints the order keys and the backlog of a handler.
func (a app) printLoad(h wire.PlannedHandler) {
	if len(h.HottestKeys) > 0 && h.WouldTake > 1 {
		var keys []string
		for _, k := range h.HottestKeys[:min(3, len(h.HottestKeys))] {
			keys = append(keys, fmt.Sprintf("%s %.1f %%", k.Key, 100*k.Share))
		}
		a.Print("%s: most frequent keys of %s: %s\n", h.Plugin, h.OrderBy, strings.Join(keys, ", "))
	}
	b := h.Backlog
	switch {
	case b == nil || h.WouldTake == 0:
	case b.MeanMS == nil && b.GrowthPerS != nil:
		a.Print("%s: %.4g events a second would wait, because it is %s\n", h.Plugin, b.EventsPerS, cmp.Or(h.Change, "disabled or paused"))
	case b.Utilisation == nil:
		a.Print("%s: %.4g events a second; whether it keeps up is unknown, because no attempt was measured since the host started\n",
			h.Plugin, b.EventsPerS)
	case *b.Utilisation > 1:
		a.Print("%s: %.4g events a second of %.3g ms each, %d at a time: its backlog would grow by %.3g events a second\n",
			h.Plugin, b.EventsPerS, *b.MeanMS, b.Concurrency, *b.GrowthPerS)
	default:
		busy := "less than 1"
		if *b.Utilisation >= 0.01 {
			busy = fmt.Sprintf("%.0f", 100**b.Utilisation)
		}
		a.Print("%s: %.4g events a second of %.3g ms each, %d at a time: it would keep up, %s %% busy\n",
			h.Plugin, b.EventsPerS, *b.MeanMS, b.Concurrency, busy)
	}
}
