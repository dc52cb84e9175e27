package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/overlay"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/shards"
)

// openEngine opens the configured engine, and joins the hosts that share it.
func (h *Host) openEngine(ctx context.Context) (err error) {
	h.engine, err = engine.Open(ctx, engine.Config{Settings: func() config.Bus { return h.live.Config().Bus }, File: h.dataFile(doctor.StoreFile),
		Evidence: doctor.Evidence(h.live.DataDir()), AcceptDataLoss: h.cfg.AcceptDataLoss, Compact: h.cfg.Compact,
		Secrets: h.secrets(), Env: os.LookupEnv, Commit: h.commit, Now: member.Clock(h.cluster.Load), Logger: h.logger, Failed: h.failed})
	if err != nil {
		return err
	}
	h.onClose("the engine", func(context.Context) error { return h.engine.Close() })
	h.live.OnChange(func(_, _ *config.Config) { h.engine.Retention.Configure() })
	if err := engine.Mark(h.live.DataDir(), h.live.Path(), h.engine.Shared != nil); err != nil || h.engine.Shared == nil {
		return err
	}
	return h.live.Join(ctx, h.engine.Shared)
}

// startBus makes the bus, and logs the types of its events without a route.
func (h *Host) startBus() (*bus.Bus, error) {
	b, err := bus.New(bus.Config{Log: h.engine, Window: h.engine.Window})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	h.onClose("the bus", func(context.Context) error { b.Close(); return nil })
	h.background("the observer of events without a route", func(ctx context.Context) { run.NewUnrouted(h.live.Table, time.Now, h.logger).Run(ctx, b) })
	h.once("due-events", bus.Mover{Log: h.engine, Now: member.Clock(h.cluster.Load), Logger: h.logger}.Run)
	return b, nil
}

// once runs f until the host closes; of hosts that share the engine one at a time does.
func (h *Host) once(job string, f func(context.Context)) {
	if h.engine.Shared == nil {
		h.background("the job "+job, f)
		return
	}
	h.jobs[":"+job] = func(ctx context.Context) error {
		f(ctx)
		return nil
	}
}

// startCluster makes the host a member of the cluster of those that share the engine. Close
// gives its handlers to the others first.
func (h *Host) startCluster(verifier *auth.Verifier) error {
	if h.engine.Shared == nil {
		return nil
	}
	work := member.NewWork(member.WorkConfig{Handlers: h.runner.Dispatcher, Issues: h.issues, Units: h.runner, Plugins: h.plugins.List,
		Installed: h.install.Current, Logger: h.logger})
	followed := member.NewFollower(map[string]func(context.Context) error{
		overlay.Kind:       h.live.Follow,
		install.SharedKind: h.install.Follow,
		auth.SharedKind:    verifier.Follow,
		shards.Kind: func(ctx context.Context) error {
			defer h.cluster.Load().Refresh()
			return h.live.FollowShards(ctx)
		},
	}, h.logger)
	coordinator := &shards.Coordinator{Store: h.engine.Shared, Wishes: member.Wishes(func() cluster.View { return h.cluster.Load().View() }),
		Steady: h.cfg.steady, Grace: h.ShutdownTimeout(), Logger: h.logger}
	h.once("shards", coordinator.Run)
	self, err := member.Describe(h.description(), work.Modules, work.Inactive)
	if err != nil {
		return err
	}
	c := cluster.New(cluster.Config{Ledger: h.engine.Shared, Worker: work, Jobs: h.jobs, Methods: h.methods(), Changed: followed.See,
		CutOff: h.engine.Shared.SetCutOff, Grace: h.ShutdownTimeout(), Logger: h.logger, Member: self})
	h.cluster.Store(c)
	h.background("the changes of other hosts", followed.Run)
	h.background("the membership of the cluster", func(ctx context.Context) {
		if err := c.Run(ctx); err != nil && ctx.Err() == nil {
			select {
			case h.failed <- errors.Join(errors.New("this host has left the cluster"), err):
			default: // it fails already
			}
		}
	})
	return nil
}
