// Package board shows the hosts that share a database, and drains them.
package board

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Cluster is the part of cluster.Cluster that a Board needs.
type Cluster interface {
	View() cluster.View
	Ready() error
	Do(ctx context.Context, unit, method string, body []byte) ([]byte, error)
}

// drain is the command of a member; its body is whether to drain.
const drain = "drain"

// Board implements membership.Cluster. All fields are required. It is safe for concurrent use.
type Board struct {
	Engine string             // bus.engine
	Self   func() spec.Member // this host, for the case that it runs alone
	Joined func() Cluster     // nil while this host is not, or not yet, a member
	Shared bool               // hosts share the engine
}

// New returns a Board; joined returns nil while this host is not a member.
func New(engine string, shared bool, self func() spec.Member, joined func() *cluster.Cluster) Board {
	return Board{Engine: engine, Shared: shared, Self: self, Joined: func() Cluster {
		if c := joined(); c != nil {
			return c
		}
		return nil
	}}
}

// OwnerOf returns the function that returns the name of the host that runs a handler; "" when none
// does.
func OwnerOf(joined func() *cluster.Cluster) func(handler string) string {
	of := MemberOf(joined)
	return func(handler string) string {
		m, _ := of(handler)
		return m.Name
	}
}

// MemberOf returns the function that returns the host that runs a handler, and whether one does.
func MemberOf(joined func() *cluster.Cluster) func(handler string) (spec.Member, bool) {
	return func(handler string) (spec.Member, bool) {
		if c := joined(); c != nil {
			return c.Owner(handler)
		}
		return spec.Member{}, false
	}
}

// OthersWatch returns the function that reports whether a client follows the event stream of
// another live host.
func OthersWatch(joined func() *cluster.Cluster) func() bool {
	return func() bool {
		c := joined()
		if c == nil {
			return false
		}
		v := c.View()
		return slices.ContainsFunc(v.Members, func(m cluster.MemberView) bool { return m.ID != v.Self && m.Alive && m.Watched })
	}
}

// Methods are the commands that members carry out for each other.
func Methods(setDraining func(bool)) map[string]cluster.Method {
	return map[string]cluster.Method{drain: func(_ context.Context, _ string, body []byte) ([]byte, error) {
		var draining bool
		if err := json.Unmarshal(body, &draining); err != nil {
			return nil, fault.New(fault.Invalid, "drain: %w", err)
		}
		setDraining(draining)
		return nil, nil
	}}
}

// Show implements membership.Cluster.
func (b Board) Show() wire.Cluster {
	self := b.Self()
	shown := wire.Cluster{Shared: b.Shared, Engine: b.Engine, Host: self.Name, Members: []wire.ClusterMember{}, Units: []wire.ClusterUnit{},
		Modules: []wire.ClusterModules{}, Findings: []wire.Finding{}}
	c := b.Joined()
	switch {
	case !b.Shared:
		shown.Members = append(shown.Members, member(cluster.MemberView{Member: self, Alive: true}))
		return shown
	case c == nil:
		shown.Problem = "this host has not joined the cluster yet"
		shown.Findings = findings(shown)
		return shown
	}
	v := c.View()
	shown.AgeMS = v.Age.Milliseconds()
	if err := c.Ready(); err != nil {
		shown.Problem = err.Error()
	}
	for _, m := range v.Members {
		shown.Members = append(shown.Members, member(m))
	}
	slices.SortFunc(shown.Members, func(x, y wire.ClusterMember) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), y.StartedAt.Compare(x.StartedAt))
	})
	shown.SettingsDiffer = len(liveBy(shown, func(m wire.ClusterMember) string { return m.Settings })) > 1
	shown.Units = units(v)
	shown.Modules = modules(v)
	shown.Findings = append(findings(shown), differentShards(v)...)
	return shown
}

func member(m cluster.MemberView) wire.ClusterMember {
	return wire.ClusterMember{Name: m.Name, ID: m.ID, URL: m.URL, Version: m.Version, StartedAt: m.StartedAt, Alive: m.Alive, Draining: m.Draining,
		AgeMS: m.Age.Milliseconds(), Settings: m.Settings[:min(digestShown, len(m.Settings))], Units: m.Owns, ClockOffsetMS: m.ClockOffset.Milliseconds()}
}

// units returns the units that have an owner, or that a live member can run.
func units(v cluster.View) []wire.ClusterUnit {
	byName := make(map[string]wire.ClusterUnit)
	for _, m := range v.Members {
		if m.Alive {
			for _, name := range m.Units {
				byName[name] = wire.ClusterUnit{Name: name, Kind: kindOf(name)}
			}
		}
	}
	for _, u := range v.Units {
		if _, runnable := byName[u.Name]; u.Owner == "" && !runnable {
			continue // of a plugin that is gone, or that no host runs
		}
		one := wire.ClusterUnit{Name: u.Name, Kind: kindOf(u.Name), Host: u.Host, Epoch: u.Epoch}
		if u.Wanted != u.Host {
			one.MovesTo = u.Wanted
		}
		byName[u.Name] = one
	}
	list := slices.Collect(maps.Values(byName))
	slices.SortFunc(list, func(x, y wire.ClusterUnit) int {
		first, _ := spec.ShardOf(x.Name)
		second, _ := spec.ShardOf(y.Name)
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(spec.PluginOf(x.Name), spec.PluginOf(y.Name)), cmp.Compare(first, second))
	})
	return append([]wire.ClusterUnit{}, list...)
}

func kindOf(unit string) string {
	if strings.HasPrefix(unit, ":") {
		return "job"
	}
	return "handler"
}

// modules returns the plugins of which the live members have different modules.
func modules(v cluster.View) []wire.ClusterModules {
	plugins := make(map[string]bool)
	for _, m := range v.Members {
		if m.Alive {
			for name := range m.Modules {
				plugins[name] = true
			}
		}
	}
	list := []wire.ClusterModules{}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		hosts := make(map[string][]string)
		for _, m := range v.Members {
			if m.Alive {
				hosts[m.Modules[name]] = append(hosts[m.Modules[name]], m.Name)
			}
		}
		if len(hosts) < 2 {
			continue
		}
		one := wire.ClusterModules{Plugin: name}
		for _, digest := range slices.Sorted(maps.Keys(hosts)) {
			slices.Sort(hosts[digest])
			one.Modules = append(one.Modules, wire.ClusterModule{SHA256: digest, Hosts: hosts[digest]})
		}
		list = append(list, one)
	}
	return list
}

// SetDraining implements membership.Cluster.
func (b Board) SetDraining(ctx context.Context, name string, draining bool) (wire.ClusterMember, error) {
	if !b.Shared {
		return wire.ClusterMember{}, fault.New(fault.Conflict,
			"this host runs alone (bus.engine is %s): no other host could run its handlers; see docs/cluster.md", b.Engine)
	}
	c := b.Joined()
	if c == nil {
		return wire.ClusterMember{}, fault.New(fault.Unavailable, "this host has not joined the cluster yet: try again")
	}
	if err := c.Ready(); err != nil {
		return wire.ClusterMember{}, err
	}
	v := c.View()
	var live []string
	for _, m := range v.Members {
		switch {
		case !m.Alive:
		case m.Name == name || m.ID == name:
			if _, err := c.Do(ctx, cluster.MemberUnit(m.ID), drain, fmt.Append(nil, draining)); err != nil {
				return wire.ClusterMember{}, fmt.Errorf("drain %s: %w", name, err)
			}
			shown := member(m)
			shown.Draining = draining
			return shown, nil
		default:
			live = append(live, m.Name)
		}
	}
	slices.Sort(live)
	return wire.ClusterMember{}, fault.New(fault.NotFound, "no live host of the cluster has the name %s; there are %s", fault.Quote(name), strings.Join(live, ", "))
}
