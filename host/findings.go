package host

import (
	"context"

	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/wire"
)

// findings returns the function that examines the machine and this host for the API.
func (h *Host) findings(status func(context.Context) (wire.LogStatus, error), hosts func() wire.Cluster) func(context.Context) wire.Findings {
	ask := func(ctx context.Context, path string, answer any) (err error) {
		switch answer := answer.(type) {
		case *wire.List[wire.Stored]:
			answer.Items, err = h.install.Verify(ctx)
		case *wire.List[wire.Plugin]:
			answer.Items = h.plugins.List()
		case *wire.Cluster:
			*answer = hosts()
		case *wire.LogStatus:
			*answer, err = status(ctx)
		default: // a probe
			if path == "/readyz" {
				err = h.ready()
			}
		}
		return err
	}
	return func(ctx context.Context) wire.Findings {
		return doctor.ExamineRunning(ctx, doctor.Examination{ConfigPath: h.cfg.ConfigPath, DataDir: h.live.DataDir(), Version: h.cfg.Version,
			Ask: ask, At: h.URL()}).Findings
	}
}
