package host

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/catalog"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/api/membership"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/console"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/member/board"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/wire"
)

// startTokens loads the tokens.
func (h *Host) startTokens(ctx context.Context) (*auth.Verifier, error) {
	v, err := auth.Open(h.live.DataDir(), h.logger)
	if err == nil && h.engine.Shared != nil {
		err = v.Join(ctx, h.engine.Shared)
	}
	if err == nil {
		h.background("the tokens", v.Run)
	}
	return v, err
}

// startAPI listens and serves.
func (h *Host) startAPI(ctx context.Context, verifier *auth.Verifier) error {
	log, events := h.engine, h.checked
	https, err := h.certificate()
	if err != nil {
		return err
	}
	made, err := backup.New(backup.Config{DataDir: h.live.DataDir(), StoreFile: doctor.StoreFile, Version: h.cfg.Version,
		Snapshot: log.Copy, Refusal: log.NoCopy, Quiesce: h.install.Quiesce,
		Settings: func() (string, []string) { return h.live.Path(), h.live.Config().PluginDirectories }})
	if err != nil {
		return err
	}
	self, err := member.Describe(h.description(), func() map[string]string { return nil }, func() []string { return nil })
	if err != nil {
		return err
	}
	hosts := board.New(string(h.live.Started().Bus.Engine), log.Shared != nil, self, h.cluster.Load)
	pages, err := console.New()
	if err != nil {
		return err
	}
	settings := h.live.Config()
	details := func(p wire.Plugin) wire.Plugin { return h.runner.WithLag(h.sources.WithRevocation(p)) }
	started := config.Started{Config: h.live.Started(), Listen: h.live.Listen(), DataDir: h.live.DataDir(),
		MemoryTotal: h.memoryTotal(), MaxInflight: h.maxInflight()}
	status := run.LogStatus{Log: log, Runner: h.runner, Settings: func() config.Bus { return h.live.Config().Bus }, Lost: log.Retention.Lost,
		Health: log.Health}
	registry := pluginRegistry{h.plugins, h.reports, h.live, details}
	measured, err := h.startFigures(log, events.Bus, registry.List)
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		Events: api.Events{
			Publisher:  events,
			Log:        log,
			Schedule:   log,
			Published:  engine.Log{Bus: events.Bus, Engine: log},
			Activities: h.feed,
			Router:     h.live,
			Deliveries: run.Deliveries{Dispatcher: h.runner.Dispatcher, Cursors: log.Cursors, Manifest: h.plugins.Manifest, Table: h.live.Table,
				Versions: h.runner.Versions, Units: h.runner.Units, Owner: board.OwnerOf(h.cluster.Load)},
			DeadLetters: run.DeadLetters{Actions: h.actions},
			Replayer:    run.Replayer{Bus: events.Bus, Log: log, Actions: h.actions},
			Status:      status,
		},
		Orders: orders.New(orders.Config{Repository: log.Orders(events.Bus), Logger: h.logger}),
		Plugins: api.Plugins{Registry: registry, Logs: h.logs, Installer: run.Installer{Installer: h.install},
			Marketplace: h.sources, State: log},
		Admin: api.Admin{Reloader: reloader{h.live, started},
			Planner: live.NewPlanner(live.PlannerConfig{Live: h.live, Log: log, Mean: h.runner.MeanDuration}),
			Audit:   h.audit, AuditLog: h.audit, Ready: h.ready,
			Backups: backups{made}, Doctor: h.findings(status.LogStatus, hosts.Show)},
		Figures: measured,
		Incidents: incident.Parts{Issues: remote.NewIssues(h.way(), member.NewIssueViews(h.issues), h.incidents()),
			Operations: remote.NewOperations(h.way(), member.NewOperationViews(h.operations), h.incidents())},
		Catalog:    catalog.Parts{Schedules: h.schedules, EventTypes: run.EventTypes{Types: h.checked.Types, Subscribers: h.live.Subscribers}},
		Membership: membership.Parts{Cluster: hosts},
		Guard: guard.Config{
			Tokens:       verifier,
			Rate:         guard.RateLimit{PerSecond: float64(settings.Server.RateLimit.RequestsPerSecond), Burst: settings.Server.RateLimit.Burst},
			Listen:       started.Listen,
			AllowedHosts: settings.Auth.AllowedHosts,
			OpenMetrics:  h.live.Started().Server.Metrics == config.MetricsLoopback,
		},
		Limits:  api.Limits{MaxInflight: started.MaxInflight},
		Actions: h.actions,
		Console: pages,
		TLS:     https,
		Traffic: h.counts.requests,
		Version: h.cfg.Version,
		Logger:  h.logger,
		Tracer:  h.apiTracer(),
	})
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	ln, err := h.openListener(ctx, https != nil)
	if err != nil {
		return err
	}
	h.secure = https != nil
	h.loginLink = func() (string, error) {
		admin, found := verifier.Admin()
		if !found {
			return "", fault.New(fault.Unavailable, "there is no admin token yet")
		}
		return server.LoginLink(admin).Path, nil
	}
	h.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(context.WithoutCancel(ctx), ln); err != nil {
			h.failed <- fmt.Errorf("the API failed: %w", err)
		}
	}()
	h.onClose("the API", func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		<-served
		return err
	})
	return nil
}
