package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

func (a *app) marketSearch() *cobra.Command {
	var publisher string
	var refresh bool
	cmd := a.talks(&cobra.Command{
		Use:     "search [WORD]...",
		Aliases: []string{"list"},
		Short:   "List what the host's marketplace has",
		Long: `Lists the plugins of the marketplace that a running host is configured with: all,
or those whose name, publisher or description hold every word. While the marketplace
cannot be reached this is the last list that was, and says so.`,
		Example: `  berth marketplace search
  berth marketplace search fraud --publisher acme`,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.listings(cmd.Context(), strings.Join(args, " "), publisher, refresh)
			if err != nil {
				return err
			}
			if a.json {
				return a.encodeJSON(list, false)
			}
			a.listState(list)
			return a.table("NAME\tVERSION\tINSTALLED\tUPDATE\tSIZE\tLICENSE\tASKS FOR\tDESCRIPTION", len(list.Items), func(i int) cells {
				return listingRecord(list.Items[i])
			})
		},
	})
	cmd.Flags().BoolVar(&refresh, "refresh", false, "have the host fetch the list first, whatever its age")
	cmd.Flags().StringVar(&publisher, "publisher", "", "only this publisher's")
	return cmd
}

// listings are all pages of the host's list, which refresh has it fetch first.
func (a *app) listings(ctx context.Context, query, publisher string, refresh bool) (wire.Marketplace, error) {
	c, err := a.connect()
	if err != nil {
		return wire.Marketplace{}, err
	}
	all := []wire.Listing{}
	for cursor := ""; ; {
		q := url.Values{}
		for key, value := range map[string]string{"q": query, "publisher": publisher, "cursor": cursor} {
			if value != "" {
				q.Set(key, value)
			}
		}
		if refresh && cursor == "" {
			q.Set("refresh", "true")
		}
		path := "/api/v1/plugins/marketplace"
		if len(q) > 0 {
			path += "?" + q.Encode()
		}
		var page wire.Marketplace
		if _, err := c.call(ctx, "GET", path, nil, &page); err != nil {
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

// listState says on standard error what a reader of a list should know of it.
func (a *app) listState(list wire.Marketplace) {
	if list.Stale {
		why := list.Reason
		if why == "" {
			why = "the marketplace has not answered yet"
		}
		a.note("This is the list of %s: %s\n", clock(list.FetchedAt), why)
	}
	if list.Expired {
		a.note("It has expired at %s: nothing is installed by it.\n", clock(list.Expires))
	}
	if list.Unsigned {
		a.note("Nobody has signed for it.\n")
	}
}

func listingRecord(l wire.Listing) cells {
	var asks []string
	for _, c := range l.Capabilities {
		asks = append(asks, c.Name)
	}
	state, here, update := l.Version, "-", "-"
	if l.Version == "" {
		state = "none offered"
	} else if l.Deprecated != "" {
		state += " (deprecated)"
	}
	if l.Installed != nil {
		here = *l.Installed
	}
	if l.UpdateAvailable != nil {
		update = *l.UpdateAvailable
	}
	return withDashes(l.Publisher+"/"+l.Name, state, here, update, fmt.Sprint(l.Size), l.License, strings.Join(asks, ", "), l.Description)
}
