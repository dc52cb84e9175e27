// Package cluster has the commands for several hosts that share a database.
package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	path      = "/api/v1/cluster"
	lookEvery = 500 * time.Millisecond // with --wait
)

type app struct{ *command.Env }

// Command returns the command cluster.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("cluster", "See the hosts that share a database, and take one out of service", a.status(), a.drain())
}

func (a app) status() *cobra.Command {
	cmd := a.Remote("status", "Show the hosts, what each runs, and what is wrong", func(ctx context.Context, _ []string) error {
		return command.Fetch(ctx, a.Env, "GET", path, nil, a.print)
	})
	cmd.Long = `Show the hosts that share a database, and which of them runs each handler and each
job of the cluster. Every host answers the same. The lines above the tables say what
is wrong; without any, all hosts are alive and every handler has a host.

State of a host:
  alive     it has renewed its lease within 3 s
  draining  it gives its handlers to the others: berth cluster drain, or it ends
  lost      it has not; the others take its handlers 3 s after its last renewal`
	return cmd
}

func (a app) print(c wire.Cluster) error {
	if !c.Shared {
		return a.Print("%s runs alone: bus.engine is %s. Several hosts need bus.engine: postgres; see docs/cluster.md.\n", c.Host, c.Engine)
	}
	for _, f := range c.Findings {
		if err := a.Print("! %s: %s\n", f.Detail, f.Advice); err != nil {
			return err
		}
	}
	handlers, units, idle, alive := make(map[string]bool), 0, 0, 0
	for _, u := range c.Units {
		if u.Kind == "handler" {
			handlers[spec.PluginOf(u.Name)] = true
			units++
			if u.Host == "" {
				idle++
			}
		}
	}
	for _, m := range c.Members {
		if m.Alive {
			alive++
		}
	}
	run := "each with a host"
	if idle > 0 {
		run = fmt.Sprintf("%d without a host", idle)
	}
	if units > len(handlers) {
		run = fmt.Sprintf("in %d units, %s", units, run)
	}
	a.Print("%s alive of %d; %s, %s; as %s saw it %s ago\n\n", console.Count(alive, "host"), len(c.Members), console.Count(len(handlers), "handler"), run,
		c.Host, (time.Duration(c.AgeMS) * time.Millisecond).Round(100*time.Millisecond))
	if err := console.Table(a.Console, "HOST\tSTATE\tRUNS\tVERSION\tSTARTED\tRENEWED\tCLOCK\tSETTINGS\tURL", c.Members, func(m wire.ClusterMember) console.Cells {
		return console.Cells{m.Name, state(m), m.Units, m.Version, console.Clock(m.StartedAt),
			fmt.Sprintf("%.1f s ago", float64(m.AgeMS)/1000), fmt.Sprintf("%+.1f s", float64(m.ClockOffsetMS)/1000), cmp.Or(m.Settings, "-"), m.URL}
	}); err != nil || len(c.Units) == 0 {
		return err
	}
	a.Print("\n")
	return console.Table(a.Console, "HANDLER OR JOB\tHOST\tEPOCH\tNOTE", c.Units, func(u wire.ClusterUnit) console.Cells {
		note := "-"
		switch {
		case u.Host == "" && u.MovesTo == "":
			note = "no live host can run it"
		case u.MovesTo != "":
			note = "goes to " + u.MovesTo
		}
		return console.Cells{u.Name, cmp.Or(u.Host, "-"), u.Epoch, note}
	})
}

func state(m wire.ClusterMember) string {
	switch {
	case !m.Alive:
		return "lost"
	case m.Draining:
		return "draining"
	}
	return "alive"
}

func (a app) drain() *cobra.Command {
	var undo, wait bool
	cmd := a.Remote("drain HOST", "Have a host give its handlers to the others, and take none", func(ctx context.Context, args []string) error {
		action := "drain"
		if undo {
			action = "undrain"
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		return command.FetchBy(ctx, a.Env, c, "POST", path+"/members/"+url.PathEscape(args[0])+"/"+action, nil, func(m wire.ClusterMember) error {
			switch {
			case undo:
				return a.Print("%s takes handlers again\n", m.Name)
			case !wait:
				return a.Print("%s drains; berth cluster status shows what it still runs\n", m.Name)
			}
			return a.await(ctx, c, m)
		}, func(m wire.ClusterMember) error {
			if m.ID == args[0] {
				return nil
			}
			return client.About("host", m.Name, args[0])
		})
	})
	cmd.Long = `Have a host give its handlers to the other hosts and take none, until --undo or until
it is started again. Attempts that are open may end: nothing is lost or repeated. Its
API goes on; take it out of the load balancer too before you work on the machine.
A host that is stopped (SIGTERM) drains by itself.`
	cmd.Example = "  berth cluster drain berth-2 --wait\n  berth cluster drain berth-2 --undo"
	cmd.Flags().BoolVar(&undo, "undo", false, "have it take handlers again")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it runs nothing any more")
	cmd.MarkFlagsMutuallyExclusive("undo", "wait")
	return cmd
}

// await waits until a draining member runs nothing.
func (a app) await(ctx context.Context, c *client.Client, m wire.ClusterMember) error {
	for {
		var now wire.Cluster
		if _, err := c.Call(ctx, "GET", path, nil, &now); err != nil {
			return err
		}
		i := slices.IndexFunc(now.Members, func(one wire.ClusterMember) bool { return one.ID == m.ID })
		switch {
		case i < 0:
			return a.Print("%s has left the cluster\n", m.Name)
		case now.Members[i].Draining && now.Members[i].Units == 0:
			return a.Print("%s runs nothing any more\n", m.Name)
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
