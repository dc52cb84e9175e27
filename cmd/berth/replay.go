package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) eventsReplay() *cobra.Command {
	var in wire.Replay
	cmd := &cobra.Command{
		Use:   "replay --plugin NAME --from PLACE",
		Short: "Deliver a part of the log to one plugin again",
		Long: `Deliver a part of the log to one plugin again, and to no other. PLACE is a time
(2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq (1042) or
earliest. An end that is a Seq is included; of an end that is a time, what was
published before it is.`,
		Example: "  berth events replay --plugin order-audit --from 1h\n  berth events replay --plugin order-audit --from 1042 --to 1100",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for flag, text := range map[string]string{"--from": in.From, "--to": in.To} {
				if flag == "--to" && text == "" {
					continue
				}
				if _, err := event.ParsePosition(text); err != nil {
					return usageError{fmt.Errorf("%s: %w", flag, err)}
				}
			}
			return fetch(cmd.Context(), a, "POST", "/api/v1/events/replay", in, func(r wire.Replaying) error {
				err := a.print("%s is given what it takes of the events %d to %d again\n", r.Plugin, r.FromSeq, r.ToSeq)
				return err
			}, func(r wire.Replaying) error { return about("plugin", r.Plugin, in.Plugin) })
		},
	}
	cmd.Flags().StringVar(&in.Plugin, "plugin", "", "who has the events again")
	cmd.Flags().StringVar(&in.From, "from", "", "where to start")
	cmd.Flags().StringVar(&in.To, "to", "", "where to end (default: the last event there is)")
	_ = cmd.MarkFlagRequired("plugin")
	_ = cmd.MarkFlagRequired("from")
	return a.talks(cmd)
}

func (a *app) eventsLog() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "log",
		Short: "Show how the event log stands, and how far each handler is in it",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd.Context(), a, "GET", "/api/v1/events/log", nil, a.showLog)
		},
	})
}

func (a *app) showLog(s wire.LogStatus) error {
	used := "no limit"
	if s.MaxBytes > 0 {
		used = fmt.Sprintf("of %s, %.0f %%", size(s.MaxBytes), 100*float64(s.Bytes)/float64(s.MaxBytes))
	}
	state := "takes events"
	if s.Full {
		state = "FULL: it takes no events"
	}
	if s.Problem != "" {
		state = "STOPPED: " + s.Problem
	}
	a.print("engine     %s, %s\nevents     %d, from %d to %d\nbytes      %s (%s)\noldest     %s\nretention  %s\n",
		s.Engine, state, s.Events, s.FirstSeq, s.LastSeq, size(s.Bytes), used, clockOr(s.OldestAt), retention(s.RetentionS))
	if len(s.Handlers) == 0 {
		err := a.print("\nNo handler has a place in it.\n")
		return err
	}
	a.print("\n")
	err := a.table("HANDLER\tLAG\tCURSOR\tOPEN\tDEAD\tOLDEST\tSKIPPED\tLOST", len(s.Handlers), func(i int) cells {
		h := s.Handlers[i]
		return cells{h.Plugin, h.Lag, h.Cursor, h.Open, h.Dead, clockOr(h.OldestAt), h.HistorySkipped, h.Lost}
	})
	if err == nil {
		err = a.print("\nSKIPPED and LOST count since the host started.\n")
	}
	return err
}

func clockOr(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return clock(*t)
}

// size is a number of bytes, for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefixes := float64(n)/unit, "KMGTPE"
	for value >= unit && len(prefixes) > 1 {
		value, prefixes = value/unit, prefixes[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, prefixes[0])
}

// retention is a duration in days and what is left of them.
func retention(seconds int64) string {
	if seconds <= 0 {
		return "for ever"
	}
	const day = 24 * 60 * 60
	var parts []string
	if days := seconds / day; days > 0 {
		parts = append(parts, fmt.Sprintf("%dd", days))
	}
	if remainder := seconds % day; remainder > 0 {
		parts = append(parts, (time.Duration(remainder) * time.Second).String())
	}
	return strings.Join(parts, " ")
}
