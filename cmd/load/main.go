// Command load measures a host under load: it starts the berth binary with a temporary
// data directory, publishes over HTTP, and prints tables in Markdown. It shares the machine
// with the host, so that figures compare only on one machine, one after the other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-host/berth/cmd/load/internal/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run measures what the arguments select. It prints the tables also of a host that answers
// with wrong or missing results, which is an error at the end.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	began := time.Now()
	suite := measure.Suite{Progress: func(format string, args ...any) {
		fmt.Fprintf(stderr, "%4.0f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	berth := flags.String("berth", "bin/berth", "the berth binary to measure; an older one is fine")
	flags.StringVar(&suite.Target.Guests, "guests", "testdata/guests", "the directory testdata/guests")
	var names []string
	for _, p := range suite.Parts() {
		names = append(names, p.Name)
	}
	only := flags.String("only", "", "measure only these `parts`, separated by commas: "+strings.Join(names, ", ")+" (default all)")
	short := flags.Bool("short", false, "run every part with small sizes: a test of the generator, not a measurement")
	events := flags.Int("events", 0, "events of the parts retained and results (default 1,000,000 and 20,000)")
	repeats := flags.Int("repeat", 0, "runs of each figure (default 5)")
	limit := flags.Duration("limit", 90*time.Minute, "the time after which the measurements are given up")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 || *events < 0 || *repeats < 0 {
		return fmt.Errorf("usage: load [flags], with numbers from 1: %q", args)
	}
	suite.Sizes = measure.Full()
	if *short {
		suite.Sizes = measure.Short()
	}
	if *events > 0 {
		suite.Sizes.Retained, suite.Sizes.Results = *events, *events
	}
	if *repeats > 0 {
		suite.Sizes.Repeats = *repeats
	}
	var err error
	if suite.Target.Binary, err = filepath.Abs(*berth); err != nil {
		return err
	}
	parts, err := selected(suite.Parts(), *only)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not done within %v: -limit sets another time", *limit))
	defer cancel()
	return measureParts(ctx, parts, stdout)
}

// selected returns the parts that only names, or all.
func selected(parts []measure.Part, only string) (chosen []measure.Part, err error) {
	if only == "" {
		return parts, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		var names []string
		found := false
		for _, p := range parts {
			names = append(names, p.Name)
			if p.Name == name {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-only: %q is no part; the parts are %s", name, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}

func measureParts(ctx context.Context, parts []measure.Part, stdout io.Writer) error {
	var all error
	for _, part := range parts {
		tables, err := part.Do(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", part.Name, err)
		}
		var wrong measure.Wrong
		if err != nil && !errors.As(err, &wrong) {
			return errors.Join(all, err)
		}
		all = errors.Join(all, err)
		for _, table := range tables {
			if _, err := table.WriteTo(stdout); err != nil {
				return errors.Join(all, err)
			}
		}
	}
	return all
}
