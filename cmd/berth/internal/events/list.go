package events

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

func (a app) list() *cobra.Command {
	filters := []struct{ flag, parameter, usage string }{
		{"type", "type", "only this type, or a glob such as 'order_*'"},
		{"subject", "subject", "only this subject"},
		{"key", "key", "only the event with this idempotency key"},
		{"handler", "handler", "only events that this plugin has been given, or will be"},
		{"status", "status", "only events with a delivery that is pending, delivering, retrying, ok or dead"},
		{"class", "class", "only events with a delivery whose last error is of this class, such as timeout or trap"},
		{"since", "since", "published since then: a time (2026-05-01T10:00:00Z), or back from now (1h, 7d)"},
		{"until", "until", "published before then"},
		{"when", "when", "only events for which this CEL condition holds, such as 'data.total_cents > 5000'"},
		{"correlation-id", "correlation_id", "only events of this chain"},
		{"caused-by", "caused_by", "only events that the event with this id or key has caused"},
		{"source", "source", "only events with this source"},
		{"published-by", "published_by", "only events published by this token, or emitted by this plugin"},
	}
	values := make([]string, len(filters))
	var page command.Paging
	cmd := a.Remote("list", "List events, newest first", func(ctx context.Context, _ []string) error {
		parameters := []string{"counts", "true"}
		for i, f := range filters {
			parameters = append(parameters, f.parameter, values[i])
		}
		return command.Fetch(ctx, a.Env, "GET", page.Path(path, parameters...), nil, func(list wire.List[wire.Event]) error {
			return console.Page(a.Console, "SEQ\tEVENT ID\tTYPE\tSUBJECT\tTIME\tDELIVERIES", list, func(ev wire.Event) console.Cells {
				meta := metadata(ev)
				return console.Cells{ev.Seq, meta.EventID, ev.EventType, meta.Subject, console.Clock(meta.Time), counts(ev.DeliveryCounts)}
			})
		})
	})
	cmd.Long = `List events, newest first: those to which every flag that is given applies.
--handler, --status and --class are about one delivery of the event. A search
examines a bounded number of events at a time: when it has found too few, it
prints the cursor to continue with.`
	cmd.Example = "  berth events list --handler fraud-check --status dead\n  berth events list --type 'order_*' --when 'data.total_cents > 5000' --since 1h"
	for i, f := range filters {
		if f.flag == "handler" {
			command.HandlerFlag(cmd, &values[i], f.usage)
			continue
		}
		cmd.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	page.Flags(cmd, 20)
	return cmd
}

// counts returns the deliveries of an event by status, those that need attention first.
func counts(c *wire.DeliveryCounts) string {
	if c == nil {
		return "-"
	}
	var parts []string
	for _, one := range []struct {
		n    int
		name string
	}{{c.Dead, "dead"}, {c.Retrying, "retrying"}, {c.Delivering, "delivering"}, {c.Pending, "pending"}, {c.OK, "ok"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.name))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
