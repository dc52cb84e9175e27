package delivery

import (
	"context"

	"github.com/berth-host/berth/host/delivery/failurelog"
	"github.com/berth-host/berth/host/event"
)

// reportRefused logs a dead letter whose outcome was ok, and notifies the observer.
func (d *Dispatcher) reportRefused(ctx context.Context, refused event.Delivery) {
	records, err := d.cfg.Log.Read(ctx, refused.Seq, 1)
	if err != nil || len(records) != 1 || records[0].Seq != refused.Seq {
		failurelog.Dead(d.cfg.Logger, "", &refused)
		return
	}
	failurelog.Dead(d.cfg.Logger, records[0].Event.ID(), &refused)
	if d.cfg.OnFailure != nil {
		d.cfg.OnFailure(records[0], refused)
	}
	if d.cfg.Observer != nil {
		d.cfg.Observer(records[0], refused)
	}
}
