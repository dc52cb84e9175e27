// Package events has the commands that publish events and show what became of them: the
// log, deliveries, dead letters, replays and routes. Read events.go first.
package events

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/events"

type app struct{ *command.Env }

// Command returns the command events.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("events", "Publish events and see what became of them",
		a.emit(), a.publish(), a.list(), a.show(), a.tail(), a.deadLetters(), a.replay(), a.skip(), a.log())
}

func (a app) list() *cobra.Command {
	var typ, subject string
	var page command.Paging
	cmd := a.Remote("list", "List events, newest first", func(ctx context.Context, _ []string) error {
		at := page.Path(path, "type", typ, "subject", subject)
		return command.Fetch(ctx, a.Env, "GET", at, nil, func(list wire.List[wire.Event]) error {
			return console.Page(a.Console, "SEQ\tEVENT ID\tTYPE\tSUBJECT\tTIME", list, func(ev wire.Event) console.Cells {
				meta := metadata(ev)
				return console.Cells{ev.Seq, meta.EventID, ev.EventType, meta.Subject, console.Clock(meta.Time)}
			})
		})
	})
	cmd.Flags().StringVar(&typ, "type", "", "only this type")
	cmd.Flags().StringVar(&subject, "subject", "", "only this subject")
	page.Flags(cmd, 20)
	return cmd
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
	for _, ev := range list.Items {
		if meta := metadata(ev); meta.IdempotencyKey == text && event.IsID(meta.EventID) {
			return meta.EventID, nil
		}
	}
	return "", fmt.Errorf("there is no event with the id or idempotency key %q in the log", text)
}

func (a app) print(ev wire.Event, wide bool) error {
	meta := metadata(ev)
	a.Print("event    %s\ntype     %s\nsubject  %s\nkey      %s\ntime     %s\ndata     %s\n\n",
		meta.EventID, ev.EventType, meta.Subject, meta.IdempotencyKey, console.Clock(meta.Time), string(ev.Data))
	if len(ev.Deliveries) == 0 {
		return a.Print("No handler takes it.\n")
	}
	if wide {
		return console.Table(a.Console, "HANDLER\tSTATUS\tATTEMPTS\tTOOK\tFUEL\tENDED\tMODULE\tANSWER", ev.Deliveries,
			func(d wire.Delivery) console.Cells {
				return console.Cells{d.Plugin, d.Status, d.Attempts, took(d), fuel(d), ended(d), module(d), answer(d)}
			})
	}
	return console.Table(a.Console, "HANDLER\tSTATUS\tATTEMPTS\tTOOK\tANSWER", ev.Deliveries, func(d wire.Delivery) console.Cells {
		return console.Cells{d.Plugin, d.Status, d.Attempts, took(d), answer(d)}
	})
}

// notKept reports whether an older version of the host did not keep the result.
func notKept(d wire.Delivery) bool { return d.ResultKept != nil && !*d.ResultKept }

// tried reports whether an attempt has ended whose figures are known.
func tried(d wire.Delivery) bool { return !notKept(d) && d.Attempts > 0 }

func took(d wire.Delivery) string {
	if !tried(d) {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", d.DurationMS)
}

func fuel(d wire.Delivery) string {
	if !tried(d) {
		return "-"
	}
	return fmt.Sprint(d.Fuel)
}

// ended returns when the last attempt ended, or when the delivery was given up.
func ended(d wire.Delivery) string {
	if d.Attempts == 0 && d.Status != string(event.StatusDead) {
		return "-"
	}
	return console.Clock(d.At)
}

func module(d wire.Delivery) string { return cmp.Or(d.SHA256, "-") }

// answer returns a handler's answer in one line.
func answer(d wire.Delivery) string {
	if d.Error != nil {
		return failure(d.Error)
	}
	if notKept(d) {
		return "(result not kept)"
	}
	if len(d.Result) == 0 || string(d.Result) == "null" {
		return "-"
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, d.Result); err != nil {
		return string(d.Result)
	}
	return compact.String()
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
		return a.Print("%-9s  %s  %s  %s\n", d.Status, d.EventID, d.Plugin, answer(d.Delivery))
	case act.Plugin != nil:
		return a.Print("plugin     %s is %s  %s\n", act.Plugin.Name, act.Plugin.State, act.Plugin.Reason)
	}
	return nil
}

func (a app) skip() *cobra.Command {
	var to uint64
	cmd := a.Remote("skip SEQ", "Pass over an event that cannot be read because the store is damaged",
		func(ctx context.Context, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || seq == 0 {
				return command.Usage("%q is not a Seq: a number from 1 on, as the plugin's reason and berth doctor show it", args[0])
			}
			return command.Fetch(ctx, a.Env, "POST", path+"/skip", wire.Skip{Seq: seq, To: to}, func(s wire.Skipped) error {
				whose := "every handler had had it"
				if len(s.Plugins) > 0 {
					whose = "a dead delivery was recorded for " + strings.Join(s.Plugins, ", ")
				}
				what := fmt.Sprintf("event %d is skipped", s.Seq)
				if s.To > s.Seq {
					what = fmt.Sprintf("events %d to %d are skipped", s.Seq, s.To)
				}
				return a.Print("%s; %s\n", what, whose)
			}, func(s wire.Skipped) error { return client.About("event", fmt.Sprint(s.Seq), args[0]) })
		})
	cmd.Long = `Pass over an event that cannot be read because the store is damaged. A handler
that is stuck at the event continues with the next one, and no handler gets the
event any more. A dead delivery is recorded for every handler that has not had it.
An event that can be read is not skipped. berth doctor lists the events that cannot.`
	cmd.Example = "  berth events skip 41\n  berth events skip 41 --to 48"
	cmd.Flags().Uint64Var(&to, "to", 0, "the last one of several in a row (default: only SEQ)")
	return cmd
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
