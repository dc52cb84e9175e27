package events

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

func (a app) log() *cobra.Command {
	return a.Remote("log", "Show the event log, and how far each handler is in it", func(ctx context.Context, _ []string) error {
		return command.Fetch(ctx, a.Env, "GET", path+"/log", nil, a.printLog)
	})
}

func (a app) printLog(s wire.LogStatus) error {
	used := "no limit"
	if s.MaxBytes > 0 {
		used = fmt.Sprintf("of %s, %.0f %%", console.Bytes(s.MaxBytes), 100*float64(s.Bytes)/float64(s.MaxBytes))
	}
	state := "takes events"
	if s.Full {
		state = "FULL: it takes no events"
	}
	if s.Problem != "" {
		state = "STOPPED: " + s.Problem
	}
	a.Print("engine     %s, %s\nevents     %s\nbytes      %s (%s)\noldest     %s\nretention  %s\n",
		s.Engine, state, content(s), console.Bytes(s.Bytes), used, console.ClockOr(s.OldestAt), retention(s.RetentionS))
	if s.Scheduled > 0 {
		share := ""
		if s.MaxBytes > 0 {
			share = fmt.Sprintf(" of %s", console.Bytes(s.MaxBytes/2))
		}
		a.Print("scheduled  %s not due yet, %s%s: berth events scheduled\n", console.Count(int(s.Scheduled), "event"),
			console.Bytes(s.ScheduledBytes), share)
	}
	if len(s.Handlers) == 0 {
		return a.Print("\nNo handler has a position in it.\n")
	}
	a.Print("\n")
	err := console.Table(a.Console, "HANDLER\tLAG\tCURSOR\tOPEN\tDEAD\tOLDEST\tLOST", s.Handlers,
		func(h wire.LogReader) console.Cells {
			return console.Cells{h.Plugin, h.Lag, h.Cursor, h.Open, h.Dead, console.ClockOr(h.OldestAt), h.Lost}
		})
	if err == nil {
		err = a.Print("\nLOST counts since the host started.\n")
	}
	return err
}

// content says which events the log has.
func content(s wire.LogStatus) string {
	switch {
	case s.LastSeq == 0:
		return "none yet"
	case s.Events == 0:
		return fmt.Sprintf("none; the last one was %d", s.LastSeq)
	}
	return fmt.Sprintf("%d, from %d to %d", s.Events, s.FirstSeq, s.LastSeq)
}

// retention returns a duration in days and the remainder.
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
