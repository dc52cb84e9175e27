package plugins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/toolchain"
)

// trial has the arguments and flags of plugin test.
type trial struct {
	module, events string
	golden         string // "": beside the events
	config         string // files; "" for none
	secrets        string
	kv             string
	http           string
	deny           []string
	tolerance      string
	fuel           desk.Tolerance
	attempts       int
	seed           uint64
	update         bool
	asJSON         bool
}

const maxInput = 64 << 20 // bytes of a file that plugin test reads

// stopTimeout bounds how long an instance may take to end after END.
const stopTimeout = 10 * time.Second

func (a app) test() *cobra.Command {
	var t trial
	cmd := command.New("test FILE.wasm EVENTS.jsonl", "Deliver the events of a file to a module at the desk; needs no running host",
		func(ctx context.Context, args []string) (err error) {
			t.module, t.events = args[0], args[1]
			if err := t.check(); err != nil {
				return err
			}
			return a.runTrial(ctx, t)
		})
	cmd.Long = `Loads a module into the sandbox of a host, delivers the events of a file one
after the other, and prints the outcome of each: result, log, children, changes
of the key-value state, HTTP requests, fuel, time and memory. Each line of the
file is an event: {"event_type": …, "data": …, "metadata": …}, where all but the
type may be missing.

Runs are repeatable: the clock begins at the time of each event, random bytes
come from --seed, and HTTP answers from a file. Everything that the manifest asks
for is granted, except for --deny.

The outcomes are compared with those of a golden file, which --update writes:
EVENTS.golden.json beside the events, unless --golden names another. Times and
memory are not compared, and fuel only with --fuel-tolerance.

Exit codes:
  0  every outcome is the golden one; without a golden file: no event failed
  1  an outcome differs, or an event failed without a golden file
  2  the command line is invalid`
	cmd.Example = `  berth plugin test big-order.wasm orders.jsonl --update
  berth plugin test big-order.wasm orders.jsonl --fuel-tolerance 5%`
	f := cmd.Flags()
	f.StringVar(&t.golden, "golden", "", "the golden file (default: EVENTS.golden.json)")
	f.BoolVar(&t.update, "update", false, "write the golden file")
	f.StringVar(&t.config, "config", "", "the handler's configuration: a file with a JSON object")
	f.StringVar(&t.secrets, "secrets", "", `secrets: a file such as {"api-key": "…"}`)
	f.StringVar(&t.kv, "kv", "", `the key-value state at the start: a file such as {"points/c-1": "20"}`)
	f.StringVar(&t.http, "http", "", `recorded HTTP answers: a file such as
[{"request": {"method": "GET", "url": "https://…"}, "response": {"status": 200, "body": "…"}}]`)
	f.StringSliceVar(&t.deny, "deny", nil, "a capability that is not granted: emit, http, kv or secret")
	f.StringVar(&t.tolerance, "fuel-tolerance", "", "fail when an event needs more fuel than the golden file has, by more than this: 5%")
	f.IntVar(&t.attempts, "attempts", 1, "deliver an event at most so often while it fails or asks for a retry")
	f.Uint64Var(&t.seed, "seed", 1, "seed of the random bytes")
	f.BoolVar(&t.asJSON, "json", false, "print the report as JSON")
	return cmd
}

// check checks the flags.
func (t *trial) check() error {
	if t.attempts < 1 || t.attempts > 100 {
		return command.Usage("--attempts must be 1 to 100")
	}
	known := []string{abi.CapabilityEmit, abi.CapabilityHTTP, abi.CapabilityKV, abi.CapabilitySecret}
	for _, name := range t.deny {
		if !slices.Contains(known, name) {
			return command.Usage("--deny %s: there is no such capability; they are %s", name, strings.Join(known, ", "))
		}
	}
	t.fuel = -1
	if t.tolerance != "" {
		number, ok := strings.CutSuffix(t.tolerance, "%")
		percent, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if !ok || err != nil || !(percent >= 0 && percent <= 1000) {
			return command.Usage("--fuel-tolerance %s: give a percentage, such as 5%%", t.tolerance)
		}
		t.fuel = desk.Tolerance(percent / 100)
	}
	if t.update && t.fuel >= 0 {
		return command.Usage("--update writes the fuel that --fuel-tolerance compares: give one of them")
	}
	return nil
}

// goldenPath returns the path of the golden file.
func (t trial) goldenPath() string {
	if t.golden != "" {
		return t.golden
	}
	return strings.TrimSuffix(t.events, ".jsonl") + ".golden.json"
}

// trialReport is the report of plugin test as JSON.
type trialReport struct {
	Plugin      string            `json:"plugin"`
	SHA256      string            `json:"sha256"`
	Deliveries  []desk.Delivery   `json:"deliveries"`
	Golden      string            `json:"golden,omitzero"` // the file, when there is one
	Updated     bool              `json:"updated,omitzero"`
	Differences []desk.Difference `json:"differences,omitzero"`
	Passed      bool              `json:"passed"`
}

// runTrial delivers the events and reports.
func (a app) runTrial(ctx context.Context, t trial) (err error) {
	text, err := a.ReadFile(t.events, maxInput)
	if err != nil {
		return err
	}
	events, err := desk.ParseEvents(text)
	if err != nil {
		return fmt.Errorf("%s: %w", t.events, err)
	}
	setup, err := a.setupOf(t)
	if err != nil {
		return err
	}
	setup.Start = events[0].Metadata().Time
	plugin, err := a.loadAtDesk(ctx, t.module)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plugin.close()) }()
	deliveries, err := deliverAll(ctx, plugin, setup, events, t.attempts)
	if err != nil {
		return err
	}
	if err := a.noteUnsubscribed(plugin.manifest, events); err != nil {
		return err
	}
	report := trialReport{Plugin: plugin.Name(), SHA256: plugin.sha256, Deliveries: deliveries}
	if err := a.compare(t, &report); err != nil {
		return err
	}
	if t.asJSON {
		err = a.EncodeJSON(report, true)
	} else {
		err = a.printTrial(report)
	}
	if err == nil && !report.Passed {
		return t.failure(report)
	}
	return err
}

// noteUnsubscribed names the types of events that a host would not deliver to the plugin.
func (a app) noteUnsubscribed(m abi.Manifest, events []*event.Event) error {
	filter, err := route.FilterOf(m.Name, m)
	if err != nil {
		return err
	}
	noted := make(map[event.Type]bool)
	for _, ev := range events {
		if typ := ev.Type(); !filter.Subscribes(typ) && !noted[typ] {
			noted[typ] = true
			a.Note("berth: a host delivers no %s to %s: its manifest does not subscribe to that type\n", typ, m.Name)
		}
	}
	return nil
}

// setupOf reads the files of the flags.
func (a app) setupOf(t trial) (setup desk.Setup, err error) {
	setup.Deny, setup.Seed = t.deny, t.seed
	for _, f := range []struct {
		path string
		read func([]byte) error
	}{
		{t.config, func(text []byte) (err error) { setup.Config, err = desk.ParseConfig(text); return err }},
		{t.secrets, func(text []byte) (err error) { setup.Secrets, err = desk.ParseTexts(text); return err }},
		{t.kv, func(text []byte) (err error) { setup.KV, err = desk.ParseTexts(text); return err }},
		{t.http, func(text []byte) (err error) { setup.HTTP, err = desk.ParseExchanges(text); return err }},
	} {
		if f.path == "" {
			continue
		}
		text, err := a.ReadFile(f.path, maxInput)
		if err == nil {
			err = f.read(text)
		}
		if err != nil {
			return setup, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return setup, nil
}

// deliverAll delivers the events to one instance after the other.
func deliverAll(ctx context.Context, plugin *loaded, setup desk.Setup, events []*event.Event, attempts int) ([]desk.Delivery, error) {
	session, err := plugin.Start(ctx, setup)
	if err != nil {
		return nil, err
	}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return session.Stop(ctx)
	}
	deliveries, err := session.DeliverEach(ctx, events, attempts)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return deliveries, stop()
}

// compare writes the golden file, or compares the report with it, and sets Passed.
func (a app) compare(t trial, r *trialReport) error {
	run := desk.NewGolden(r.Plugin, r.Deliveries)
	path := t.goldenPath()
	if t.update {
		text, err := run.Encode()
		if err != nil {
			return err
		}
		r.Golden, r.Updated, r.Passed = path, true, true
		return toolchain.WriteFile(path, text)
	}
	text, err := a.ReadFile(path, maxInput)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.golden == "" && t.fuel < 0:
		r.Passed = !slices.ContainsFunc(r.Deliveries, func(d desk.Delivery) bool { return d.Last().Status == desk.StatusFailed })
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no golden file %s: write it with --update", path)
	case err != nil:
		return err
	}
	golden, err := desk.ParseGolden(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.Golden, r.Differences = path, golden.Compare(run, t.fuel)
	r.Passed = len(r.Differences) == 0
	return nil
}

// failure says why the report did not pass, and what to do.
func (t trial) failure(r trialReport) error {
	if r.Golden == "" {
		return errors.New("an event failed; if that is what should happen, write a golden file with --update")
	}
	onlyFuel := !slices.ContainsFunc(r.Differences, func(d desk.Difference) bool { return d.What != "fuel" })
	if onlyFuel {
		return fmt.Errorf("the handler needs more fuel than %s and the tolerance of %s allow; if it must, write the file with --update", r.Golden, t.tolerance)
	}
	return fmt.Errorf("the outcomes differ from %s; if they are right, write the file with --update", r.Golden)
}
