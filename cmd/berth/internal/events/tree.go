package events

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

func (a app) tree() *cobra.Command {
	byKey := false
	cmd := a.Remote("tree ID", "Show the chain of events that an event belongs to, by event id or idempotency key",
		func(ctx context.Context, args []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			id, err := findEvent(ctx, c, args[0], byKey)
			if err != nil {
				return err
			}
			return command.FetchBy(ctx, a.Env, c, "GET", path+"/"+id+"/tree", nil, func(t wire.EventTree) error {
				a.printNode(t.Root, id, 0)
				if t.Truncated {
					a.Note("There may be more events in the chain: 'berth events list --correlation-id' lists them.\n")
				}
				return nil
			})
		})
	cmd.Long = `Show the chain of events that an event belongs to: the event that began it, and
what that has caused, directly and indirectly, with what is not due yet. A star marks
the event that was asked for.`
	cmd.Flags().BoolVar(&byKey, "by-key", false, "ID is an idempotency key, even if it is written as an event id")
	return cmd
}

// printNode prints an event of a chain, and those below it.
func (a app) printNode(n wire.EventNode, asked string, depth int) {
	mark := " "
	if n.EventID == asked {
		mark = "*"
	}
	copied := ""
	if n.CopyOf != "" {
		copied = "  (an edited copy)"
	}
	became := counts(n.DeliveryCounts)
	if n.DueAt != nil {
		became = "due at " + due(n.DueAt)
	}
	a.Print("%s%s%s  %s  %s  by %s  %s%s\n", mark, strings.Repeat("  ", min(depth, 40)), n.EventID, n.EventType, n.Subject, n.Source, became, copied)
	for _, child := range n.Children {
		a.printNode(child, asked, depth+1)
	}
}
