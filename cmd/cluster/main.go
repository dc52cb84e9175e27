// Command cluster runs three hosts over one PostgreSQL server on this machine: a demo, which
// kills one of them and shows the takeover, and with -suite the failure tests, whose results
// it prints as a table, or the measurement of what several hosts deliver.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	berth, plugins, guest string
	suite, only, keep     string
	slow, shards          int
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.berth, "berth", "bin/berth", "the berth binary")
	flags.StringVar(&o.plugins, "plugins", "plugins", "where the example handlers are")
	flags.StringVar(&o.guest, "guest", "testdata/guests/record_attempts.wasm", "the module that records attempts")
	flags.StringVar(&o.suite, "suite", "", "quick or long: the failure tests; scale: what three hosts deliver in relation to one")
	flags.IntVar(&o.shards, "shards", 0, "of the handlers of failure tests that do not say it, and of -suite scale; 0 is 1, and 16")
	flags.StringVar(&o.only, "only", "", "the one failure test to run")
	flags.StringVar(&o.keep, "logs", "", "a directory for the logs of a failure test that failed")
	flags.IntVar(&o.slow, "slow", 1, "how many times longer the bounds of times are, on a machine that has other work")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.slow < 1 {
		return errors.New("-slow is at least 1")
	}
	switch o.suite {
	case "":
		return demo(ctx, o, stdout)
	case "quick":
		return faults(ctx, o, quick, stdout)
	case "long":
		return faults(ctx, o, long, stdout)
	case "scale":
		return scale(ctx, o, stdout)
	}
	return errors.New("-suite is quick, long or scale")
}
