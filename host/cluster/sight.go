package cluster

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// maxGap is the time between two of a host's own renewals above which it starts to watch the
// others afresh: the database may have answered to none of them. A host that waited for as long
// before it could renew has renewed within LeaseFor.
const maxGap = 2 * time.Second

// sight is what a host has seen of the renewals of the members, by its own clock.
type sight struct {
	members map[string]seen
	last    time.Duration // when it saw all of them
}

type seen struct {
	beat  uint64
	since time.Duration // when this beat was seen first
}

// see records the members of a view that arrived now.
func (s *sight) see(now time.Duration, members []spec.Beating) {
	afresh := now-s.last > maxGap
	next := make(map[string]seen, len(members))
	for _, m := range members {
		before, known := s.members[m.ID]
		if !known || before.beat != m.Beat || afresh {
			before = seen{m.Beat, now}
		}
		next[m.ID] = before
	}
	s.members, s.last = next, now
}

// alive reports whether a member had renewed within LeaseFor when it was last looked at.
func (s *sight) alive(id string) bool {
	m, known := s.members[id]
	return known && s.last-m.since < LeaseFor
}

// dead returns the members that are not alive, except one.
func (s *sight) dead(except string) (list []spec.Beating) {
	for id, m := range s.members {
		if id != except && !s.alive(id) {
			list = append(list, spec.Beating{Member: spec.Member{ID: id}, Beat: m.beat})
		}
	}
	return list
}

// nextDeath returns the earliest time at which a live member may be dead, and whether there is one.
func (s *sight) nextDeath(except string) (at time.Duration, found bool) {
	for id, m := range s.members {
		if end := m.since + LeaseFor; id != except && s.alive(id) && (!found || end < at) {
			at, found = end, true
		}
	}
	return at, found
}
