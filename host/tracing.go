package host

import (
	"context"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/sandbox/guestnet"
	"github.com/berth-host/berth/host/telemetry/trace"
)

// startTracer opens the tracer that the environment describes. A host serves events without
// traces, too: a variable that is wrong is a warning.
func (h *Host) startTracer(ctx context.Context) {
	h.tracer = h.cfg.tracer
	if h.tracer == nil {
		t, err := trace.Open(ctx, trace.Config{Version: h.cfg.Version, Logger: h.logger})
		if err != nil {
			h.logger.Warn("no traces are exported", "error", err)
		}
		if t == nil {
			return
		}
		h.logger.Info("traces are exported")
		h.tracer = t
	}
	h.onClose("the traces", h.tracer.Close)
}

// apiTracer returns the tracer for the API; nil without one.
func (h *Host) apiTracer() api.Tracer {
	if h.tracer == nil {
		return nil
	}
	return h.tracer
}

// deliveryTracer returns the tracer for deliveries; nil without one.
func (h *Host) deliveryTracer() delivery.Tracer {
	if h.tracer == nil {
		return nil
	}
	return h.tracer
}

// guestNetwork returns the configuration of the guests' requests.
func (h *Host) guestNetwork() guestnet.Config {
	if h.tracer == nil {
		return guestnet.Config{}
	}
	return guestnet.Config{Wrap: h.tracer.Transport}
}

// commit starts the span of a transaction that stores n events of a publisher.
func (h *Host) commit(ctx context.Context, n int) (_ context.Context, end func(error)) {
	if h.tracer == nil {
		return ctx, func(error) {}
	}
	return h.tracer.Commit(ctx, n)
}
