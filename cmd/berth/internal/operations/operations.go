// Package operations has the commands that replay, redrive and retry many events, and follow
// and cancel that.
package operations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/operations"

// pollEvery is the time between two looks at an operation.
const pollEvery = 500 * time.Millisecond

type app struct{ *command.Env }

// Command returns the command operations.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("operations", "Replay, redrive and retry many events, with progress", a.start(), a.list(), a.show(), a.wait(), a.cancel())
}

func (a app) start() *cobra.Command {
	var in wire.NewOperation
	var how Options
	cmd := a.Remote("start KIND --plugin NAME", "Start a replay, redrive or retry of the events that match", func(ctx context.Context, args []string) error {
		in.Kind = args[0]
		return Start(ctx, a.Env, in, how)
	})
	cmd.Long = `Start giving many events to a plugin again, in the background of the host:
  redrive  its dead letters
  retry    its events that wait for their next attempt, now
  replay   its events of a part of the log, also those that succeeded; --from is required
The events that match are counted first, and at a terminal you are asked. An
operation continues after a restart of the host. With --wait the command shows
its progress until it has ended; interrupting the command does not cancel it.`
	cmd.Example = `  berth operations start redrive --plugin pricing --class trap --rate 50
  berth operations start replay --plugin pricing --from 2h --when 'data.total > 100' --wait`
	cmd.Flags().StringVar(&in.Plugin, "plugin", "", "the plugin that gets the events")
	cmd.Flags().StringVar(&in.Name, "name", "", "a name for the operation")
	cmd.Flags().StringVar(&in.Filter.EventType, "type", "", "only events of this type, or a glob such as order_*")
	cmd.Flags().StringVar(&in.Filter.Subject, "subject", "", "only events with this subject")
	cmd.Flags().StringVar(&in.Filter.Class, "class", "", "only those whose last error is of this class; not for a replay")
	cmd.Flags().StringVar(&in.Filter.Issue, "issue", "", "only those whose last error belongs to this issue; not for a replay")
	cmd.Flags().StringVar(&in.Filter.When, "when", "", "only events for which this condition in CEL holds, as in routes")
	cmd.Flags().StringVar(&in.Filter.From, "from", "", "from there on: a time (2026-05-01T10:00:00Z), back from now (1h, 7d), a Seq or earliest")
	cmd.Flags().StringVar(&in.Filter.To, "to", "", "up to there, likewise")
	cmd.Flags().IntVar(&in.Rate, "rate", 0, "at most this many events a second; 0 is no bound")
	cmd.Flags().BoolVar(&in.Preview, "preview", false, "only count the events that match")
	how.Flags(cmd)
	_ = cmd.MarkFlagRequired("plugin")
	return cmd
}

// Options are how an operation is started.
type Options struct{ yes, wait bool }

// Flags adds the flags.
func (o *Options) Flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "show its progress until it has ended")
}

// Start counts the events that an operation would give, asks at a terminal, and starts it. With
// in.Preview it only counts.
func Start(ctx context.Context, env *command.Env, in wire.NewOperation, how Options) error {
	a := app{env}
	c, err := a.Connect()
	if err != nil {
		return err
	}
	if in.Preview || !how.yes {
		preview := in
		preview.Preview = true
		var p wire.OperationPreview
		raw, err := c.Call(ctx, "POST", path, preview, &p)
		switch {
		case err != nil:
			return err
		case in.Preview && a.JSON:
			return a.PrintJSON(raw)
		case in.Preview:
			return a.preview(in, p)
		case p.Matches == 0 && p.Exact:
			return a.none(in)
		case a.Interactive():
			if err := a.Confirm(fmt.Sprintf("%s %s again?", question(in.Kind), matches(p, in.Plugin)),
				"nothing was started: answer y, or give --yes"); err != nil {
				return err
			}
		}
	}
	var o wire.Operation
	raw, err := c.Call(ctx, "POST", path, in, &o)
	if err == nil {
		err = cmp.Or(client.About("plugin", o.Plugin, in.Plugin), client.About("kind", o.Kind, in.Kind))
	}
	switch {
	case err != nil:
		return err
	case how.wait:
		return a.follow(ctx, c, o.ID)
	case a.JSON:
		return a.PrintJSON(raw)
	}
	return a.Print("operation %s started: %s; see it with: berth operations wait %s\n", o.ID, o.Name, o.ID)
}

// question is the beginning of the question before an operation.
func question(kind string) string {
	switch kind {
	case "redrive":
		return "Redrive"
	case "retry":
		return "Attempt"
	}
	return "Deliver"
}

// matches says how many events match.
func matches(p wire.OperationPreview, plugin string) string {
	n := console.Count(int(p.Matches), "event")
	if !p.Exact {
		n = "more than " + n
	}
	return n + " of " + plugin
}

func (a app) preview(in wire.NewOperation, p wire.OperationPreview) error {
	a.Print("%s would get %s again, of %d examined\n", in.Plugin, strings.TrimSuffix(matches(p, ""), " of "), p.Examined)
	for _, id := range p.Sample {
		a.Print("  %s\n", id)
	}
	if p.Matches > uint64(len(p.Sample)) {
		a.Print("  and so on\n")
	}
	return nil
}

// none says that an operation was not started, because nothing matches. This is no failure: a
// script that redrives what there is has done so.
func (a app) none(in wire.NewOperation) error {
	if a.JSON {
		return a.EncodeJSON(wire.OperationPreview{Exact: true, Sample: []string{}}, false)
	}
	what := map[string]string{"redrive": "no dead letters", "retry": "no events that wait for a retry"}[in.Kind]
	return a.Print("nothing to do: %s has %s that match\n", in.Plugin, cmp.Or(what, "no events in that part of the log"))
}

func (a app) list() *cobra.Command {
	var kind, plugin, state string
	var page command.Paging
	cmd := a.Remote("list", "List operations, the latest first", func(ctx context.Context, _ []string) error {
		at := page.Path(path, "kind", kind, "plugin", plugin, "state", state)
		return command.Fetch(ctx, a.Env, "GET", at, nil, func(list wire.List[wire.Operation]) error {
			return console.Page(a.Console, "ID\tKIND\tPLUGIN\tSTATE\tDONE\tSTARTED\tBY\tNAME", list, func(o wire.Operation) console.Cells {
				return console.Cells{o.ID, o.Kind, o.Plugin, o.State, progress(o), console.Clock(o.StartedAt), o.StartedBy, o.Name}
			})
		})
	})
	cmd.Flags().StringVar(&kind, "kind", "", "only this kind: replay, redrive or retry")
	cmd.Flags().StringVar(&plugin, "plugin", "", "only this plugin's")
	cmd.Flags().StringVar(&state, "state", "", "only this state: running, done, cancelled or failed")
	page.Flags(cmd, 50)
	return cmd
}

// progress says how much of an operation is done.
func progress(o wire.Operation) string {
	if o.Total == 0 || o.Done > o.Total || o.State != wire.OperationRunning && o.Done == o.Total {
		return fmt.Sprint(o.Done)
	}
	return fmt.Sprintf("%d of %d", o.Done, o.Total)
}

func (a app) show() *cobra.Command {
	return a.Remote("show ID", "Show one operation", func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "GET", at(args[0]), nil, a.print, aboutOperation(args[0]))
	})
}

func (a app) cancel() *cobra.Command {
	cmd := a.Remote("cancel ID", "Cancel an operation", func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "POST", at(args[0])+"/cancel", nil, func(o wire.Operation) error {
			return a.Print("operation %s cancelled: %s given to %s; what was given stays given\n", o.ID, console.Count(int(o.Done), "event"), o.Plugin)
		}, aboutOperation(args[0]))
	})
	cmd.Long = `Cancel an operation: it gives no more events to its plugin. Those it has given stay
given. A replay of a whole part of the log ends after one event more.`
	return cmd
}

func (a app) wait() *cobra.Command {
	cmd := a.Remote("wait ID", "Show an operation's progress until it has ended", func(ctx context.Context, args []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		return a.follow(ctx, c, args[0])
	})
	cmd.Long = `Show an operation's progress until it has ended. Interrupting the command does not
cancel the operation. The exit code is 1 if it failed or was cancelled.`
	return cmd
}

// follow shows an operation's progress until it has ended.
func (a app) follow(ctx context.Context, c *client.Client, id string) error {
	bar := a.NewCountBar()
	defer bar.End()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var o wire.Operation
		raw, err := c.Call(ctx, "GET", at(id), nil, &o)
		if err == nil {
			err = aboutOperation(id)(o)
		}
		if err != nil {
			return err
		}
		if o.State != wire.OperationRunning {
			bar.End()
			if a.JSON {
				err = a.PrintJSON(raw)
			} else {
				err = a.print(o)
			}
			if err == nil && o.State != wire.OperationDone {
				err = fmt.Errorf("operation %s %s", o.ID, o.State)
				if o.Reason != "" {
					err = errors.New(err.Error() + ": " + o.Reason)
				}
			}
			return err
		}
		bar.Show(wire.Progress{Step: cmp.Or(o.Reason, o.Name), Done: int64(o.Done), Total: int64(o.Total)})
		select {
		case <-ctx.Done():
			return fmt.Errorf("operation %s goes on; cancel it with: berth operations cancel %s", id, id)
		case <-tick.C:
		}
	}
}

func (a app) print(o wire.Operation) error {
	a.Print("operation  %s\nname       %s\nkind       %s\nplugin     %s\nstate      %s\n", o.ID, o.Name, o.Kind, o.Plugin, o.State)
	if o.Reason != "" {
		a.Print("reason     %s\n", o.Reason)
	}
	a.Print("done       %s\n", progress(o))
	for _, f := range []struct{ name, value string }{
		{"type", o.Filter.EventType}, {"subject", o.Filter.Subject}, {"class", o.Filter.Class}, {"issue", o.Filter.Issue},
		{"when", o.Filter.When}, {"from", o.Filter.From}, {"to", o.Filter.To},
	} {
		if f.value != "" {
			a.Print("%-10s %s\n", f.name, f.value)
		}
	}
	if o.Rate > 0 {
		a.Print("rate       %d/s\n", o.Rate)
	}
	a.Print("started    %s by %s\n", console.Clock(o.StartedAt), o.StartedBy)
	if o.FinishedAt != nil {
		a.Print("ended      %s, after %s\n", console.Clock(*o.FinishedAt), o.FinishedAt.Sub(o.StartedAt).Round(time.Millisecond))
	}
	return nil
}

func at(id string) string { return path + "/" + url.PathEscape(id) }

// aboutOperation checks that an answer is about the operation that was asked for.
func aboutOperation(id string) func(wire.Operation) error {
	return func(o wire.Operation) error { return client.About("operation", o.ID, id) }
}
