package plugins

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

func (a app) uninstall() *cobra.Command {
	var force, purge, yes bool
	cmd := a.Remote("uninstall NAME", "Remove a plugin, its file, its settings and its position in the log",
		func(ctx context.Context, args []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			at := command.Path("/api/v1/plugins/uninstall/"+url.PathEscape(args[0]), "force", isTrue(force), "purge", isTrue(purge))
			if !yes {
				if err := a.agreeToUninstall(ctx, c, args[0], purge); err != nil {
					return err
				}
			}
			var left wire.Uninstalled
			_, err = c.Call(ctx, "DELETE", at, nil, &left)
			switch remains := len(left.RemainsOn) > 0; {
			case err != nil || a.JSON && !remains:
				return err
			case a.JSON:
				return a.EncodeJSON(left, true)
			case remains:
				return a.Print("%s is removed from this host, and remains on %s with its settings and its position in the log; uninstall it there too\n",
					args[0], strings.Join(left.RemainsOn, ", "))
			}
			return a.Print("%s is uninstalled\n", args[0])
		})
	cmd.Long = `Drains a plugin and removes it, with its settings in the configuration, its position
in the log and its outcomes. The file of a plugin in a watched directory is deleted,
with the manifest beside it and the plugin's stored values; the stored values of an
installed plugin are kept for a later installation, unless --purge is given. The
command shows what is removed, and asks. It needs no network. While other hosts of a
cluster have the file of the plugin too, only the file of this host goes.`
	cmd.Example = "  berth plugin uninstall fraud-check\n  berth plugin uninstall fraud-check --yes"
	cmd.Flags().BoolVar(&force, "force", false, "also if a route names the plugin")
	cmd.Flags().BoolVar(&purge, "purge", false, "remove what the plugin has stored as well")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// agreeToUninstall shows what is removed with a plugin, and asks. The request that follows
// removes the plugin that was shown, and no other.
func (a app) agreeToUninstall(ctx context.Context, c *client.Client, name string, purge bool) error {
	var p wire.Plugin
	_, tag, err := c.Tagged(ctx, "GET", pluginPath(name), nil, &p)
	var refused client.Problem
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound && purge: // it may have left something
		a.Note("Uninstalling %s removes its stored values.\n", name)
		return a.Confirm("Uninstall it?", notUninstalled)
	case err != nil:
		return err
	}
	if err := named(name)(p); err != nil {
		return err
	}
	var list wire.List[wire.Plugin] // in which a name may have further files, which go too
	if _, err := c.Call(ctx, "GET", path, nil, &list); err != nil {
		return err
	}
	a.Note("Uninstalling %s removes\n", name)
	stored := purge
	for _, p := range list.Items {
		switch {
		case p.Name != name:
		case p.File != "":
			stored = true
			a.Note("  the file %s (%s), and the manifest beside it\n", p.File, p.State)
		default:
			a.Note("  the installed version %s (%s)\n", p.Version, p.State)
		}
	}
	a.Note("  its settings in the configuration, its position in the log and its outcomes\n")
	if stored {
		a.Note("  its stored values\n")
	}
	c.IfMatch = tag
	return a.Confirm("Uninstall it?", notUninstalled)
}

const notUninstalled = "nothing was removed: answer y at a terminal, or give --yes"

func isTrue(flag bool) string {
	if flag {
		return "true"
	}
	return ""
}
