package host

import (
	"net/http"
	"slices"
	"testing"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/wire"
)

// members returns two hosts, the first of which runs the handler echo.
func members(t *testing.T) (owner, other *testHost) {
	t.Helper()
	schema := pgtest.Schema(t)
	owner, other = startMember(t, schema, "a"), startMember(t, schema, "b")
	eventually(t, "no host runs the handler", func() bool { return owner.runsEcho() || other.runsEcho() })
	for _, s := range []*testHost{owner, other} {
		eventually(t, "a host has not joined", func() bool { return len(s.host.cluster.Load().View().Members) == 2 })
	}
	if other.runsEcho() {
		owner, other = other, owner
	}
	return owner, other
}

// ended returns the number of deliveries that have ended on these hosts.
func ended(hosts ...*testHost) (n uint64) {
	for _, s := range hosts {
		for _, p := range s.host.plugins.List() {
			n += p.Delivered
		}
	}
	return n
}

// lag returns how many events are not final for the handler, as a host shows it.
func (s *testHost) lag() uint64 {
	var log wire.LogStatus
	if status, p := s.call("GET", "/api/v1/events/log", nil, &log); status != http.StatusOK || len(log.Handlers) != 1 {
		s.t.Fatalf("%d %+v %+v", status, p, log)
	}
	return log.Handlers[0].Lag
}

func TestOperatorMayCallAnyHost(t *testing.T) {
	owner, other := members(t)
	name := func(s *testHost) string { return s.host.live.Started().Cluster.Name }
	state := func(s *testHost) (c wire.Cluster) {
		if status, p := s.call("GET", "/api/v1/cluster", nil, &c); status != http.StatusOK {
			t.Fatalf("%d %+v", status, p)
		}
		return c
	}
	runs := func(s *testHost) string {
		c := state(s)
		if i := slices.IndexFunc(c.Units, func(u wire.ClusterUnit) bool { return u.Name == "echo" }); i >= 0 {
			return c.Units[i].Host
		}
		return ""
	}
	for _, s := range []*testHost{owner, other} {
		eventually(t, "a host does not show who runs the handler", func() bool {
			return len(state(s).Members) == 2 && len(state(s).Modules) == 0 && runs(s) == name(owner)
		})
		if c := state(s); !c.Shared || c.SettingsDiffer || c.Problem != "" || len(c.Findings) > 0 || c.Host != name(s) {
			t.Errorf("got %+v", c)
		}
		var found wire.Findings
		if status, p := s.call("GET", "/api/v1/doctor", nil, &found); status != http.StatusOK {
			t.Fatalf("doctor: %d %+v", status, p)
		}
		if !slices.ContainsFunc(found.Checks, func(f wire.Finding) bool { return f.Check == "cluster" && f.Level == wire.FindingOK }) {
			t.Errorf("the doctor does not examine the cluster: %+v", found.Checks)
		}
	}

	ids := publishEvents(t, other, 0, 3)
	other.delivered(ids)
	status, p := other.call("POST", "/api/v1/events/replay", wire.Replay{Plugin: "echo", From: "earliest"}, nil)
	if status != http.StatusAccepted {
		t.Fatalf("replay: %d %+v", status, p)
	}
	eventually(t, "the events are not given to the handler again", func() bool { return ended(owner, other) == 6 })
	if status, p := other.call("POST", "/api/v1/events/replay", wire.Replay{Plugin: "unknown", From: "earliest"}, nil); status != http.StatusNotFound {
		t.Errorf("replay of an unknown plugin: %d %+v", status, p)
	}

	// A replay of a handler that no host runs.
	if status, p := other.call("POST", "/api/v1/events/plugins/echo/disable", nil, nil); status != http.StatusOK {
		t.Fatalf("disable: %d %+v", status, p)
	}
	eventually(t, "a host runs it still", func() bool { return runs(other) == "" })
	if status, p = other.call("POST", "/api/v1/events/replay", wire.Replay{Plugin: "echo", From: "earliest"}, nil); status != http.StatusAccepted {
		t.Fatalf("replay of a disabled plugin: %d %+v", status, p)
	}
	if lag := owner.lag(); lag != 3 {
		t.Errorf("%d events wait for the handler, want 3", lag)
	}
	if status, p := owner.call("POST", "/api/v1/events/plugins/echo/enable", nil, nil); status != http.StatusOK {
		t.Fatalf("enable: %d %+v", status, p)
	}
	eventually(t, "the events are not given to the handler a third time", func() bool { return other.lag() == 0 })
}

func TestDrainedHostGivesItsHandlersAway(t *testing.T) {
	owner, other := members(t)
	path := "/api/v1/cluster/members/" + owner.host.live.Started().Cluster.Name
	var m wire.ClusterMember
	if status, p := other.call("POST", path+"/drain", nil, &m); status != http.StatusOK || !m.Draining {
		t.Fatalf("drain: %d %+v %+v", status, p, m)
	}
	eventually(t, "the handler has not moved", func() bool { return other.runsEcho() && !owner.runsEcho() })
	ids := publishEvents(t, owner, 0, 5)
	owner.delivered(ids)
	if status, p := owner.call("POST", path+"/undrain", nil, &m); status != http.StatusOK || m.Draining {
		t.Fatalf("undrain: %d %+v", status, p)
	}
	if status, p := other.call("POST", "/api/v1/cluster/members/nobody/drain", nil, nil); status != http.StatusNotFound {
		t.Errorf("got %d %+v", status, p)
	}
}

func TestHostAloneShowsItself(t *testing.T) {
	s := startHost(t, "", marketplace.Config{})
	var c wire.Cluster
	if status, p := s.call("GET", "/api/v1/cluster", nil, &c); status != http.StatusOK || c.Shared || len(c.Members) != 1 || c.Members[0].URL != s.host.URL() {
		t.Errorf("got %d %+v %+v", status, p, c)
	}
	if status, p := s.call("POST", "/api/v1/cluster/members/"+c.Host+"/drain", nil, nil); status != http.StatusConflict {
		t.Errorf("got %d %+v", status, p)
	}
}

func TestStreamOfAnyHostHasTheDeliveriesOfAll(t *testing.T) {
	owner, other := members(t)
	got := other.host.feed.Subscribe(t.Context())
	eventually(t, "the owner does not know of the client", owner.host.shown.Watched)
	var published []string
	n := 0
	eventually(t, "the deliveries of the owner are not on the stream of the other host", func() bool {
		published = append(published, publishEvents(t, other, n, 1)...) // the first ones can come before the other host listens
		n++
		for {
			select {
			case a := <-got:
				if a.Kind != "delivery" {
					continue
				}
				if a.Delivery.Plugin != "echo" || a.Delivery.Status != "ok" || !slices.Contains(published, a.Delivery.EventID) {
					t.Fatalf("got %+v", a)
				}
				return true
			default:
				return false
			}
		}
	})
	ids := publishEvents(t, other, n, 3)
	eventually(t, "a delivery is missing", func() bool {
		for {
			select {
			case a := <-got:
				if a.Kind == "delivery" {
					ids = slices.DeleteFunc(ids, func(id string) bool { return id == a.Delivery.EventID })
				}
			default:
				return len(ids) == 0
			}
		}
	})
}
