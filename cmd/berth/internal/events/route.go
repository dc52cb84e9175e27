package events

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/wire"
)

// RouteCommand returns the command route.
func RouteCommand(env *command.Env) *cobra.Command {
	return command.Group("route", "See which handlers an event would reach", app{env}.explain())
}

func (a app) explain() *cobra.Command {
	var configPath string
	cmd := a.Remote("explain EVENT.json", "Say which handlers would get an event, and why the others would not",
		func(ctx context.Context, args []string) error {
			text, err := a.ReadFile(args[0], maxEvent)
			if err != nil {
				return err
			}
			if !json.Valid(text) {
				return fmt.Errorf("%s is not JSON", args[0])
			}
			if configPath == "" {
				return command.Fetch(ctx, a.Env, "POST", path+"/explain", json.RawMessage(text), a.printExplanation)
			}
			d, err := event.ParseDraft(text)
			if err != nil {
				return err
			}
			ev, err := event.New(d)
			if err != nil {
				return err
			}
			answer, err := live.ExplainRoutes(configPath, ev)
			if err != nil {
				return err
			}
			return command.Show(a.Env, answer, a.printExplanation)
		})
	cmd.Long = `Asks the running host which handlers would get this event, and why the others
would not. Nothing is published. The event is written as for publishing:
{"event_type": ..., "data": ..., "metadata": {"subject": ...}}; - reads it from
standard input.

With --config no host is asked: the answer is what the file's routes say, and
manifests count as if they subscribed to every type.`
	cmd.Example = "  echo '{\"event_type\": \"order_status_changed\", \"data\": {}}' | berth route explain -"
	cmd.Flags().StringVar(&configPath, "config", "", "ask this configuration file's routes instead of a host")
	return cmd
}

func (a app) printExplanation(e wire.Explanation) error {
	a.Print("type    %s\nroute   %s\nreason  %s\n\n", e.EventType, console.Or(e.Route, "none"), e.Reason)
	return console.Table(a.Console, "HANDLER\tGETS IT\tSTATE\tREASON", e.Handlers, func(h wire.ExplainedHandler) console.Cells {
		takes := "no"
		if h.Takes {
			takes = "yes"
		}
		return console.Cells{h.Plugin, takes, cmp.Or(string(h.State), "-"), h.Reason}
	})
}
