// Package events has the commands that publish events and show what became of them: the
// log, deliveries, dead letters, replays and routes. Read events.go first.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/events"

type app struct{ *command.Env }

// Command returns the command events.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("events", "Publish events and see what became of them",
		a.emit(), a.publish(), a.list(), a.show(), a.tail(), a.deadLetters(), a.replay(), a.retry(), a.skip(), a.copyOf(), a.tree(), a.scheduled(), a.cancel(), a.types(), a.log())
}

func metadata(ev wire.Event) event.Metadata {
	var meta event.Metadata
	_ = json.Unmarshal(ev.Metadata, &meta) // missing fields are shown empty
	return meta
}

func (a app) show() *cobra.Command {
	byKey, wide := false, false
	cmd := a.Remote("show ID", "Show one event and its deliveries, by event id or idempotency key",
		func(ctx context.Context, args []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			id, err := findEvent(ctx, c, args[0], byKey)
			if err != nil {
				return err
			}
			return command.FetchBy(ctx, a.Env, c, "GET", path+"/"+id, nil, func(ev wire.Event) error { return a.print(ev, wide) }, func(ev wire.Event) error {
				meta := metadata(ev)
				if meta.IdempotencyKey == id { // a key that is written as an event id
					return nil
				}
				return client.About("event", meta.EventID, id)
			})
		})
	cmd.Long = `Show one event and its deliveries, by event id or idempotency key: what each
handler answered, what a delivery waits for, and every failed attempt with its
error, its stack and what the guest has logged.`
	cmd.Flags().BoolVar(&wide, "wide", false, "also show the fuel of each delivery, when it ended, and the SHA-256 of the module")
	cmd.Flags().BoolVar(&byKey, "by-key", false, "ID is an idempotency key, even if it is written as an event id")
	return cmd
}

// findEvent returns the id of the event with this id or idempotency key. A key goes into a
// query, never into a path, where it could be the name of another endpoint.
func findEvent(ctx context.Context, c *client.Client, text string, byKey bool) (string, error) {
	if !byKey && event.IsID(text) {
		return text, nil
	}
	if text == "" {
		return "", command.Usage("name an event by its id or its idempotency key: neither is empty")
	}
	var list wire.List[wire.Event]
	if _, err := c.Call(ctx, "GET", command.Path(path, "key", text), nil, &list); err != nil {
		return "", err
	}
	if len(list.Items) == 0 { // it may not be due yet
		if _, err := c.Call(ctx, "GET", command.Path(scheduledPath, "key", text), nil, &list); err != nil {
			return "", err
		}
	}
	for _, ev := range list.Items {
		if meta := metadata(ev); meta.IdempotencyKey == text && event.IsID(meta.EventID) {
			return meta.EventID, nil
		}
	}
	return "", fmt.Errorf("there is no event with the id or idempotency key %q in the log", text)
}

func (a app) tail() *cobra.Command {
	var since string
	cmd := a.Remote("tail", "Follow what is published and what handlers answer, until Ctrl-C", func(ctx context.Context, _ []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		c.HTTP.Timeout = 0 // the stream lasts until Ctrl-C
		resp, err := c.Do(ctx, "GET", command.Path(path+"/stream", "since", since), client.StreamType, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		err = a.follow(resp.Body)
		if ctx.Err() != nil {
			return nil // Ctrl-C
		}
		return err
	})
	cmd.Long = `Follow what is published and what handlers answer, until Ctrl-C. With --since
what was published after that Seq comes first; answers are shown as they happen,
and those of the past are not.`
	cmd.Flags().StringVar(&since, "since", "", "begin with what was published after this Seq; 0 is all there is")
	return cmd
}

// follow prints the events of a stream.
func (a app) follow(stream io.Reader) error {
	err := client.ReadEvents(stream, func(kind string, data []byte) error {
		switch kind {
		case "published", "delivery", "plugin":
		case "lagged":
			return errors.New("events came faster than they were read; start again")
		default: // of a later version
			return nil
		}
		var act wire.Activity
		if err := client.Decode(data, &act); err != nil {
			return fmt.Errorf("the stream is not what was expected: %w", err)
		}
		if a.JSON {
			return a.PrintJSON(data)
		}
		return a.printActivity(act)
	})
	if err != nil {
		return err
	}
	return errors.New("the host ended the stream")
}

func (a app) printActivity(act wire.Activity) error {
	switch {
	case act.Event != nil:
		meta := metadata(*act.Event)
		return a.Print("published  %s  %s  %s\n", meta.EventID, act.Event.EventType, meta.Subject)
	case act.Delivery != nil:
		d := act.Delivery
		return a.Print("%-9s  %s  %s  %s\n", d.Status, d.EventID, d.Unit(), answer(d.Delivery))
	case act.Plugin != nil:
		return a.Print("plugin     %s is %s  %s\n", act.Plugin.Name, act.Plugin.State, act.Plugin.Reason)
	}
	return nil
}

func (a app) replay() *cobra.Command {
	var in wire.Replay
	cmd := a.Remote("replay --plugin NAME --from PLACE", "Deliver a part of the log to one plugin again",
		func(ctx context.Context, _ []string) error {
			for flag, text := range map[string]string{"--from": in.From, "--to": in.To} {
				if flag == "--to" && text == "" {
					continue
				}
				if _, err := event.ParsePosition(text); err != nil {
					return command.Usage("%s: %w", flag, err)
				}
			}
			return command.Fetch(ctx, a.Env, "POST", path+"/replay", in, func(r wire.Replaying) error {
				return a.Print("%s gets the events %d to %d that it takes again\n", r.Plugin, r.FromSeq, r.ToSeq)
			}, func(r wire.Replaying) error { return client.About("plugin", r.Plugin, in.Plugin) })
		})
	cmd.Long = `Deliver a part of the log to one plugin again, and to no other. PLACE is a time
(2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq (1042) or
earliest. An end that is a Seq is included; of an end that is a time, what was
published before it is.`
	cmd.Example = "  berth events replay --plugin order-audit --from 1h\n  berth events replay --plugin order-audit --from 1042 --to 1100"
	cmd.Flags().StringVar(&in.Plugin, "plugin", "", "the plugin that gets the events again")
	cmd.Flags().StringVar(&in.From, "from", "", "where to start")
	cmd.Flags().StringVar(&in.To, "to", "", "where to end (default: the last event there is)")
	_ = cmd.MarkFlagRequired("plugin")
	_ = cmd.MarkFlagRequired("from")
	return cmd
}
