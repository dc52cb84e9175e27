package host

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/wire"
)

// startAPI makes the admin token if there is none, and listens.
func (h *Host) startAPI(ctx context.Context, log engine, b *bus.Bus) error {
	r := h.runner
	https, err := h.certificate()
	if err != nil {
		return err
	}
	verifier, err := h.startTokens()
	if err != nil {
		return err
	}
	h.background("the times of the tokens' use", verifier.Run)
	settings := h.live.Config()
	server, err := api.New(api.Config{
		Events: api.Events{
			Publisher:   b,
			Log:         log,
			Published:   deliveryLog{b, log},
			Activities:  h.feed,
			Router:      h.live,
			Deliveries:  run.Deliveries{Dispatcher: r.Dispatcher, Cursors: log.Cursors, Manifest: h.plugins.Manifest, Table: h.live.Table},
			DeadLetters: deadLetters{r.Dispatcher},
			Replayer:    replayer{b, log, r.Dispatcher},
			Status:      run.LogStatus{Log: log, Runner: r, Settings: func() config.Bus { return h.live.Config().Bus }, Lost: h.retention.Lost, Health: h.storeHealth},
		},
		Orders:  orderBook{orders.New(orders.Config{Repository: log.orders(b), Logger: h.logger})},
		Plugins: api.Plugins{Registry: plugins{h}, Installer: installer{h.install}, Marketplace: h.sources},
		Admin:   api.Admin{Reloader: h.reloader(), Audit: h.audit, AuditLog: auditLog(h.dataFile(audit.File)), Ready: h.ready},
		Guard: guard.Config{
			Tokens:       tokens{verifier},
			Rate:         guard.RateLimit{PerSecond: float64(settings.Server.RateLimit.RequestsPerSecond), Burst: settings.Server.RateLimit.Burst},
			Listen:       h.live.Listen(),
			AllowedHosts: settings.Auth.AllowedHosts,
		},
		Limits:  api.Limits{MaxInflight: h.maxInflight()},
		TLS:     https,
		Version: h.cfg.Version,
		Logger:  h.logger,
	})
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	ln, err := h.openListener(ctx, https != nil)
	if err != nil {
		return err
	}
	h.secure = https != nil
	h.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(context.WithoutCancel(ctx), ln); err != nil {
			h.failed <- fmt.Errorf("the API has ended: %w", err)
		}
	}()
	h.onClose("the API", func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		<-served
		return err
	})
	return nil
}

// reloader is the configuration in force with the values in use since the start.
type reloader struct {
	*live.Live
	started config.Started
}

// InForce implements api.Reloader.
func (r reloader) InForce(handler string) (wire.Settings, error) {
	return r.Live.InForce(handler, r.started)
}

func (h *Host) reloader() reloader {
	return reloader{h.live, config.Started{Config: h.live.Started(), Listen: h.live.Listen(), DataDir: h.live.DataDir(), MemoryTotal: h.memoryTotal(), MaxInflight: h.maxInflight()}}
}

// tokenRetry is how often the admin token is tried to be made on a full disk.
const tokenRetry = 2 * time.Second

// startTokens loads the tokens, and makes the admin token if there is none. When the
// disk is too full for that the host starts without one, and makes it later: other
// tokens count meanwhile.
func (h *Host) startTokens() (*auth.Verifier, error) {
	load := func() (string, error) {
		token, path, created, err := auth.LoadOrCreateToken(h.live.DataDir())
		if created {
			h.logger.Info("an admin token was made", "path", path)
		}
		if err != nil {
			err = fmt.Errorf("admin token: %w", err)
		}
		return token, err
	}
	token, err := load()
	if err != nil && !fault.Is(err, fault.Exhausted) {
		return nil, err
	}
	verifier := auth.NewVerifier(h.live.DataDir(), token, h.logger)
	if err == nil {
		return verifier, nil
	}
	h.logger.Error("there is no admin token, and the disk is full; it is made when there is space, and other tokens count meanwhile", "error", err)
	h.background("the making of the admin token", func(ctx context.Context) {
		tick := time.NewTicker(tokenRetry)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if token, err := load(); err == nil {
				verifier.SetAdmin(token)
				return
			}
		}
	})
	return verifier, nil
}

// tokens shows the tokens to the API.
type tokens struct{ *auth.Verifier }

// Verify implements guard.Verifier.
func (t tokens) Verify(secret string) (guard.Token, bool) {
	known, ok := t.Verifier.Verify(secret)
	if !ok {
		return guard.Token{}, false
	}
	token := guard.Token{ID: known.ID, Name: known.Name, Scopes: make([]guard.Scope, len(known.Scopes))}
	for i, s := range known.Scopes {
		token.Scopes[i] = guard.Scope(s)
	}
	return token, true
}

// Valid implements guard.Verifier.
func (t tokens) Valid(token guard.Token) bool { return t.Verifier.Valid(token.ID) }

// orderBook shows the orders to the API.
type orderBook struct{ *orders.Service }

// List implements api.Orders.
func (o orderBook) List(ctx context.Context, q api.OrderQuery) (wire.List[wire.Order], error) {
	return o.Service.List(ctx, orders.Query(q))
}

// plugins shows the plugins to the API.
type plugins struct{ h *Host }

// List implements api.Registry.
func (p plugins) List() []wire.Plugin {
	list := p.h.plugins.List()
	for i := range list {
		list[i] = p.h.runner.WithLag(p.h.sources.WithRevocation(list[i]))
	}
	return list
}

// Plugin implements api.Registry.
func (p plugins) Plugin(name string) (wire.Plugin, bool) {
	found, err := p.h.plugins.Plugin(name)
	if err != nil {
		return found, false
	}
	return p.h.runner.WithLag(p.h.sources.WithRevocation(found)), true
}

// Known implements api.Registry.
func (p plugins) Known(name string) bool {
	if _, configured := p.h.live.Config().Handlers[name]; configured {
		return true
	}
	_, err := p.h.plugins.Plugin(name)
	return err == nil
}

// Report implements api.Registry.
func (p plugins) Report(sha256 string) (json.RawMessage, bool) { return p.h.reports.Report(sha256) }

// Approve implements api.Registry.
func (p plugins) Approve(ctx context.Context, name string, in wire.Approval, precondition func(wire.Plugin) error) (wire.Plugin, error) {
	return p.h.plugins.Approve(ctx, name, in, precondition)
}

// SetPaused implements api.Registry.
func (p plugins) SetPaused(ctx context.Context, name string, paused bool) (wire.Plugin, error) {
	return p.h.plugins.SetPaused(ctx, name, paused)
}

// SetEnabled implements api.Registry.
func (p plugins) SetEnabled(ctx context.Context, name string, enabled bool) (wire.Plugin, error) {
	return p.h.plugins.SetEnabled(ctx, name, enabled)
}

// auditLog lets the API read the audit log at this path.
type auditLog string

// Changes implements api.AuditLog.
func (path auditLog) Changes(limit int) ([]wire.AuditRecord, error) {
	return audit.Latest(string(path), limit)
}
