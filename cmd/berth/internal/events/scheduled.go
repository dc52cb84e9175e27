package events

import (
	"context"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const scheduledPath = path + "/scheduled"

// deferral are the flags that say when an event is due.
type deferral struct{ at, after string }

func (d *deferral) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.at, "at", "", "when it is due: a time (2026-05-01T10:00:00Z), at most a year ahead (default: now)")
	cmd.Flags().StringVar(&d.after, "after", "", "how long from now it is due (15m, 36h, 7d)")
	cmd.MarkFlagsMutuallyExclusive("at", "after")
}

// addTo adds the deferral to the metadata of an event.
func (d *deferral) addTo(meta map[string]string) error {
	d.after = command.InHours(d.after)
	for _, f := range []struct{ flag, text, member string }{{"--at", d.at, "deliver_at"}, {"--after", d.after, "deliver_after"}} {
		if f.text == "" {
			continue
		}
		at, after := &f.text, (*string)(nil)
		if f.member == "deliver_after" {
			at, after = nil, &f.text
		}
		parsed, err := event.ParseDeferral(at, after)
		if err == nil {
			err = parsed.Check(time.Now())
		}
		if err != nil {
			return command.Usage("%s: %w", f.flag, err)
		}
		meta[f.member] = f.text
	}
	return nil
}

func (a app) scheduled() *cobra.Command {
	var typ, subject string
	var page command.Paging
	cmd := a.Remote("scheduled", "List events that are not due yet, the first due first", func(ctx context.Context, _ []string) error {
		return command.Fetch(ctx, a.Env, "GET", page.Path(scheduledPath, "type", typ, "subject", subject), nil,
			func(list wire.List[wire.Event]) error {
				return console.Page(a.Console, "DUE\tEVENT ID\tTYPE\tSUBJECT\tKEY", list, func(ev wire.Event) console.Cells {
					meta := metadata(ev)
					return console.Cells{due(ev.DueAt), meta.EventID, ev.EventType, meta.Subject, meta.IdempotencyKey}
				})
			})
	})
	cmd.Long = `List the events that were published with --at, --after, deliver_at or deliver_after
and are not due yet, the first due first. They are stored; each gets its place in
the log, and is delivered, when it is due. 'berth events cancel' cancels one.`
	cmd.Flags().StringVar(&typ, "type", "", "only events of this type")
	cmd.Flags().StringVar(&subject, "subject", "", "only events with this subject")
	page.Flags(cmd, 50)
	return cmd
}

// due returns a due time in full: it can be in a year.
func due(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}

func (a app) cancel() *cobra.Command {
	cmd := a.Remote("cancel KEY", "Cancel an event that is not due yet, by idempotency key or event id", func(ctx context.Context, args []string) error {
		if args[0] == "" {
			return command.Usage("name an event by its idempotency key or its id: neither is empty")
		}
		conn, err := a.Connect()
		if err != nil {
			return err
		}
		id, err := findScheduled(ctx, conn, args[0])
		if err != nil {
			return err
		}
		return command.FetchBy(ctx, a.Env, conn, "DELETE", scheduledPath+"/"+url.PathEscape(id), nil, func(c wire.CancelledEvent) error {
			return a.Print("cancelled %s, which was due at %s; its key %s stays taken for bus.retention\n", c.EventID, due(&c.DueAt), c.IdempotencyKey)
		}, func(c wire.CancelledEvent) error {
			if c.EventID == id {
				return nil
			}
			return client.About("key", c.IdempotencyKey, id)
		})
	})
	cmd.Long = `Cancel an event that is not due yet: no handler gets it. Its idempotency key stays
taken for bus.retention, so that a repeated publication does not bring it back. An
event that is in the log already cannot be cancelled.`
	cmd.Example = "  berth events cancel reminder-1042"
	return cmd
}

// findScheduled returns the id of the event that is not due yet and has this idempotency key, or
// else text itself. A key goes into a query rather than a path, which can change it.
func findScheduled(ctx context.Context, c *client.Client, text string) (string, error) {
	var list wire.List[wire.Event]
	if event.IsID(text) {
		return text, nil
	}
	if _, err := c.Call(ctx, "GET", command.Path(scheduledPath, "key", text), nil, &list); err != nil {
		return "", err
	}
	for _, ev := range list.Items {
		if meta := metadata(ev); meta.IdempotencyKey == text && event.IsID(meta.EventID) {
			return meta.EventID, nil
		}
	}
	if text == "." || text == ".." {
		return "", event.NotScheduled(text)
	}
	return text, nil
}
