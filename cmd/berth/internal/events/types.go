package events

import (
	"cmp"
	"context"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

const typesPath = "/api/v1/event-types"

func (a app) types() *cobra.Command {
	cmd := a.Remote("types [TYPE]", "List the event types, or show one with its schema", func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return command.Fetch(ctx, a.Env, "GET", typesPath+"/"+url.PathEscape(args[0]), nil, a.printType,
				func(t wire.EventType) error { return client.About("event type", t.EventType, args[0]) })
		}
		return command.Fetch(ctx, a.Env, "GET", typesPath, nil, func(list wire.List[wire.EventType]) error {
			if len(list.Items) == 0 {
				a.Note("There are none: none is under event_types: in the configuration, and no event was published in the last hour.\n")
			}
			return console.Page(a.Console, "TYPE\tPER MINUTE\tSCHEMA\tVIOLATIONS\tOWNER\tSUBSCRIBERS", list, func(t wire.EventType) console.Cells {
				return console.Cells{t.EventType, t.PerMinute, cmp.Or(t.Mode, "-"), t.Violations, cmp.Or(t.Owner, "-"),
					cmp.Or(strings.Join(t.Subscribers, ", "), "-")}
			})
		})
	})
	cmd.Long = `List the event types of the configuration, and those with events in the last hour:
their rate in it, what becomes of events that their schema refuses (reject or warn),
how many it has refused since the host started, who answers for them, and the active
plugins that subscribe to them. With TYPE, show one with its schema.`
	return cmd
}

func (a app) printType(t wire.EventType) error {
	schema := "none: any data is taken"
	if t.HasSchema {
		schema = "events that it refuses: " + t.Mode + ", so far " + console.Count(int(t.Violations), "event")
		if t.SchemaFile != "" {
			schema = t.SchemaFile + "; " + schema
		}
	}
	if err := a.Print("type         %s\ndescription  %s\nowner        %s\nper minute   %v\nsubscribers  %s\nschema       %s\n", t.EventType,
		cmp.Or(t.Description, "-"), cmp.Or(t.Owner, "-"), t.PerMinute, cmp.Or(strings.Join(t.Subscribers, ", "), "-"), schema); err != nil {
		return err
	}
	if len(t.Schema) == 0 {
		return nil
	}
	return a.PrintJSON(t.Schema)
}
