// Package notice has what is reported of an attempt once the lock of its handler is free.
package notice

import (
	"context"
	"log/slog"

	"github.com/berth-host/berth/host/delivery/failurelog"
	"github.com/berth-host/berth/host/event"
)

// Sinks get the notices of all handlers. They must not block.
type Sinks struct {
	Logger    *slog.Logger
	Observer  func(event.Record, event.Delivery)                     // nil: none
	OnFailure func(event.Record, event.Delivery)                     // nil: none
	Ended     func(rec event.Record, d event.Delivery, trace string) // see delivery.Tracer; nil: none
}

// Notice is the log line and the notifications of a completed attempt. The zero value has none.
type Notice struct {
	Record     event.Record
	Delivery   *event.Delivery // for the observer and the tracer; nil without both
	Observed   bool            // an observer gets it
	Trace      string          // the traceparent of the attempt; "" when it is not traced
	Failed     *event.Delivery // of a failed attempt, or nil
	Logged     bool            // the failure is logged
	Suppressed int             // earlier failures that were not logged
	Changed    func()          // called when the handler's condition has changed, or nil
	Release    func()          // of the effects of the attempt, or nil
}

// Empty reports whether there is nothing to send.
func (n *Notice) Empty() bool {
	return n.Delivery == nil && n.Failed == nil && n.Changed == nil && n.Release == nil
}

// Published returns the notice of a success whose children the store has published. SendAll
// reads its event.
func Published(d event.Delivery) Notice {
	d.Children = nil
	return Notice{Record: event.Record{Seq: d.Seq}, Delivery: &d, Observed: true}
}

// SendAll sends notices. read reads the log, see delivery.Log. The caller holds no lock.
func (to *Sinks) SendAll(notices []Notice, read func(context.Context, uint64, int) ([]event.Record, error)) {
	for i := range notices {
		notices[i].read(read)
		notices[i].Send(to)
	}
}

// read reads the event of an observed delivery that the notice does not have; without it
// nothing is observed.
func (n *Notice) read(read func(context.Context, uint64, int) ([]event.Record, error)) {
	if !n.Observed || n.Record.Event != nil {
		return
	}
	records, err := read(context.Background(), n.Record.Seq, 1)
	if n.Observed = err == nil && len(records) == 1 && records[0].Seq == n.Record.Seq; n.Observed {
		n.Record = records[0]
	}
}

// Send sends the notice. The caller holds no lock.
func (n *Notice) Send(to *Sinks) {
	if n.Failed != nil && to.OnFailure != nil && n.Failed.ErrorClass != event.ClassSkipped {
		to.OnFailure(n.Record, *n.Failed)
	}
	if n.Failed != nil && n.Logged {
		if n.Failed.Status == event.StatusDead {
			failurelog.Dead(to.Logger, n.Record.Event.ID(), n.Failed)
		} else {
			failurelog.Retried(to.Logger, n.Record, n.Failed, n.Suppressed)
		}
	}
	if n.Observed {
		to.Observer(n.Record, *n.Delivery)
	}
	if n.Trace != "" {
		to.Ended(n.Record, *n.Delivery, n.Trace)
	}
	if n.Changed != nil {
		n.Changed()
	}
	if n.Release != nil {
		n.Release()
	}
}

// Refuse reports a delivery that the store has refused: a dead letter whose outcome was ok. read
// reads the log, see delivery.Log.
func (to *Sinks) Refuse(ctx context.Context, read func(context.Context, uint64, int) ([]event.Record, error), refused event.Delivery) {
	records, err := read(ctx, refused.Seq, 1)
	if err != nil || len(records) != 1 || records[0].Seq != refused.Seq {
		failurelog.Dead(to.Logger, "", &refused)
		return
	}
	n := Notice{Record: records[0], Failed: &refused, Logged: true, Delivery: &refused, Observed: to.Observer != nil}
	n.Send(to)
}
