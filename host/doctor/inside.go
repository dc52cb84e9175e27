package doctor

import (
	"context"

	"github.com/berth-host/berth/host/wire"
)

// Inside is what a running host examines itself by. All fields are required.
type Inside struct {
	Verify  func(context.Context) ([]wire.Stored, error)
	Plugins func() []wire.Plugin
	Log     func(context.Context) (wire.LogStatus, error)
	Cluster func() wire.Cluster
	Ready   func() error
}

// Ask is for Examination.Ask: it answers without the network.
func (h Inside) Ask(ctx context.Context, path string, answer any) (err error) {
	switch answer := answer.(type) {
	case *wire.List[wire.Stored]:
		answer.Items, err = h.Verify(ctx)
	case *wire.List[wire.Plugin]:
		answer.Items = h.Plugins()
	case *wire.LogStatus:
		*answer, err = h.Log(ctx)
	case *wire.Cluster:
		*answer = h.Cluster()
	default: // a probe
		if path == "/readyz" {
			err = h.Ready()
		}
	}
	return err
}
