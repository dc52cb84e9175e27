package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

func (a *app) eventsSkip() *cobra.Command {
	var to uint64
	cmd := &cobra.Command{
		Use:   "skip SEQ",
		Short: "Pass over an event that cannot be read because the store is damaged",
		Long: `Pass over an event that cannot be read because the store is damaged. A handler
that is stuck there goes on with the next one, and nobody gets the event any more.
For every handler that has not had it, a dead delivery is recorded. An event that
can be read is not skipped. berth doctor lists what cannot be read.`,
		Example: "  berth events skip 41\n  berth events skip 41 --to 48",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || seq == 0 {
				return usageError{fmt.Errorf("%q is no Seq: a number from 1 on, as the plugin's reason and berth doctor show it", args[0])}
			}
			return fetch(cmd.Context(), a, "POST", "/api/v1/events/skip", wire.Skip{Seq: seq, To: to}, func(s wire.Skipped) error {
				whose := "every handler had had it"
				if len(s.Plugins) > 0 {
					whose = "a dead delivery was recorded for " + strings.Join(s.Plugins, ", ")
				}
				what := fmt.Sprintf("event %d is skipped", s.Seq)
				if s.To > s.Seq {
					what = fmt.Sprintf("events %d to %d are skipped", s.Seq, s.To)
				}
				return a.print("%s; %s\n", what, whose)
			}, func(s wire.Skipped) error { return about("event", fmt.Sprint(s.Seq), args[0]) })
		},
	}
	cmd.Flags().Uint64Var(&to, "to", 0, "the last one of several in a row (default: only SEQ)")
	return a.talks(cmd)
}
