package host

import (
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/member/board"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/spec"
)

// describe returns the function that describes this host to the others; modules are those that can
// run here.
func (h *Host) describe(modules func() map[string]string) (func() spec.Member, error) {
	name := h.live.Started().Cluster.Name
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name of the machine, for cluster.name: %w", err)
		}
	}
	id, started := uuid.NewString(), time.Now().UTC()
	return func() spec.Member {
		return spec.Member{ID: id, Name: name, URL: h.URL(), Version: h.cfg.Version, Settings: h.live.Fingerprint(), Modules: modules(),
			Watched: h.feed.Watched(), StartedAt: started}
	}, nil
}

// way is how actions get to the hosts that have to carry them out.
func (h *Host) way() remote.Way {
	return remote.Way{Shared: h.engine.Shared != nil, Joined: func() remote.Caller {
		if c := h.cluster.Load(); c != nil {
			return c
		}
		return nil
	}}
}

// methods are the commands that this host carries out for others.
func (h *Host) methods() map[string]cluster.Method {
	list := board.Methods(func(draining bool) { h.cluster.Load().SetDraining(draining) })
	for _, more := range []map[string]cluster.Method{h.actions.Methods(), h.kept.Methods(), h.incidents().Methods()} {
		maps.Copy(list, more)
	}
	return list
}

// incidents are the issues and operations of this host.
func (h *Host) incidents() remote.Incidents {
	return remote.Incidents{ChangeIssue: h.issues.Change, StartOperation: h.operations.Start, CancelOperation: h.operations.Cancel,
		Runs: h.runner.Dispatcher.Runs, Own: h.issues.Own, Release: h.issues.Release}
}

// board shows the hosts that share the engine.
func (h *Host) board(self func() spec.Member) board.Board {
	return board.Board{Engine: string(h.live.Started().Bus.Engine), Shared: h.engine.Shared != nil, Self: self,
		Joined: func() board.Cluster {
			if c := h.cluster.Load(); c != nil {
				return c
			}
			return nil
		}}
}

// ownerOf returns the name of the host that runs a handler; "" when none does.
func (h *Host) ownerOf(handler string) string {
	c := h.cluster.Load()
	if c == nil {
		return ""
	}
	m, _ := c.Owner(handler)
	return m.Name
}
