package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// fakeCluster has one member, a.
type fakeCluster struct{ draining bool }

func (f *fakeCluster) Show() wire.Cluster {
	return wire.Cluster{Shared: true, Engine: "postgres", Host: "a", Members: []wire.ClusterMember{{Name: "a", Alive: true, Draining: f.draining, Units: 1}},
		Units: []wire.ClusterUnit{{Name: "fraud-check", Kind: "handler", Host: "a", Epoch: 3}}, Modules: []wire.ClusterModules{{Plugin: "only-there", Modules: []wire.ClusterModule{{Hosts: []string{"a"}},
			{SHA256: "5a", Hosts: []string{"c"}}, {SHA256: "5b", Hosts: []string{"b"}}}}}, Findings: []wire.Finding{}}
}

func (f *fakeCluster) SetDraining(_ context.Context, member string, draining bool) (wire.ClusterMember, error) {
	if member != "a" {
		return wire.ClusterMember{}, fault.New(fault.NotFound, "no live host has the name %s", member)
	}
	f.draining = draining
	return f.Show().Members[0], nil
}

func TestMembership(t *testing.T) {
	b := setup(t)
	h := newServer(t, b.cfg).Handler()
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/api/v1/cluster", "", 200, `"units":[{"name":"fraud-check","kind":"handler","host":"a","epoch":3}]`},
		{"GET", "/api/v1/events/plugins/only-there", "", 404, `there is no plugin \"only-there\" on the host a, but on b, c: `},
		{"GET", "/api/v1/events/plugins/nowhere", "", 404, `"detail":"there is no plugin \"nowhere\""`},
		{"GET", "/api/v1/cluster?x=1", "", 400, `"field":"x"`},
		{"POST", "/api/v1/cluster/members/a/drain", "", 200, `"draining":true`},
		{"POST", "/api/v1/cluster/members/a/undrain", "{}", 200, `"draining":false`},
		{"POST", "/api/v1/cluster/members/a/drain", `{"x":1}`, 400, `"field":"x"`},
		{"POST", "/api/v1/cluster/members/b/drain", "", 404, "no live host has the name b"},
	} {
		if w := call(h, tt.method, tt.path, tt.body); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	log := b.cfg.Admin.Audit.(*auditLog)
	var drained wire.ClusterMember
	if last := log.records[1]; last.Action != "drain" || last.Target != "host:a" || json.Unmarshal(last.After, &drained) != nil || !drained.Draining {
		t.Errorf("got %+v", last)
	}
}
