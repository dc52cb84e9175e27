// Package membership has the endpoints for the hosts that share a database.
package membership

import (
	"context"
	"net/http"

	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Parts are what the endpoints need. All are required.
type Parts struct{ Cluster Cluster }

// Cluster shows and drains the members.
type Cluster interface {
	// Show returns the members and the units; of a host that runs alone, this host.
	Show() wire.Cluster
	// SetDraining has a member give its units away and take none, or ends that, and returns the
	// member as it is then. fault.NotFound: no live member has the name. fault.Conflict: this host
	// runs alone.
	SetDraining(ctx context.Context, member string, draining bool) (wire.ClusterMember, error)
}

const path = "/api/v1/cluster"

// Endpoints lists the endpoints.
func (p Parts) Endpoints() []resource.Endpoint {
	member := path + "/members/:member"
	return []resource.Endpoint{
		{Method: http.MethodGet, Path: path, Scope: spec.ScopeRead, Handle: p.show},
		{Method: http.MethodPost, Path: member + "/drain", Scope: spec.ScopeOperate, Handle: p.setDraining(true)},
		{Method: http.MethodPost, Path: member + "/undrain", Scope: spec.ScopeOperate, Handle: p.setDraining(false)},
	}
}

// show is GET /api/v1/cluster.
func (p Parts) show(r resource.Request) (resource.Answer, error) {
	if r.Query(); r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	return resource.Answer{Body: p.Cluster.Show()}, nil
}

// setDraining is POST /api/v1/cluster/members/:member/drain and undrain.
func (p Parts) setDraining(draining bool) func(resource.Request) (resource.Answer, error) {
	return func(r resource.Request) (resource.Answer, error) {
		name := r.Param("member")
		r.Query()
		r.OptionalBody(&struct{}{})
		if r.Err() != nil {
			return resource.Answer{}, r.Err()
		}
		m, err := p.Cluster.SetDraining(r.Ctx(), name, draining)
		return resource.Answer{Body: m, Noted: m, Target: "host:" + name}, err
	}
}
