package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

func (a *app) pluginCommand() *cobra.Command {
	return group("plugin", "See, add, switch, approve, inspect, install and uninstall plugins",
		a.pluginList(), a.pluginShow(), a.pluginAdd(), a.pluginWait(), a.pluginSwitch("enable", "Enable a plugin"), a.pluginSwitch("disable", "Disable a plugin"),
		a.pluginSwitch("pause", "Have a plugin take no events, and keep its place in the log"), a.pluginSwitch("resume", "Have a paused plugin go on where it was"),
		a.pluginApprove(),
		a.pluginInspect(), a.pluginReport(), a.pluginInstall(), a.pluginUpgrade(), a.pluginRollback(), a.pluginOutdated(), a.pluginVerify(), a.pluginUninstall())
}

func (a *app) pluginList() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "list",
		Short: "List plugins with their states",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd.Context(), a, "GET", "/api/v1/events/plugins", nil, func(list wire.List[wire.Plugin]) error {
				err := a.table("NAME\tSTATE\tVERSION\tSTYLE\tINSTANCES\tDELIVERED\tFAILED\tLAG\tREASON", len(list.Items), func(i int) cells {
					p := list.Items[i]
					reason, _, _ := strings.Cut(p.Reason, "\n")
					return cells{p.Name, p.State, p.Version, p.Style, p.Instances, p.Delivered, p.Failed, p.Lag, reason}
				})
				if err == nil && len(list.Items) > 0 {
					err = a.print("\nDELIVERED and FAILED count since the host started.\n")
				}
				return err
			})
		},
	})
}

func (a *app) pluginShow() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "show NAME",
		Short: "Show one plugin",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fetch(cmd.Context(), a, "GET", pluginPath(args[0]), nil, a.showPlugin, named(args[0]))
		},
	})
}

func (a *app) pluginSwitch(action, short string) *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   action + " NAME",
		Short: short + "; written into the configuration",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fetch(cmd.Context(), a, "POST", pluginPath(args[0])+"/"+action, nil, a.showPlugin, named(args[0]))
		},
	})
}

// pluginPath is the path of one plugin in the API.
func pluginPath(name string) string { return "/api/v1/events/plugins/" + url.PathEscape(name) }

// named checks that an answer is about the plugin of this name.
func named(name string) func(wire.Plugin) error {
	return func(p wire.Plugin) error { return about("plugin", p.Name, name) }
}

func (a *app) showPlugin(p wire.Plugin) error {
	state := string(p.State)
	if p.Reason != "" {
		state += ": " + p.Reason
	}
	a.print("plugin      %s\nstate       %s\nsince       %s\nsha256      %s\nstyle       %s\nsubscribes  %s\n",
		strings.TrimSpace(p.Name+" "+p.Version), lines(state), clock(p.Since), p.SHA256, p.Style, strings.Join(p.Subscribes, ", "))
	for _, c := range p.Capabilities {
		a.print("asks for    %s\n", asks(c))
	}
	if next := p.Pending; next != nil {
		a.print("waiting     %s sha256 %s\n", next.Version, next.SHA256)
		for _, c := range next.Capabilities {
			a.print("  asks for  %s\n", asks(c))
		}
	}
	err := a.print("figures     %d instances, a lag of %d; since the host started %d delivered, %d failed\n", p.Instances, p.Lag, p.Delivered, p.Failed)
	return err
}
