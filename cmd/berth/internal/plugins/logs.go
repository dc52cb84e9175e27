package plugins

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

const (
	// logsEvery is the interval at which a host is asked for further lines.
	logsEvery = 500 * time.Millisecond
	maxLines  = 1000
)

func (a app) logs() *cobra.Command {
	var eventID string
	var limit int
	follow := false
	cmd := a.Remote("logs NAME", "Show what a plugin has logged", func(ctx context.Context, args []string) error {
		if limit < 1 || limit > maxLines {
			return command.Usage("--limit must be 1 to %d, not %d", maxLines, limit)
		}
		at := command.Path(pluginPath(args[0])+"/logs", "event", eventID, "limit", strconv.Itoa(limit))
		about := func(l wire.PluginLog) error { return client.About("plugin", l.Plugin, args[0]) }
		if follow {
			return a.followLogs(ctx, at, about)
		}
		return command.Fetch(ctx, a.Env, "GET", at, nil, a.printLog, about)
	})
	cmd.Long = `Show what a plugin has logged, oldest line first: the lines of its log calls, and
of a stdio plugin's stderr. The host keeps up to 256 KiB of lines for each plugin in
memory, none across a restart. With --follow further lines are shown as they come,
until Ctrl-C; with --json each line is a JSON object then.`
	cmd.Example = "  berth plugin logs order-audit --follow\n  berth plugin logs order-audit --event 0197a3c5-7b1e-7000-8000-000000000001"
	cmd.Flags().StringVar(&eventID, "event", "", "only lines about this event, by its id")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show further lines as they come, until Ctrl-C")
	cmd.Flags().IntVar(&limit, "limit", 200, "at most so many of the latest lines")
	return cmd
}

// printLog prints a log, and what is missing of it.
func (a app) printLog(l wire.PluginLog) error {
	if len(l.Items) == 0 {
		a.Note("berth: %s has logged nothing of this kind since the host started; what it prints to its output is kept with failed attempts: "+
			"berth events show ID\n", l.Plugin)
	}
	for _, line := range l.Items {
		if err := a.printLine(line); err != nil {
			return err
		}
	}
	if l.Discarded > 0 {
		a.Note("berth: %s since the host started, because they came faster than a plugin may log\n",
			console.Count(int(l.Discarded), "line")+" discarded")
	}
	return nil
}

func (a app) printLine(line wire.LogLine) error {
	if line.Discarded > 0 {
		if err := a.Print("… %s discarded\n", console.Count(int(line.Discarded), "line")); err != nil {
			return err
		}
	}
	about := ""
	if line.EventID != "" {
		about = "  (" + line.EventID + ", attempt " + strconv.Itoa(line.Attempt) + ")"
	}
	return a.Print("%s  %-5s  %s%s\n", line.At.Local().Format("2006-01-02 15:04:05.000"), line.Level, line.Message, about)
}

// followLogs prints the latest lines, and further ones until ctx ends.
func (a app) followLogs(ctx context.Context, at string, about func(wire.PluginLog) error) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	tick := time.NewTicker(logsEvery)
	defer tick.Stop()
	for next := at; ; {
		var l wire.PluginLog
		if _, err = c.Call(ctx, "GET", next, nil, &l); err == nil {
			err = about(l)
		}
		for _, line := range l.Items {
			if err == nil {
				err = command.Show(a.Env, line, a.printLine)
			}
		}
		if ctx.Err() != nil {
			return nil // Ctrl-C
		}
		if err != nil {
			return err
		}
		after := strconv.FormatUint(l.Last, 10)
		if l.Next != nil {
			after = *l.Next
		}
		next = at + "&after=" + after
		if l.Next != nil {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
