package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) routeCommand() *cobra.Command {
	return group("route", "See which handlers an event would reach", a.routeExplain())
}

func (a *app) routeExplain() *cobra.Command {
	var configPath string
	cmd := a.talks(&cobra.Command{
		Use:   "explain EVENT.json",
		Short: "Say which handlers would get an event, and why the others would not",
		Long: `Asks the running host which handlers would get this event, and why the others
would not. Nothing is published. The event is written as for publishing:
{"event_type": ..., "data": ..., "metadata": {"subject": ...}}; - reads it from
standard input.

With --config no host is asked: the answer is what the file's routes say, and
manifests count as if they subscribed to every type.`,
		Example: "  echo '{\"event_type\": \"order_status_changed\", \"data\": {}}' | berth route explain -",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.eventFile(args[0])
			if err != nil {
				return err
			}
			if configPath == "" {
				return fetch(cmd.Context(), a, "POST", "/api/v1/events/explain", json.RawMessage(text), a.showExplanation)
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
			if a.json {
				return a.encodeJSON(answer, false)
			}
			return a.showExplanation(answer)
		},
	})
	cmd.Flags().StringVar(&configPath, "config", "", "ask this configuration file's routes instead of a host")
	return cmd
}

// eventFile reads a file, or standard input for -, that holds one event.
func (a *app) eventFile(path string) ([]byte, error) {
	from := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, 2*event.MaxSize))
	text = abi.TrimBOM(text)
	if err == nil && !json.Valid(text) {
		err = errors.New(path + " is not JSON")
	}
	return text, err
}

func (a *app) showExplanation(e wire.Explanation) error {
	a.print("type    %s\nroute   ", e.EventType)
	if e.Route == nil {
		a.print("none\n")
	} else {
		a.print("%s\n", *e.Route)
	}
	a.print("reason  %s\n\n", e.Reason)
	return a.table("HANDLER\tGETS IT\tSTATE\tREASON", len(e.Handlers), func(i int) cells {
		h := e.Handlers[i]
		takes := "no"
		if h.Takes {
			takes = "yes"
		}
		state := string(h.State)
		if state == "" {
			state = "-"
		}
		return cells{h.Plugin, takes, state, h.Reason}
	})
}
