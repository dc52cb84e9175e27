package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

func (a *app) pluginUninstall() *cobra.Command {
	var force, purge, yes bool
	cmd := a.talks(&cobra.Command{
		Use:   "uninstall NAME",
		Short: "Remove a plugin, its file, its settings and its place in the log",
		Long: `Drains a plugin and removes it, with its settings in the configuration, its place in
the log and its outcomes. The file of a plugin in a watched directory is deleted,
with the manifest beside it, and what the plugin has stored goes too; what an
installed plugin has stored stays for the time it is installed again, unless it is
purged. What would go is shown, and goes when you agree. It needs no network.`,
		Example: "  berth plugin uninstall fraud-check\n  berth plugin uninstall fraud-check --yes",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			query := url.Values{}
			if force {
				query.Set("force", "true")
			}
			if purge {
				query.Set("purge", "true")
			}
			path := "/api/v1/plugins/uninstall/" + url.PathEscape(args[0])
			if len(query) > 0 {
				path += "?" + query.Encode()
			}
			if !yes {
				if err := a.agreeToUninstall(cmd.Context(), c, args[0], purge); err != nil {
					return err
				}
			}
			if _, err := c.call(cmd.Context(), "DELETE", path, nil, nil); err != nil || a.json {
				return err
			}
			err = a.print("%s is uninstalled\n", args[0])
			return err
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "also if a route names the plugin")
	cmd.Flags().BoolVar(&purge, "purge", false, "remove what the plugin has stored as well")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// agreeToUninstall shows what goes with a plugin, and asks. What is then uninstalled
// is the plugin that was shown.
func (a *app) agreeToUninstall(ctx context.Context, c *client, name string, purge bool) error {
	var p wire.Plugin
	_, tag, err := c.tagged(ctx, "GET", pluginPath(name), nil, &p)
	var refused problem
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound && purge: // it may have left something
		a.note("Uninstalling %s removes what it has stored.\n", name)
		return a.confirm("Uninstall it?", notUninstalled)
	case err != nil:
		return err
	}
	if err := named(name)(p); err != nil {
		return err
	}
	var list wire.List[wire.Plugin] // in which a name may have further files, which go too
	if _, err := c.call(ctx, "GET", "/api/v1/events/plugins", nil, &list); err != nil {
		return err
	}
	a.note("Uninstalling %s removes\n", name)
	stored := purge
	for _, p := range list.Items {
		switch {
		case p.Name != name:
		case p.File != "":
			stored = true
			a.note("  the file %s (%s), and the manifest beside it\n", p.File, p.State)
		default:
			a.note("  the installed version %s (%s)\n", p.Version, p.State)
		}
	}
	a.note("  its settings in the configuration, its place in the log and its outcomes\n")
	if stored {
		a.note("  what it has stored\n")
	}
	c.ifMatch = tag
	return a.confirm("Uninstall it?", notUninstalled)
}

const notUninstalled = "nothing was removed: answer y at a terminal, or give --yes"
