// Package issues has the commands for issues: the causes of failed attempts.
package issues

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/cmd/berth/internal/operations"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/issues"

type app struct{ *command.Env }

// Command returns the command issues.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("issues", "See why handlers fail, by cause, and what becomes of it", a.list(), a.show(),
		a.change("ack", "acknowledge", "acknowledged", "Acknowledge an issue: it is being looked after"),
		a.change("resolve", "resolve", "resolved", "Resolve an issue; the next failure opens it again"),
		a.change("ignore", "ignore", "ignored", "Ignore an issue; failures are counted, and do not open it again"),
		a.change("reopen", "reopen", "open again", "Open an issue again"),
		a.again("redrive", "Deliver the dead letters of an issue again"),
		a.again("retry", "Attempt the events of an issue that wait for a retry now"))
}

func (a app) list() *cobra.Command {
	var handler, class, state, version string
	var page command.Paging
	cmd := a.Remote("list", "List issues, the one that failed last first", func(ctx context.Context, _ []string) error {
		at := page.Path(path, "handler", handler, "class", class, "state", state, "version", version)
		return command.Fetch(ctx, a.Env, "GET", at, nil, func(list wire.List[wire.Issue]) error {
			if len(list.Items) == 0 {
				a.Note("There are none%s.\n", map[bool]string{true: " that are open or acknowledged; see all with --state all"}[state == ""])
			}
			return console.Page(a.Console, "ID\tPLUGIN\tCLASS\tSTATE\tTIMES\tDEAD\tKEYS\tLAST SEEN\tMESSAGE", list, func(i wire.Issue) console.Cells {
				return console.Cells{i.ID, i.Unit(), i.Class, i.State, i.Count, i.Dead, i.KeyCount, console.Clock(i.LastSeen), event.Headline(i.Message, 120)}
			})
		})
	})
	cmd.Long = `List issues, the one that failed last first: those that are open or acknowledged,
unless --state says otherwise. An issue is the failed attempts of one plugin with
the same class of error, message and innermost frame of its own code.`
	command.HandlerFlag(cmd, &handler, "only this plugin's")
	cmd.Flags().StringVar(&class, "class", "", "only of this class of error, such as timeout or trap")
	cmd.Flags().StringVar(&state, "state", "", "only in this state: open, acknowledged, resolved, ignored or all")
	cmd.Flags().StringVar(&version, "version", "", "only those that occurred in this version of the plugin")
	page.Flags(cmd, 50)
	return cmd
}

func (a app) show() *cobra.Command {
	return a.Remote("show ID", "Show one issue with its latest failures", func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "GET", at(args[0]), nil, a.print, aboutIssue(args[0]))
	})
}

func (a app) print(i wire.Issue) error {
	a.Print("issue      %s\nplugin     %s\nclass      %s\nmessage    %s\n", i.ID, i.Unit(), i.Class, i.Message)
	if f := i.Frame; f != nil {
		a.Print("in         %s\n", strings.TrimSpace(f.Function+" "+location(f.File, f.Line)))
	}
	a.Print("state      %s%s\n", i.State, changed(i))
	if i.Note != "" {
		a.Print("note       %s\n", i.Note)
	}
	a.Print("times      %d, of them %s\nfirst seen %s\nlast seen  %s\nversions   %s\n", i.Count, console.Count(int(i.Dead), "dead letter"),
		console.Clock(i.FirstSeen), console.Clock(i.LastSeen), cmp.Or(strings.Join(i.Versions, ", "), "-"))
	a.Print("keys       %d: %s\n", i.KeyCount, cmp.Or(strings.Join(i.Keys[:min(len(i.Keys), 5)], ", "), "-"))
	a.Print("last hour  %s\n\n", console.Count(total(i.Minutes), "failure"))
	return console.Table(a.Console, "TIME\tEVENT ID\tKEY\tATTEMPT\tVERSION\tLOG", i.Latest[:min(len(i.Latest), 10)], func(f wire.IssueFailure) console.Cells {
		return console.Cells{console.Clock(f.At), f.EventID, cmp.Or(f.Key, "-"), f.Attempt, cmp.Or(f.Version, "-"), cmp.Or(f.Log, "-")}
	})
}

// changed says who changed the state of an issue, and when.
func changed(i wire.Issue) (text string) {
	if i.StateAt != nil {
		text = ", by " + cmp.Or(i.StateBy, "a failure") + " at " + console.Clock(*i.StateAt)
	}
	if i.Reopened > 0 {
		text += fmt.Sprintf(", reopened %s", console.Count(i.Reopened, "time"))
	}
	return text
}

func location(file string, line int) string {
	if file == "" || line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func total(minutes []uint32) (n int) {
	for _, m := range minutes {
		n += int(m)
	}
	return n
}

// change returns a command that changes the state of issues.
func (a app) change(verb, action, done, short string) *cobra.Command {
	var in wire.IssueChange
	cmd := a.Remote(verb+" ID", short, func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "POST", at(args[0])+"/"+action, in, func(i wire.Issue) error {
			return a.Print("issue %s of %s is %s: %s\n", i.ID, i.Handler, done, event.Headline(i.Message, 120))
		}, aboutIssue(args[0]))
	})
	cmd.Flags().StringVar(&in.Note, "note", "", "why, for those who look at it next")
	return cmd
}

// again returns a command that gives the events of an issue to its plugin again.
func (a app) again(kind, short string) *cobra.Command {
	var how operations.Options
	in := wire.NewOperation{Kind: kind}
	cmd := a.Remote(kind+" ID", short, func(ctx context.Context, args []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		var i wire.Issue
		if _, err := c.Call(ctx, "GET", at(args[0]), nil, &i); err != nil {
			return err
		}
		if err := aboutIssue(args[0])(i); err != nil {
			return err
		}
		in.Plugin, in.Filter.Issue = i.Handler, i.ID
		if in.Name == "" {
			in.Name = event.Headline(fmt.Sprintf("%s issue %s: %s", kind, i.ID, i.Message), 90)
		}
		return operations.Start(ctx, a.Env, in, how)
	})
	cmd.Long = short + `: those whose last error belongs to it. It is an
operation: see berth operations.`
	cmd.Flags().StringVar(&in.Name, "name", "", "a name for the operation")
	cmd.Flags().IntVar(&in.Rate, "rate", 0, "at most this many events a second; 0 is no bound")
	cmd.Flags().BoolVar(&in.Preview, "preview", false, "only count the events that match")
	how.Flags(cmd)
	return cmd
}

func at(id string) string { return path + "/" + url.PathEscape(id) }

// aboutIssue checks that an answer is about the issue that was asked for.
func aboutIssue(id string) func(wire.Issue) error {
	return func(i wire.Issue) error { return client.About("issue", i.ID, id) }
}
