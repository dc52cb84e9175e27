package board

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/wire"
)

const (
	check          = "cluster"       // of the findings
	maxClockOffset = 5 * time.Second // a larger one is a finding
	maxNames       = 5               // units in one finding
	digestShown    = 12              // characters of a digest
)

// findings returns what is wrong with a cluster, problems first.
func findings(c wire.Cluster) []wire.Finding {
	list := []wire.Finding{}
	add := func(level wire.FindingLevel, advice, detail string, args ...any) {
		list = append(list, wire.Finding{Check: check, Level: level, Detail: fmt.Sprintf(detail, args...), Advice: advice})
	}
	if c.Problem != "" {
		add(wire.FindingProblem, "repair the database, or the network to it; the host rejoins by itself", "%s, which answers: %s", c.Host, c.Problem)
	}
	if idle := idle(c); len(idle) > 0 {
		more := ""
		if n := len(idle) - maxNames; n > 0 {
			idle, more = idle[:maxNames], fmt.Sprintf(" and %d more", n)
		}
		add(wire.FindingProblem, "start a host that can take over, or end a drain", "no host runs %s%s", strings.Join(idle, ", "), more)
	}
	for _, m := range c.Members {
		if !m.Alive {
			add(wire.FindingWarning, "look at its log at "+m.URL+"; the others take its handlers", "%s is lost: it does not renew its lease", m.Name)
		} else if offset := time.Duration(m.ClockOffsetMS) * time.Millisecond; offset.Abs() >= maxClockOffset {
			add(wire.FindingWarning, "set it, for example with NTP", "the clock of %s is %+.1f s off the database's", m.Name, offset.Seconds())
		}
	}
	if by := liveBy(c, func(m wire.ClusterMember) string { return m.Version }); len(by) > 1 {
		add(wire.FindingWarning, "finish the upgrade", "the hosts have different versions: %s", listed(by))
	}
	if by := liveBy(c, func(m wire.ClusterMember) string { return m.Settings }); len(by) > 1 {
		add(wire.FindingWarning, "compare berth config show of each", "the settings that all hosts should share differ: %s", listed(by))
	}
	for _, m := range c.Modules {
		by := make(map[string][]string)
		for _, one := range m.Modules {
			by[one.SHA256[:min(digestShown, len(one.SHA256))]] = one.Hosts
		}
		add(wire.FindingWarning, "see berth plugin show "+m.Plugin+" on each", "the hosts have different modules of %s: %s", m.Plugin, listed(by))
	}
	return list
}

// differentShards returns a finding for each plugin of which the live members want different shards.
func differentShards(v cluster.View) (list []wire.Finding) {
	wanted := make(map[string]map[string][]string) // the hosts by plugin and layout
	for _, m := range v.Members {
		for plugin, layout := range m.Layouts {
			if !m.Alive {
				continue
			}
			if wanted[plugin] == nil {
				wanted[plugin] = make(map[string][]string)
			}
			wanted[plugin][layout] = append(wanted[plugin][layout], m.Name)
		}
	}
	for _, plugin := range slices.Sorted(maps.Keys(wanted)) {
		if by := wanted[plugin]; len(by) > 1 {
			list = append(list, wire.Finding{Check: check, Level: wire.FindingWarning, Detail: fmt.Sprintf("the hosts want different shards of %s: %s", plugin, listed(by)),
				Advice: "give all hosts the same shards and order_by of the handler: the present ones stay until then"})
		}
	}
	return list
}

// idle returns the units that no host runs and none is to run.
func idle(c wire.Cluster) (names []string) {
	for _, u := range c.Units {
		if u.Host == "" && u.MovesTo == "" {
			names = append(names, u.Name)
		}
	}
	return names
}

// liveBy returns the names of the live members by a value that they should share.
func liveBy(c wire.Cluster, value func(wire.ClusterMember) string) map[string][]string {
	by := make(map[string][]string)
	for _, m := range c.Members {
		if m.Alive {
			by[value(m)] = append(by[value(m)], m.Name)
		}
	}
	return by
}

// listed returns "1.0 on a, b; 2.0 on c".
func listed(by map[string][]string) string {
	var parts []string
	for _, value := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s on %s", cmp.Or(value, "none"), strings.Join(by[value], ", ")))
	}
	return strings.Join(parts, "; ")
}
