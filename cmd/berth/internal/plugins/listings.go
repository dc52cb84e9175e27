package plugins

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

// SearchCommand returns the command search of the group marketplace.
func SearchCommand(env *command.Env) *cobra.Command {
	a := app{env}
	var publisher string
	var refresh bool
	cmd := a.Remote("search [WORD]...", "List what the host's marketplace has", func(ctx context.Context, args []string) error {
		list, err := a.listings(ctx, strings.Join(args, " "), publisher, refresh)
		if err != nil {
			return err
		}
		return command.Show(a.Env, list, func(list wire.Marketplace) error {
			a.noteListing(list)
			return console.Table(a.Console, "NAME\tVERSION\tINSTALLED\tUPDATE\tSIZE\tLICENSE\tASKS FOR\tDESCRIPTION", list.Items, listingRecord)
		})
	})
	cmd.Aliases = []string{"list"}
	cmd.Long = `Lists the plugins of the marketplace that a running host is configured with: all,
or those whose name, publisher or description contain every word. While the
marketplace is unreachable this is the last list, with a note that it is.`
	cmd.Example = `  berth marketplace search
  berth marketplace search fraud --publisher acme`
	cmd.Flags().BoolVar(&refresh, "refresh", false, "have the host fetch the list first, even if it is recent")
	cmd.Flags().StringVar(&publisher, "publisher", "", "only this publisher's")
	return cmd
}

// listings returns all pages of the host's list. refresh has the host fetch it first.
func (a app) listings(ctx context.Context, query, publisher string, refresh bool) (wire.Marketplace, error) {
	c, err := a.Connect()
	if err != nil {
		return wire.Marketplace{}, err
	}
	all := []wire.Listing{}
	for cursor := ""; ; {
		at := command.Path("/api/v1/plugins/marketplace", "q", query, "publisher", publisher, "cursor", cursor, "refresh",
			isTrue(refresh && cursor == ""))
		var page wire.Marketplace
		if _, err := c.Call(ctx, "GET", at, nil, &page); err != nil {
			return wire.Marketplace{}, err
		}
		all = append(all, page.Items...)
		if page.Next == nil || *page.Next == cursor {
			page.Items, page.Next = all, nil
			return page, nil
		}
		cursor = *page.Next
	}
}

// noteListing notes when a list is stale, expired or unsigned.
func (a app) noteListing(list wire.Marketplace) {
	if list.Stale {
		a.Note("This is the list of %s: %s\n", console.Clock(list.FetchedAt), cmp.Or(list.Reason, "the marketplace has not answered yet"))
	}
	if list.Expired {
		a.Note("It has expired at %s: nothing is installed by it.\n", console.Clock(list.Expires))
	}
	if list.Unsigned {
		a.Note("It is not signed.\n")
	}
}

func listingRecord(l wire.Listing) console.Cells {
	var asks []string
	for _, c := range l.Capabilities {
		asks = append(asks, c.Name)
	}
	state := l.Version
	if l.Version == "" {
		state = "none offered"
	} else if l.Deprecated != "" {
		state += " (deprecated)"
	}
	return console.WithDashes(l.Publisher+"/"+l.Name, state, console.Or(l.Installed, ""), console.Or(l.UpdateAvailable, ""),
		fmt.Sprint(l.Size),
		l.License, strings.Join(asks, ", "), l.Description)
}
