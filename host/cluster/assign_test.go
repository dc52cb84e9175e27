package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/spec"
)

// drawHosts draws hosts that can run the same units or, if various, different ones.
func drawHosts(t *rapid.T, various bool) []spec.Member {
	var units []string
	for i, shards := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 6).Draw(t, "shards") {
		if shards == 0 {
			units = append(units, fmt.Sprint("plugin", i))
		}
		for s := range shards {
			units = append(units, fmt.Sprintf("plugin%d/%d", i, s))
		}
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "jobs") {
		units = append(units, fmt.Sprint(":job", i))
	}
	hosts := make([]spec.Member, rapid.IntRange(1, 7).Draw(t, "hosts"))
	for i := range hosts {
		hosts[i] = spec.Member{ID: rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "id") + fmt.Sprint("-", i), Units: units}
		if various {
			hosts[i].Units = rapid.SliceOfDistinct(rapid.SampledFrom(units), rapid.ID[string]).Draw(t, "units")
		}
	}
	return hosts
}

func count(owners map[string]string, of func(unit string) bool) map[string]int {
	loads := make(map[string]int)
	for unit, owner := range owners {
		if of(unit) {
			loads[owner]++
		}
	}
	return loads
}

func notJob(unit string) bool { return !strings.HasPrefix(unit, ":") }

func moved(before, after map[string]string) (n int) {
	for unit, owner := range after {
		if before[unit] != owner {
			n++
		}
	}
	return n
}

func TestAssignmentGivesEachUnitToOneHostThatCanRunIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := drawHosts(t, true)
		can := make(map[string][]string)
		for _, h := range hosts {
			for _, u := range h.Units {
				can[u] = append(can[u], h.ID)
			}
		}
		owners := make(map[string]string)
		for u := range can {
			owners[u] = rapid.SampledFrom([]string{"", "gone", hosts[0].ID, hosts[len(hosts)-1].ID}).Draw(t, "owner")
		}
		got := cluster.Assign(hosts, owners)
		if len(got) != len(can) {
			t.Fatalf("%d units are assigned of %d", len(got), len(can))
		}
		for u, host := range got {
			if !slices.Contains(can[u], host) {
				t.Fatalf("%s is assigned to %s, which cannot run it", u, host)
			}
		}
		// The order of the hosts is of no effect: each host computes the same.
		other := slices.Clone(hosts)
		slices.Reverse(other)
		if again := cluster.Assign(other, owners); !maps.Equal(got, again) {
			t.Fatalf("got %v and, in another order, %v", got, again)
		}
	})
}

func TestAssignmentIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := drawHosts(t, false)
		owners := make(map[string]string)
		for _, u := range hosts[0].Units {
			owners[u] = rapid.SampledFrom([]string{"", hosts[0].ID, hosts[len(hosts)-1].ID}).Draw(t, "owner")
		}
		for range 20 { // rounds in which all units go where they should
			owners = cluster.Assign(hosts, owners)
		}
		spread := func(what string, limit int, of func(unit string) bool) {
			loads := count(owners, of)
			low, high := 1<<30, 0
			for _, h := range hosts {
				low, high = min(low, loads[h.ID]), max(high, loads[h.ID])
			}
			if high-low > limit {
				t.Fatalf("%s: from %d to %d units on a host: %v", what, low, high, owners)
			}
		}
		for i := range 6 {
			prefix := fmt.Sprintf("plugin%d/", i)
			spread(prefix, 1, func(u string) bool { return strings.HasPrefix(u, prefix) })
		}
		spread("all", 2, notJob)
		spread("jobs", 1, func(u string) bool { return !notJob(u) })
	})
}

// TestAssignmentConverges holds that nothing moves any more after a few rounds, whoever owns the
// units first: hosts do not pass a unit on to each other for ever.
func TestAssignmentConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := drawHosts(t, true)
		owners := make(map[string]string)
		for _, h := range hosts {
			for _, u := range h.Units {
				owners[u] = hosts[rapid.IntRange(0, len(hosts)-1).Draw(t, "owner")].ID
			}
		}
		for range 6 {
			next := cluster.Assign(hosts, owners)
			if maps.Equal(next, owners) {
				return
			}
			owners = next
		}
		t.Fatalf("after 6 rounds units still move: %v, then %v", owners, cluster.Assign(hosts, owners))
	})
}

func TestJoinAndLeaveMoveTheirShareOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := drawHosts(t, false)
		n := len(hosts[0].Units)
		owners := make(map[string]string)
		converge := func(hosts []spec.Member) map[string]string {
			next := owners
			for range 6 {
				next = cluster.Assign(hosts, next)
			}
			return next
		}
		owners = converge(hosts)
		joined := converge(append(slices.Clone(hosts), spec.Member{ID: "new", Units: hosts[0].Units}))
		if got, limit := moved(owners, joined), n/(len(hosts)+1)+8; got > limit {
			t.Fatalf("a join of host %d moves %d of %d units, want at most %d", len(hosts)+1, got, n, limit)
		}
		if len(hosts) == 1 {
			return
		}
		gone := count(owners, func(string) bool { return true })[hosts[0].ID]
		if got, limit := moved(owners, converge(hosts[1:])), gone+6; got > limit {
			t.Fatalf("when a host with %d units leaves, %d units move", gone, got)
		}
	})
}

// TestRendezvousSpreadsFreeUnits holds that free jobs do not all go to one host, and that a host that
// leaves moves its own only.
func TestRendezvousSpreadsFreeUnits(t *testing.T) {
	hosts := []spec.Member{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	for i := range hosts {
		for u := range 300 {
			hosts[i].Units = append(hosts[i].Units, fmt.Sprint(":job", u))
		}
	}
	got := cluster.Assign(hosts, nil)
	for _, h := range hosts {
		if n := count(got, func(string) bool { return true })[h.ID]; n != 100 {
			t.Errorf("host %s has %d of 300 jobs", h.ID, n)
		}
	}
	for u, owner := range cluster.Assign(hosts[:2], got) {
		if got[u] != "c" && got[u] != owner {
			t.Errorf("%s moves from %s to %s though neither has left", u, got[u], owner)
		}
	}
}
