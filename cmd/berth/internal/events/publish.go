package events

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// MaxPublish bounds a file of events, in bytes: the API's limit of a list.
const MaxPublish = 16 << 20

// maxEvent bounds the JSON of one event, in bytes: the API accepts less.
const maxEvent = 2 * event.MaxSize

func (a app) emit() *cobra.Command {
	var data, subject, key string
	var when deferral
	cmd := a.Remote("emit TYPE", "Publish an event", func(ctx context.Context, args []string) (err error) {
		text := []byte(data)
		if file, isFile := strings.CutPrefix(data, "@"); isFile || data == "-" {
			if text, err = a.ReadFile(file, maxEvent); err != nil {
				return err
			}
		}
		if !json.Valid(text) {
			return command.Usage("--data is not JSON")
		}
		meta := map[string]string{"source": "cli"}
		if subject != "" {
			meta["subject"] = subject
		}
		if key != "" {
			meta["idempotency_key"] = key
		}
		if err := when.addTo(meta); err != nil {
			return err
		}
		body := map[string]any{"event_type": args[0], "data": json.RawMessage(text), "metadata": meta}
		return command.Fetch(ctx, a.Env, "POST", path, body, func(r wire.Receipt) error {
			err := a.printReceipt(r)
			a.noteUnrouted([]wire.Receipt{r})
			return err
		}, func(r wire.Receipt) error {
			return cmp.Or(client.About("event", r.EventID, r.EventID), client.About("key", r.IdempotencyKey, cmp.Or(key, r.IdempotencyKey)))
		})
	})
	cmd.Example = "  berth events emit stock_low --subject TEAPOT --data '{\"left\": 2}'\n  berth events emit reminder --key reminder-1042 --after 36h"
	cmd.Flags().StringVar(&data, "data", "null", "the data as JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&subject, "subject", "", "what it is about, such as an order id")
	cmd.Flags().StringVar(&key, "key", "", "idempotency key (default: the event's id)")
	when.flags(cmd)
	return cmd
}

func (a app) publish() *cobra.Command {
	cmd := a.Remote("publish FILE", "Publish a file of events", func(ctx context.Context, args []string) error {
		text, err := a.ReadFile(args[0], MaxPublish)
		if err != nil {
			return err
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		var list bool
		c.Kind, list = kindOf(text)
		var answer json.RawMessage
		if _, err := c.Call(ctx, "POST", path, json.RawMessage(text), &answer); err != nil {
			return err
		}
		return a.printReceipts(text, answer, list)
	})
	cmd.Long = `Publish the events of a JSON file, or of standard input with -: an event as
{"event_type", "data", "metadata"}, a CloudEvent, or a list of up to 1,000 of
either. Nothing is published unless all of them are valid. Prints the id of each;
if the idempotency key of one was used for something else, or the schema of its type
refuses it, the others are published, and the exit code is 1. "deliver_at" or
"deliver_after" in the metadata of one lets it be due later.`
	cmd.Example = "  berth events publish orders.json\n  jq -s . events.ndjson | berth events publish -"
	return cmd
}

// kindOf returns the media type of events by their members, and whether they are a list. It
// does not validate them: the host does.
func kindOf(text []byte) (kind string, list bool) {
	type member struct {
		SpecVersion json.RawMessage `json:"specversion"`
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		var all []member
		if json.Unmarshal(text, &all) == nil && len(all) > 0 && all[0].SpecVersion != nil {
			return "application/cloudevents-batch+json", true
		}
		return client.JSONType, true
	}
	var one member
	if json.Unmarshal(text, &one) == nil && one.SpecVersion != nil {
		return "application/cloudevents+json", false
	}
	return client.JSONType, false
}

// printReceipts prints the ids of the published events. It fails when the host has refused
// events, or the answer does not have a receipt for each.
func (a app) printReceipts(sent []byte, answer json.RawMessage, list bool) error {
	receipts := make([]wire.BatchReceipt, 1)
	var err error
	if list {
		var page wire.List[wire.BatchReceipt]
		err = client.Decode(answer, &page)
		receipts = page.Items
		var events []json.RawMessage
		if err == nil && (json.Unmarshal(sent, &events) != nil || len(events) != len(receipts)) {
			err = fmt.Errorf("it is about %d events, not about %d", len(receipts), len(events))
		}
	} else {
		err = client.Decode(answer, &receipts[0])
	}
	if err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	for _, r := range receipts {
		if r.Error == nil {
			if err := client.About("event", r.EventID, r.EventID); err != nil {
				return err
			}
		}
	}
	if a.JSON {
		if err := a.PrintJSON(answer); err != nil {
			return err
		}
	}
	refused := 0
	published := make([]wire.Receipt, 0, len(receipts))
	for _, r := range receipts {
		if r.Error == nil {
			published = append(published, r.Receipt)
		}
		switch {
		case r.Error != nil:
			refused++
			a.Note("berth: %s\n", client.Problem{Problem: *r.Error}.Error())
		case a.JSON:
		default:
			a.printReceipt(r.Receipt)
		}
	}
	a.noteUnrouted(published)
	if refused > 0 {
		return fmt.Errorf("%d of %d events were not published", refused, len(receipts))
	}
	return nil
}

func (a app) printReceipt(r wire.Receipt) error {
	note := ""
	if r.Duplicate {
		note = " (a duplicate: it was published before)"
	}
	switch {
	case r.Cancelled:
		note = " (a duplicate of an event that was cancelled: it is not delivered)"
	case r.DueAt != nil && r.Duplicate:
		note = " (a duplicate: it was published before, and is due at " + due(r.DueAt) + ")"
	case r.DueAt != nil:
		note = " (due at " + due(r.DueAt) + ")"
	}
	return a.Print("%s%s\n", r.EventID, note)
}

// noteUnrouted notes how many published events no route takes.
func (a app) noteUnrouted(receipts []wire.Receipt) {
	n := 0
	for _, r := range receipts {
		if r.Routed != nil && !*r.Routed {
			n++
		}
	}
	switch {
	case n == 0:
	case len(receipts) == 1:
		a.Note("berth: no route takes the event, so no handler gets it; 'berth route explain' says why\n")
	default:
		a.Note("berth: no route takes %d of %d events, so no handler gets those; 'berth route explain' says why\n", n, len(receipts))
	}
}
