package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) eventsCommand() *cobra.Command {
	return group("events", "Publish events and see what became of them",
		a.eventsEmit(), a.eventsPublish(), a.eventsList(), a.eventsShow(), a.eventsTail(),
		a.eventsDeadLetters(), a.eventsReplay(), a.eventsSkip(), a.eventsLog())
}

func (a *app) eventsEmit() *cobra.Command {
	var data, subject, key string
	cmd := &cobra.Command{
		Use:     "emit TYPE",
		Short:   "Publish an event",
		Example: "  berth events emit stock_low --subject TEAPOT --data '{\"left\": 2}'",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.input(data)
			if err != nil {
				return err
			}
			if !json.Valid(text) {
				return usageError{errors.New("--data is not JSON")}
			}
			body := map[string]any{"event_type": args[0], "data": json.RawMessage(text)}
			meta := map[string]string{"source": "cli"}
			if subject != "" {
				meta["subject"] = subject
			}
			if key != "" {
				meta["idempotency_key"] = key
			}
			body["metadata"] = meta
			return fetch(cmd.Context(), a, "POST", "/api/v1/events", body, func(r wire.Receipt) error {
				note := ""
				if r.Duplicate {
					note = " (a duplicate: it was published before)"
				}
				if err := a.print("%s%s\n", r.EventID, note); err != nil {
					return err
				}
				a.noteUnrouted([]wire.Receipt{r})
				return nil
			}, func(r wire.Receipt) error {
				return cmp.Or(about("event", r.EventID, r.EventID), about("key", r.IdempotencyKey, cmp.Or(key, r.IdempotencyKey)))
			})
		},
	}
	cmd.Flags().StringVar(&data, "data", "null", "the data as JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&subject, "subject", "", "what it is about, such as an order id")
	cmd.Flags().StringVar(&key, "key", "", "idempotency key (default: the event's id)")
	return a.talks(cmd)
}

// input reads what a flag names: text, @FILE or - for standard input.
func (a *app) input(value string) ([]byte, error) {
	if value == "-" {
		text, err := io.ReadAll(io.LimitReader(a.stdin, event.MaxSize+1))
		return abi.TrimBOM(text), err
	}
	if path, ok := strings.CutPrefix(value, "@"); ok {
		text, err := os.ReadFile(path)
		return abi.TrimBOM(text), err
	}
	return []byte(value), nil
}

func (a *app) eventsList() *cobra.Command {
	var typ, subject, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, newest first",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			set(query, "type", typ)
			set(query, "subject", subject)
			set(query, "cursor", cursor)
			return fetch(cmd.Context(), a, "GET", "/api/v1/events?"+query.Encode(), nil, func(list wire.List[wire.Event]) error {
				return a.page("SEQ\tEVENT ID\tTYPE\tSUBJECT\tTIME", list.Next, len(list.Items), func(i int) cells {
					ev := list.Items[i]
					meta := metadata(ev)
					return cells{ev.Seq, meta.EventID, ev.EventType, meta.Subject, clock(meta.Time)}
				})
			})
		},
	}
	cmd.Flags().StringVar(&typ, "type", "", "only this type")
	cmd.Flags().StringVar(&subject, "subject", "", "only this subject")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this many")
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on where the page before ended")
	return a.talks(cmd)
}

func metadata(ev wire.Event) event.Metadata {
	var meta event.Metadata
	_ = json.Unmarshal(ev.Metadata, &meta) // what is missing shows as empty
	return meta
}

func (a *app) eventsShow() *cobra.Command {
	byKey := false
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one event and its deliveries, by event id or idempotency key",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			id, err := findEvent(cmd.Context(), c, args[0], byKey)
			if err != nil {
				return err
			}
			return fetchBy(cmd.Context(), a, c, "GET", "/api/v1/events/"+id, nil, a.showEvent, func(ev wire.Event) error {
				meta := metadata(ev)
				if meta.IdempotencyKey == id { // a key that is written as an event id
					return nil
				}
				return about("event", meta.EventID, id)
			})
		},
	}
	cmd.Flags().BoolVar(&byKey, "by-key", false, "ID is an idempotency key, even if it is written as an event id")
	return a.talks(cmd)
}

// findEvent answers the event id of what a person names by its id or its
// idempotency key. A key goes into a query, never into a path, where it could be
// another endpoint's name.
func findEvent(ctx context.Context, c *client, text string, byKey bool) (string, error) {
	if !byKey && event.IsID(text) {
		return text, nil
	}
	if text == "" {
		return "", usageError{errors.New("name an event by its id or its idempotency key: neither is empty")}
	}
	var list wire.List[wire.Event]
	if _, err := c.call(ctx, "GET", "/api/v1/events?"+url.Values{"key": {text}}.Encode(), nil, &list); err != nil {
		return "", err
	}
	for _, ev := range list.Items {
		if meta := metadata(ev); meta.IdempotencyKey == text && event.IsID(meta.EventID) {
			return meta.EventID, nil
		}
	}
	return "", fmt.Errorf("there is no event with the id or idempotency key %q in the log", text)
}

func (a *app) showEvent(ev wire.Event) error {
	meta := metadata(ev)
	a.print("event    %s\ntype     %s\nsubject  %s\nkey      %s\ntime     %s\ndata     %s\n\n",
		meta.EventID, ev.EventType, meta.Subject, meta.IdempotencyKey, clock(meta.Time), string(ev.Data))
	if len(ev.Deliveries) == 0 {
		err := a.print("No handler takes it.\n")
		return err
	}
	return a.table("HANDLER\tSTATUS\tATTEMPTS\tTOOK\tANSWER", len(ev.Deliveries), func(i int) cells {
		d := ev.Deliveries[i]
		return cells{d.Plugin, d.Status, d.Attempts, fmt.Sprintf("%.2f ms", d.DurationMS), answer(d)}
	})
}

// answer is what a handler said, in one line.
func answer(d wire.Delivery) string {
	if d.Error != nil {
		return failure(d.Error)
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

func (a *app) eventsTail() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow what is published and what handlers answer, until Ctrl-C",
		Long: `Follow what is published and what handlers answer, until Ctrl-C. With --since
what was published after that Seq comes first; answers are shown as they happen,
and those of the past are not.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			c.http.Timeout = 0 // it lasts as long as it lasts
			path := "/api/v1/events/stream"
			if since != "" {
				path += "?" + url.Values{"since": {since}}.Encode()
			}
			resp, err := c.do(cmd.Context(), "GET", path, streamType, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			err = a.tail(resp.Body)
			if cmd.Context().Err() != nil {
				return nil // Ctrl-C is how it ends
			}
			return err
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "begin with what was published after this Seq; 0 is all there is")
	return a.talks(cmd)
}

// tail prints the events of a stream.
func (a *app) tail(stream io.Reader) error {
	err := readEvents(stream, func(kind string, data []byte) error {
		switch kind {
		case "published", "delivery", "plugin":
		case "lagged":
			return errors.New("events came faster than they were read; start again")
		default: // of a later version
			return nil
		}
		var act wire.Activity
		if err := decodeAnswer(data, &act); err != nil {
			return fmt.Errorf("the stream is not what was expected: %w", err)
		}
		if a.json {
			return a.printJSON(data)
		}
		a.showActivity(act)
		return nil
	})
	if err != nil {
		return err
	}
	return errors.New("the host ended the stream")
}

func (a *app) showActivity(act wire.Activity) {
	switch {
	case act.Event != nil:
		meta := metadata(*act.Event)
		a.print("published  %s  %s  %s\n", meta.EventID, act.Event.EventType, meta.Subject)
	case act.Delivery != nil:
		d := act.Delivery
		a.print("%-9s  %s  %s  %s\n", d.Status, d.EventID, d.Plugin, answer(d.Delivery))
	case act.Plugin != nil:
		a.print("plugin     %s is %s  %s\n", act.Plugin.Name, act.Plugin.State, act.Plugin.Reason)
	}
}
