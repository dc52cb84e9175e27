package cluster

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// View is the cluster as this host saw it at its last renewal.
type View struct {
	Self    string // the ID of this host
	Members []MemberView
	Units   []UnitView    // by name
	Age     time.Duration // since that renewal was sent
}

// MemberView is a member as this host sees it.
type MemberView struct {
	spec.Member
	Alive bool          // it has renewed within LeaseFor
	Age   time.Duration // since this host first saw its newest renewal
	Owns  int           // units
}

// UnitView is a unit that has or had an owner.
type UnitView struct {
	Name  string
	Epoch uint64
	Owner string // the ID of a member, or ""
	Host  string // its name, or ""
	// Wanted is the name of the host that the unit is to run on, or "" when no live host can run it.
	Wanted string
}

// Stats counts what this host has done as a member since it started.
type Stats struct {
	Beats        int // renewals that were confirmed
	BeatFailures int
	Takes        int // units taken
	Gives        int // and given away
	Losses       int // tenures that were ended by others, or by the clock
	Expired      int // leases of others that this host has ended
	// What follows is as of now.
	Owned       int // units of this host
	Waiting     int // units that a live host can run and none does
	Members     int // that are alive
	LeaseAge    time.Duration
	ClockOffset time.Duration // of this host's clock, to the database's
}

// View returns the cluster as this host sees it.
func (c *Cluster) View() View {
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := View{Self: c.self, Age: now - c.renewed}
	owns, names := make(map[string]int), make(map[string]string)
	for _, m := range c.view.Members {
		names[m.ID] = m.Name
	}
	wanted := c.assignment()
	for _, u := range c.view.Units {
		owner := c.ownerOf(u)
		owns[owner]++
		v.Units = append(v.Units, UnitView{Name: u.Name, Epoch: u.Epoch, Owner: owner, Host: names[owner], Wanted: names[wanted[u.Name]]})
	}
	for _, m := range c.view.Members {
		v.Members = append(v.Members, MemberView{Member: m.Member, Alive: c.sight.alive(m.ID), Age: now - c.sight.members[m.ID].since, Owns: owns[m.ID]})
	}
	return v
}

// Owner returns the live member that owns a unit, and whether there is one.
func (c *Cluster) Owner(unit string) (m spec.Member, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, _ := c.unit(unit)
	owner := c.ownerOf(u)
	for _, m := range c.view.Members {
		if m.ID == owner && c.sight.alive(m.ID) {
			return m.Member, true
		}
	}
	return spec.Member{}, false
}

// Now returns the time by the clock of the database, as far as the last renewal has shown how that
// differs from this host's.
func (c *Cluster) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(-c.offset)
}

// ownerOf returns the owner of a unit of the view; "" for one that this host has given up since.
func (c *Cluster) ownerOf(u spec.Unit) string {
	if u.Owner == c.self && c.tenures[u.Name] == nil {
		return ""
	}
	return u.Owner
}

// Stats returns what this host has done as a member.
func (c *Cluster) Stats() Stats {
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Owned, s.LeaseAge, s.ClockOffset = len(c.tenures), now-c.renewed, c.offset
	for name := range c.assignment() {
		if u, _ := c.unit(name); u.Owner == "" {
			s.Waiting++
		}
	}
	for _, m := range c.view.Members {
		if c.sight.alive(m.ID) {
			s.Members++
		}
	}
	return s
}
