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
// an owner goes to the host with the highest hash of both (rendezvous hashing). Jobs are spread so too, by
// themselves: they are no load that counts.
func assign(hosts []spec.Member, owners map[string]string) map[string]string {
	groups := make(map[string][]pair)
	var jobs []pair
	for _, h := range hosts {
		for _, unit := range h.Units {
			p := pair{unit, h.ID, weight(unit, h.ID), owners[unit] == h.ID}
			if isJob(unit) {
				jobs = append(jobs, p)
			} else {
				groups[group(unit)] = append(groups[group(unit)], p)
			}
		}
	}
	a := &assignment{result: make(map[string]string), load: make(map[string]int)}
	for _, h := range hosts {
		a.load[h.ID] = 0
	}
	units, able := sizes(jobs)
	if units > 0 {
		own := newShare(units, able, make(map[string]int))
		a.fill(jobs, func(p pair) bool { return own.fits(p.host) }, func(p pair) { own.add(p.host) })
		a.fill(jobs, anywhere)
	}

	// The largest groups come first, since they bind most; plugins with one unit come together last.
	var singles []pair
	var sharded [][]pair
	for _, pairs := range groups {
		if units, _ := sizes(pairs); units > 1 {
			sharded = append(sharded, pairs)
		} else {
			singles = append(singles, pairs...)
		}
	}
	slices.SortFunc(sharded, func(p, q []pair) int {
		pUnits, _ := sizes(p)
		qUnits, _ := sizes(q)
		return cmp.Or(cmp.Compare(qUnits, pUnits), cmp.Compare(group(p[0].unit), group(q[0].unit)))
	})
	for _, pairs := range sharded {
		_, hosts := sizes(pairs)
		a.spread(pairs, hosts)
	}
	a.spread(singles, 1)
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

// sizes returns the number of units and hosts of pairs.
func sizes(pairs []pair) (units, hosts int) {
	u, h := make(map[string]struct{}), make(map[string]struct{})
	for _, p := range pairs {
		u[p.unit], h[p.host] = struct{}{}, struct{}{}
	}
	return len(u), len(h)
}

// share is how a number of units is spread over hosts: each has base or, if it is one of extra
// hosts, one more.
type share struct {
	base, extra int
	load        map[string]int
}

// newShare returns a share of which load is taken already.
func newShare(units, hosts int, load map[string]int) *share {
	s := &share{base: units / hosts, extra: units % hosts, load: load}
	for _, n := range load {
		if n > s.base {
			s.extra--
		}
	}
	return s
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
	load   map[string]int // of the hosts, without jobs
	units  int            // so far
}

// spread places units so that all so far are spread evenly, and these by themselves
// over that many hosts; 1 is no bound.
func (a *assignment) spread(pairs []pair, hosts int) {
	units, _ := sizes(pairs)
	if units == 0 {
		return
	}
	a.units += units
	all, own := newShare(a.units, len(a.load), a.load), newShare(units, hosts, make(map[string]int))
	inGroup := func(p pair) bool { return own.fits(p.host) }
	added := func(p pair) {
		all.add(p.host)
		own.add(p.host)
	}
	a.fill(pairs, func(p pair) bool { return all.fits(p.host) && inGroup(p) }, added)
	a.fill(pairs, inGroup, added)
	a.fill(pairs, anywhere, added)
}

func anywhere(pair) bool { return true }

// fill gives each unit to the host with the highest weight that fits, first to its owner.
func (a *assignment) fill(pairs []pair, fits func(pair) bool, added ...func(pair)) {
	slices.SortFunc(pairs, func(p, q pair) int {
		return cmp.Or(cmp.Compare(q.weight, p.weight), cmp.Compare(p.unit, q.unit), cmp.Compare(p.host, q.host))
	})
	for _, owner := range []bool{true, false} {
		for _, p := range pairs {
			if (p.owns || !owner) && a.result[p.unit] == "" && fits(p) {
				a.result[p.unit] = p.host
				for _, f := range added {
					f(p)
				}
			}
		}
	}
}
