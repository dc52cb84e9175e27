package host

import (
	"maps"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/member/board"
	"github.com/berth-host/berth/host/member/remote"
)

// description is what this host says of itself to the others.
func (h *Host) description() member.Description {
	return member.Description{Name: h.live.Started().Cluster.Name, Version: h.cfg.Version, Fingerprint: h.live.Fingerprint,
		URL: func() string { return member.Address(h.live.Started().Cluster.URL, h.URL(), h.addr) }, Watched: h.feed.Watched, Layouts: h.live.Layouts, Progress: h.runner.Progress}
}

// way is how actions get to the hosts that have to carry them out.
func (h *Host) way() remote.Way { return remote.NewWay(h.engine.Shared != nil, h.cluster.Load) }

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
