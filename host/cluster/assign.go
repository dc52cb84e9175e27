package cluster

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/spec"
)

// assign returns the owner of each unit that one of the hosts can run. It depends on its
// arguments only: the live members that take units, in any order, and the present owners.
//
// The units are spread evenly: two hosts that can run the same units differ by one unit of all
// and by one shard of each plugin, where that is possible. Within these bounds a unit stays with
// its owner, so that a host that joins or leaves moves no more than its own share; a unit without
// an owner goes to the host with the highest hash of both (rendezvous hashing). Jobs are not counted.
func assign(hosts []spec.Member, owners map[string]string) map[string]string {
	a := assignment{result: make(map[string]string), groups: make(map[string]*share)}
	var pairs []pair
	for _, h := range hosts {
		for _, unit := range h.Units {
			pairs = append(pairs, pair{unit, h.ID, weight(unit, h.ID), owners[unit] == h.ID})
		}
	}
	slices.SortFunc(pairs, func(p, q pair) int {
		return cmp.Or(cmp.Compare(q.weight, p.weight), cmp.Compare(p.unit, q.unit), cmp.Compare(p.host, q.host))
	})
	pairs = slices.CompactFunc(pairs, func(p, q pair) bool { return p.unit == q.unit && p.host == q.host })
	a.count(pairs)

	// Each step gives units up to a looser bound. An owner comes before others within one step.
	for _, fits := range []func(pair) bool{a.fitsAll, a.fitsGroup, anywhere} {
		for _, keep := range []bool{true, false} {
			for _, p := range pairs {
				if (p.owns || !keep) && a.result[p.unit] == "" && fits(p) {
					a.give(p)
				}
			}
		}
	}
	return a.result
}

type pair struct {
	unit, host string
	weight     uint64
	owns       bool
}

// weight is the rank of a host for a unit.
func weight(unit, host string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(unit))
	h.Write([]byte{0})
	h.Write([]byte(host))
	// FNV leaves the names of shards, which differ at the end, close to each other.
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func isJob(unit string) bool { return strings.HasPrefix(unit, ":") }

// group is the plugin of a unit: that of shard 3 of enrich is "enrich/3".
func group(unit string) string {
	plugin, _, _ := strings.Cut(unit, "/")
	return plugin
}

// share is how a number of units is spread over hosts: each has base or, if it is one of extra
// hosts, one more.
type share struct {
	base, extra int
	load        map[string]int
}

func newShare(units, hosts int) *share {
	return &share{base: units / hosts, extra: units % hosts, load: make(map[string]int)}
}

func (s *share) fits(host string) bool {
	n := s.load[host]
	return n < s.base || n == s.base && s.extra > 0
}

func (s *share) add(host string) {
	if s.load[host] == s.base {
		s.extra--
	}
	s.load[host]++
}

type assignment struct {
	result map[string]string
	all    *share
	groups map[string]*share
}

func (a *assignment) count(pairs []pair) {
	type set map[string]struct{}
	units, hosts := make(map[string]set), make(map[string]set)
	add := func(group string, p pair) {
		if units[group] == nil {
			units[group], hosts[group] = make(set), make(set)
		}
		units[group][p.unit], hosts[group][p.host] = struct{}{}, struct{}{}
	}
	for _, p := range pairs {
		if !isJob(p.unit) {
			add("", p)
			add(group(p.unit), p)
		}
	}
	for name, u := range units {
		if s := newShare(len(u), len(hosts[name])); name == "" {
			a.all = s
		} else {
			a.groups[name] = s
		}
	}
}

func (a *assignment) fitsGroup(p pair) bool {
	return isJob(p.unit) || a.groups[group(p.unit)].fits(p.host)
}

func (a *assignment) fitsAll(p pair) bool {
	return isJob(p.unit) || a.all.fits(p.host) && a.fitsGroup(p)
}

func anywhere(pair) bool { return true }

func (a *assignment) give(p pair) {
	a.result[p.unit] = p.host
	if !isJob(p.unit) {
		a.all.add(p.host)
		a.groups[group(p.unit)].add(p.host)
	}
}
