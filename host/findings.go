package host

import (
	"context"

	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/wire"
)

// findings returns the function that examines the machine and this host for the API.
func (h *Host) findings(status func(context.Context) (wire.LogStatus, error), cluster func() wire.Cluster) func(context.Context) wire.Findings {
	inside := doctor.Inside{Verify: h.install.Verify, Plugins: h.plugins.List, Log: status, Cluster: cluster, Ready: h.ready}
	return func(ctx context.Context) wire.Findings {
		return doctor.ExamineRunning(ctx, doctor.Examination{ConfigPath: h.cfg.ConfigPath, DataDir: h.live.DataDir(), Version: h.cfg.Version,
			Ask: inside.Ask, At: h.URL()}).Findings
	}
}
