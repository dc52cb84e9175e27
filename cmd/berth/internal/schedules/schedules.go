// Package schedules has the commands for schedules, which publish events by the clock.
package schedules

import (
	"cmp"
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/schedules"

type app struct{ *command.Env }

// Command returns the command schedules.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("schedules", "See the schedules, which publish events by the clock, and run one now", a.list(), a.run())
}

func (a app) list() *cobra.Command {
	cmd := a.Remote("list", "List the schedules with their next and last due times", func(ctx context.Context, _ []string) error {
		return command.Fetch(ctx, a.Env, "GET", path, nil, func(list wire.List[wire.Schedule]) error {
			if len(list.Items) == 0 {
				a.Note("There are none; they are under schedules: in the configuration.\n")
			}
			return console.Page(a.Console, "NAME\tWHEN\tEVENT TYPE\tNEXT DUE\tLAST DUE\tEVENTS\tMISSED\tLAST ERROR", list, func(s wire.Schedule) console.Cells {
				return console.Cells{s.Name, when(s), s.EventType, next(s), console.ClockOr(s.LastDueAt), s.Published, s.MissedRuns,
					cmp.Or(event.Headline(s.LastError, 80), "-")}
			})
		})
	})
	cmd.Long = `List the schedules with their next and last due times, the events that they have
published, and the due times that were missed and got no event: no host ran, or the
event could not be published within a minute, and missed: says skip or once.
Schedules are changed in the configuration.`
	return cmd
}

func (a app) run() *cobra.Command {
	return a.Remote("run NAME", "Publish an event of a schedule now; its due times stay as they are", func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "POST", path+"/"+url.PathEscape(args[0])+"/run", nil, func(r wire.ScheduleRun) error {
			return a.Print("published  %s  %s\n", r.EventID, r.IdempotencyKey)
		}, func(r wire.ScheduleRun) error { return client.About("schedule", r.Schedule, args[0]) })
	})
}

// when says when a schedule is due.
func when(s wire.Schedule) string {
	if s.Every != "" {
		return "every " + s.Every
	}
	return s.Cron + " (" + s.Zone + ")"
}

func next(s wire.Schedule) string {
	if s.Paused {
		return "paused"
	}
	return console.ClockOr(s.NextDueAt)
}
