package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

// size is how long the failure tests are.
type size struct {
	rounds int // of a fault
	calm   int // events that are acknowledged before and after a fault
}

var (
	quick = size{rounds: 2, calm: 150}
	long  = size{rounds: 25, calm: 600}
)

// The load of a failure test, and the bounds of its results.
const (
	hosts       = 3
	handlers    = 4
	keys        = 8
	attemptWork = 3 * time.Millisecond
	publishWait = 10 * time.Millisecond

	outcomeLimit = 3 * time.Minute
)

// bounds are what times may be.
type bounds struct {
	takeover, gap time.Duration
	begin         time.Duration // for attempts of a host that is cut off: a lease's 2 s, and the way of a request to the recorder
}

// boundsOn returns the bounds on a machine that is so many times slower.
func boundsOn(slow int) bounds {
	n := time.Duration(slow)
	return bounds{takeover: n * 5 * time.Second, gap: n * time.Second, begin: 2*time.Second + n*250*time.Millisecond}
}

// trial is a failure test while it runs.
type trial struct {
	*fleet.Fleet
	size
	load *fleet.Load

	earlier []check.Event // acknowledged before load began
	aside   check.Report  // on a handler that is not among the fleet's
	notes   []string      // what was measured besides, for the reader
	undo    []func() error
	disk    *fleet.Disk // of smallDisk
	next    int         // of elsewhere
}

// note adds a line to what the test says.
func (t *trial) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// scenario is a failure test: what it does, and the further conditions on its report.
type scenario struct {
	name     string
	long     bool                                // not one of the quick ones
	root     bool                                // only root can run it
	settings []string                            // of PostgreSQL
	layout   fleet.Layout                        // of the handlers
	pause    time.Duration                       // of a publisher after an event; 0 is publishWait
	install  bool                                // there is a handler that can be installed
	prepare  func(context.Context, *trial) error // before the hosts start
	do       func(context.Context, *trial) error
	expect   func(check.Report, bounds) error
}

// result is a line of the table.
type result struct {
	scenario string
	check.Report
	err error
}

// faults runs the failure tests and prints the table of their results.
func faults(ctx context.Context, o options, s size, stdout io.Writer) error {
	var results []result
	for _, sc := range scenarios() {
		if o.only != "" && o.only != sc.name || o.only == "" && sc.long && s == quick {
			continue
		}
		if sc.root && o.only == "" && os.Geteuid() != 0 {
			fmt.Fprintf(stdout, "%-18s left out: it mounts a disk, which only root can\n", sc.name)
			continue
		}
		sc.layout.Shards = cmp.Or(sc.layout.Shards, o.shards)
		began := time.Now()
		report, notes, err := sc.run(ctx, o, s)
		state := "ok"
		if err != nil {
			state = err.Error()
		}
		fmt.Fprintf(stdout, "%-18s %5.1f s  %s\n", sc.name, time.Since(began).Seconds(), state)
		for _, note := range notes {
			fmt.Fprintf(stdout, "    %s\n", note)
		}
		results = append(results, result{sc.name, report, err})
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if len(results) == 0 {
		return fmt.Errorf("there is no failure test %q", o.only)
	}
	fmt.Fprintln(stdout)
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "fault\tacknowledged\tattempts\tduplicates\torder\toverlaps\tlosses\tlate\ttakeover\tgap\t")
	var errs []error
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f s\t%.2f s\t\n", r.scenario, r.Acknowledged, r.Attempts, r.Duplicates, r.Order,
			r.Overlaps, r.Losses, r.Late, r.Takeover.Seconds(), r.Gap.Seconds())
		if r.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.scenario, r.err))
		}
	}
	return errors.Join(append(errs, table.Flush())...)
}

// run runs one failure test on a fleet of its own.
func (sc scenario) run(ctx context.Context, o options, s size) (report check.Report, notes []string, err error) {
	cfg := fleet.Config{Berth: o.berth, Hosts: hosts, Guest: o.guest, Handlers: handlers, Work: attemptWork, Settings: sc.settings, Layout: sc.layout}
	if sc.install {
		cfg.Installed = installed
	}
	f, err := fleet.New(cfg)
	if err != nil {
		return report, nil, err
	}
	t := &trial{Fleet: f, size: s}
	var log check.Log
	defer func() {
		if err != nil && o.keep != "" {
			err = errors.Join(err, keepLogs(f, log, filepath.Join(o.keep, sc.name)))
		}
		err = errors.Join(err, f.Close())
		for _, undo := range t.undo {
			err = errors.Join(err, undo())
		}
	}()
	if sc.prepare != nil {
		if err := sc.prepare(ctx, t); err != nil {
			return report, nil, err
		}
	}
	if err := f.StartAll(ctx); err != nil {
		return report, nil, err
	}
	if sc.layout.Shards > 1 {
		if err := t.awaitLayout(ctx, sc.layout); err != nil {
			return report, nil, err
		}
	}
	t.load = f.Publish(ctx, "key", keys, cmp.Or(sc.pause, publishWait))
	if err := t.load.AwaitMore(ctx, s.calm); err != nil {
		return report, nil, err
	}
	log = check.Log{Handlers: f.Handlers(), BeginFor: boundsOn(o.slow).begin, PerKey: sc.layout.Shards > 1, From: f.Clock()}
	doing := sc.do(ctx, t)
	if doing == nil {
		doing = t.load.AwaitMore(ctx, s.calm)
	}
	log.Until = f.Clock()
	events, err := t.load.Stop()
	if err := errors.Join(doing, err); err != nil {
		return report, t.notes, err
	}
	limited, cancel := context.WithTimeout(ctx, outcomeLimit)
	defer cancel()
	var missing error
	log.Acknowledged, log.Finals, missing = f.Outcomes(limited, append(t.earlier, events...))
	log.Records, log.Incidents = recordsOf(f.Recorder.Records(), log.Handlers...), f.Incidents()
	report = check.Check(log)
	report.Add(t.aside)
	errs := []error{missing}
	if !report.Right() {
		errs = append(errs, errors.New("the guarantees were not kept"))
	}
	for _, problem := range report.Problems {
		errs = append(errs, errors.New(problem))
	}
	if sc.expect != nil {
		errs = append(errs, sc.expect(report, boundsOn(o.slow)))
	}
	return report, t.notes, errors.Join(errs...)
}

// recordsOf returns the records of some handlers.
func recordsOf(list []check.Record, handlers ...string) []check.Record {
	return slices.DeleteFunc(list, func(r check.Record) bool { return !slices.Contains(handlers, r.Handler) })
}

// keepLogs copies what is known about a failure into a directory.
func keepLogs(f *fleet.Fleet, log check.Log, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var errs []error
	for _, h := range f.Hosts {
		text, err := os.ReadFile(h.LogFile())
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, h.Name+".log"), text, 0o600))
	}
	log.Records, log.Incidents = f.Recorder.Records(), f.Incidents()
	text, err := json.Marshal(log)
	return errors.Join(append(errs, err, os.WriteFile(filepath.Join(dir, "log.json"), text, 0o600))...)
}
