package host

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/view"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/member/board"
	"github.com/berth-host/berth/host/member/feed"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/run/guestlog"
	"github.com/berth-host/berth/host/run/versions"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/guestnet"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/wire"
)

// startRunner makes the sandbox, the dispatcher and the runner of the handlers.
func (h *Host) startRunner(events *bus.Bus) error {
	log := h.engine
	h.shown = feed.New(feed.Config{Local: h.feed, Messages: log.Shared, Limit: engine.MaxMessage, Watched: board.OthersWatch(h.cluster.Load), Logger: h.logger})
	h.background("the event streams of all hosts", h.shown.Run)
	limits := h.live.Config().Vet
	vetter, err := vet.New(vet.Config{CacheDir: h.dataFile("cache"), Version: h.cfg.Version,
		Memory: limits.Memory, CPU: limits.CPU, Wall: limits.Wall, Logger: h.logger})
	if err != nil {
		return err
	}
	h.reports = run.NewReports(timedVetter{vetter, &h.counts.vets})
	h.logs = guestlog.New(time.Now)
	eng, err := sandbox.New(sandbox.Config{Vetter: h.reports, MemoryTotal: h.memoryTotal(), Logger: h.logger})
	if err != nil {
		return err
	}
	network := guestnet.New(h.guestNetwork())
	h.onClose("the connections of guests", func(context.Context) error { network.Close(); return nil })
	known, err := versions.Open(context.Background(), versions.Config{Store: log, Now: time.Now, Logger: h.logger})
	if err != nil {
		return err
	}
	cfg := delivery.Config{
		Store:  log,
		Log:    engine.Log{Bus: events, Engine: log},
		Logger: h.logger,
		Tracer: h.deliveryTracer(),
		Start: run.StartPosition(log, func(handler string) config.Start { return h.live.Config().Handlers[handler].Start },
			h.logger),
		OnCondition: func(string) { h.plugins.ConditionChanged() },
		Observer: func(rec event.Record, d event.Delivery) {
			shown := &wire.DeliveryOfEvent{EventID: rec.Event.ID(), Seq: rec.Seq, Delivery: view.Of(d)}
			known.Name(&shown.Delivery)
			h.shown.Publish(wire.Activity{Kind: "delivery", Delivery: shown})
		},
		Watched:   h.shown.Watched,
		Shared:    log.Shared != nil,
		Owner:     board.OwnerOf(h.cluster.Load),
		OnFailure: h.attemptFailed,
	}
	if log.Shared != nil {
		cfg.Claim = log.Shared.Claim
	}
	dispatcher := delivery.New(cfg)
	units := run.Units{Generations: h.live.Shards(), Read: log.Read, Last: cfg.Log.Last, Owner: board.MemberOf(h.cluster.Load)}
	h.onClose("the deliveries", dispatcher.Close)
	h.runner = run.New(run.Config{Dispatcher: dispatcher, Engine: eng, KV: log, Network: network, Secrets: h.secrets(),
		Table: h.live.Table, Units: units, Logs: h.logs, Versions: known, Read: log.Read, Check: h.checked.Types.CheckChild, Logger: h.logger})
	h.actions = remote.NewActions(h.way(), dispatcher, units, log.DeadCounts)
	h.kept = remote.NewState(h.way(), run.HandlerState{State: log, Issues: h.issues}, units, dispatcher.IsOpen)
	return nil
}
