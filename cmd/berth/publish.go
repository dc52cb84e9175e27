package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/wire"
)

// maxPublish bounds a file of events, in bytes: what the API takes of a list.
const maxPublish = 16 << 20

func (a *app) eventsPublish() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "publish FILE",
		Short: "Publish a file of events",
		Long: `Publish the events of a JSON file, or of standard input with -: an event as
{"event_type", "data", "metadata"}, a CloudEvent, or a list of up to 1,000 of
either. Nothing is published unless all of them are valid. Prints the id of each;
if the idempotency key of one was used for something else, the others are
published, and the exit code is 1.`,
		Example: "  berth events publish orders.json\n  jq -s . events.ndjson | berth events publish -",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readEvents(args[0])
			if err != nil {
				return err
			}
			kind, list := eventsKind(text)
			c, err := a.connect()
			if err != nil {
				return err
			}
			c.kind = kind
			var answer json.RawMessage
			if _, err := c.call(cmd.Context(), "POST", "/api/v1/events", json.RawMessage(text), &answer); err != nil {
				return err
			}
			return a.showReceipts(text, answer, list)
		},
	})
}

// readEvents reads a file, or standard input, that is not too large to publish.
func (a *app) readEvents(path string) ([]byte, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxPublish+1))
	if err == nil && len(text) > maxPublish {
		err = fmt.Errorf("%s is over the limit of %d bytes", path, maxPublish)
	}
	return abi.TrimBOM(text), err
}

// eventsKind tells by its members what a file has in it. What is wrong with it,
// the host says best.
func eventsKind(text []byte) (kind string, list bool) {
	type member struct {
		SpecVersion json.RawMessage `json:"specversion"`
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		var all []member
		if json.Unmarshal(text, &all) == nil && len(all) > 0 && all[0].SpecVersion != nil {
			return "application/cloudevents-batch+json", true
		}
		return "application/json", true
	}
	var one member
	if json.Unmarshal(text, &one) == nil && one.SpecVersion != nil {
		return "application/cloudevents+json", false
	}
	return "application/json", false
}

// receipt is what the API answers for one event of a list.
type receipt struct {
	wire.Receipt
	Error *wire.Problem `json:"error,omitempty"`
}

// showReceipts prints the ids of the events that were sent. It fails when some were
// not taken, or the answer is not about each.
func (a *app) showReceipts(sent []byte, answer json.RawMessage, list bool) error {
	receipts := make([]receipt, 1)
	var err error
	if list {
		var page wire.List[receipt]
		err = decodeAnswer(answer, &page)
		receipts = page.Items
		var events []json.RawMessage
		if err == nil && (json.Unmarshal(sent, &events) != nil || len(events) != len(receipts)) {
			err = fmt.Errorf("it is about %d events, not about %d", len(receipts), len(events))
		}
	} else {
		err = decodeAnswer(answer, &receipts[0])
	}
	if err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	for _, r := range receipts {
		if r.Error == nil {
			if err := about("event", r.EventID, r.EventID); err != nil {
				return err
			}
		}
	}
	if a.json {
		if err := a.printJSON(answer); err != nil {
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
			a.note("berth: %s\n", problem{*r.Error}.Error())
		case a.json:
		case r.Duplicate:
			a.print("%s (a duplicate: it was published before)\n", r.EventID)
		default:
			a.print("%s\n", r.EventID)
		}
	}
	a.noteUnrouted(published)
	if refused > 0 {
		return fmt.Errorf("%d of %d events were not published", refused, len(receipts))
	}
	return nil
}

// noteUnrouted says of published events, on standard error, that no route takes them.
func (a *app) noteUnrouted(receipts []wire.Receipt) {
	n := 0
	for _, r := range receipts {
		if r.Routed != nil && !*r.Routed {
			n++
		}
	}
	switch {
	case n == 0:
	case len(receipts) == 1:
		a.note("berth: no route takes the event, so no handler gets it; 'berth route explain' says why\n")
	default:
		a.note("berth: no route takes %d of %d events, so no handler gets those; 'berth route explain' says why\n", n, len(receipts))
	}
}
