// Package plugins has the commands about the plugins of a host: show and switch them, add
// files, wait for them, inspect modules, install, upgrade and uninstall. Read plugins.go
// first.
package plugins

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

const path = "/api/v1/events/plugins"

type app struct{ *command.Env }

// Command returns the command plugin.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("plugin", "Write, build, see, add, switch, approve, inspect, install and uninstall plugins",
		a.create(), a.build(), a.pack(), a.dev(), a.list(), a.show(), a.add(), a.wait(), a.change("enable", "Enable a plugin"), a.change("disable", "Disable a plugin"),
		a.change("pause", "Have a plugin take no events, and keep its position in the log"),
		a.change("resume", "Have a paused plugin continue at its position"),
		a.approve(), a.logs(), a.inspect(), a.test(), a.report(), a.install(), a.upgrade(), a.rollback(), a.outdated(), a.verify(), a.uninstall())
}

func (a app) list() *cobra.Command {
	return a.Remote("list", "List plugins with their states", func(ctx context.Context, _ []string) error {
		return command.Fetch(ctx, a.Env, "GET", path, nil, func(list wire.List[wire.Plugin]) error {
			err := console.Table(a.Console, "NAME\tSTATE\tVERSION\tSTYLE\tINSTANCES\tDELIVERED\tFAILED\tLAG\tREASON", list.Items,
				func(p wire.Plugin) console.Cells {
					reason, _, _ := strings.Cut(p.Reason, "\n")
					return console.Cells{p.Name, p.State, p.Version, p.Style, p.Instances, p.Delivered, p.Failed, p.Lag, reason}
				})
			if err == nil && len(list.Items) > 0 {
				err = a.Print("\nDELIVERED and FAILED count since the host started.\n")
			}
			return err
		})
	})
}

func (a app) show() *cobra.Command {
	return a.Remote("show NAME", "Show one plugin", func(ctx context.Context, args []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		return command.FetchBy(ctx, a.Env, c, "GET", pluginPath(args[0]), nil, func(p wire.Plugin) error {
			if err := a.print(p); err != nil {
				return err
			}
			return a.printBacklog(ctx, c, p.Name)
		}, named(args[0]))
	})
}

// printBacklog prints the open events and dead letters of a plugin, if the log has them.
func (a app) printBacklog(ctx context.Context, c *client.Client, name string) error {
	var log wire.LogStatus
	if _, err := c.Call(ctx, "GET", "/api/v1/events/log", nil, &log); err != nil {
		return nil //nolint:nilerr // the plugin is shown; the counts are an addition
	}
	for _, h := range log.Handlers {
		if h.Plugin == name {
			a.Print("backlog     %d open, %d dead\n", h.Open, h.Dead)
			if len(h.Shards) == 0 {
				return nil
			}
			former := h.Dead
			for _, s := range h.Shards {
				former -= min(former, s.Dead)
			}
			if former > 0 {
				a.Print("            %d of the dead are of former shards, whose numbers are not in use\n", former)
			}
			a.Print("\n")
			return console.Table(a.Console, "SHARD\tCURSOR\tOPEN\tDEAD", h.Shards, func(s wire.ShardReader) console.Cells {
				return console.Cells{s.Shard, s.Cursor, s.Open, s.Dead}
			})
		}
	}
	return nil
}

func (a app) report() *cobra.Command {
	cmd := a.Remote("report NAME", "Show what the running host's vetting has found in a plugin's module",
		func(ctx context.Context, args []string) error {
			return command.Fetch(ctx, a.Env, "GET", pluginPath(args[0])+"/report", nil, a.printReport)
		})
	cmd.Long = `Shows what the running host's vetting has found in a plugin's module, as
'berth plugin inspect' shows it of a file: also of one that was rejected.`
	return cmd
}

func (a app) change(action, short string) *cobra.Command {
	return a.Remote(action+" NAME", short+"; written into the configuration", func(ctx context.Context, args []string) error {
		return command.Fetch(ctx, a.Env, "POST", pluginPath(args[0])+"/"+action, nil, a.print, named(args[0]))
	})
}

// pluginPath returns the path of one plugin in the API.
func pluginPath(name string) string { return path + "/" + url.PathEscape(name) }

// named checks that an answer is about the plugin of this name.
func named(name string) func(wire.Plugin) error {
	return func(p wire.Plugin) error { return client.About("plugin", p.Name, name) }
}

// shards says how a handler is divided, and what it changes to.
func shards(s wire.PluginShards) string {
	text := layout(wire.PluginLayout{Count: s.Count, OrderBy: s.OrderBy})
	if s.Next == nil {
		return text
	}
	text += "; they change to " + layout(*s.Next)
	switch s.Stage {
	case "draining":
		return text + fmt.Sprintf(": events up to %d end first, the others wait", s.Until)
	}
	return text + ": the hosts give them away"
}

func layout(l wire.PluginLayout) string {
	if l.OrderBy == "" {
		return fmt.Sprint(l.Count)
	}
	return fmt.Sprintf("%d by %s", l.Count, l.OrderBy)
}

func (a app) print(p wire.Plugin) error {
	state := string(p.State)
	if p.Reason != "" {
		state += ": " + p.Reason
	}
	a.Print("plugin      %s\nstate       %s\nsince       %s\nsha256      %s\nstyle       %s\nsubscribes  %s\n",
		strings.TrimSpace(p.Name+" "+p.Version), console.Lines(state), console.Clock(p.Since), p.SHA256, p.Style,
		strings.Join(p.Subscribes, ", "))
	for _, c := range p.Capabilities {
		a.Print("asks for    %s\n", asks(c))
	}
	if p.StateMode == abi.StateAtomic {
		a.Print("kv writes   atomic, with the outcome of the event\n")
	}
	if b := p.Batch; b != nil {
		a.Print("batches     up to %d events, waiting %g ms for more\n", b.MaxEvents, b.MaxWaitMS)
	}
	if p.FairBy != "" {
		a.Print("fair by     %s\n", console.Lines(p.FairBy))
	}
	if p.Shards != nil {
		a.Print("shards      %s\n", console.Lines(shards(*p.Shards)))
		if p.Shards.WaitsFor != "" {
			a.Print("waits for   %s\n", console.Lines(p.Shards.WaitsFor))
		}
	}
	if next := p.Pending; next != nil {
		a.Print("waiting     %s sha256 %s\n", next.Version, next.SHA256)
		for _, c := range next.Capabilities {
			a.Print("  asks for  %s\n", asks(c))
		}
	}
	return a.Print("figures     %d instances, a lag of %d; since the host started %d delivered, %d failed\n", p.Instances, p.Lag,
		p.Delivered, p.Failed)
}

// asks describes a capability on one line.
func asks(c wire.Capability) string {
	given := granted(c.Granted)
	if c.Required {
		given += ", required"
	}
	text := c.Name + " (" + given + ")"
	for _, list := range []struct {
		of    string
		items []string
	}{{"hosts", c.Hosts}, {"event types", c.EventTypes}, {"names", c.Names}} {
		if list.items != nil {
			text += " " + list.of + " " + strings.Join(list.items, ", ")
		}
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

func granted(is bool) string {
	if is {
		return "granted"
	}
	return "not granted"
}
