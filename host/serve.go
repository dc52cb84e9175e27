package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/wire"
)

// startAPI makes the admin token if there is none, and listens.
func (h *Host) startAPI(ctx context.Context, log engine, b *bus.Bus, r *runner) error {
	token, path, created, err := auth.LoadOrCreateToken(h.dataDir())
	if err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	if created {
		h.logger.Info("an admin token was made", "path", path)
	}
	server, err := api.New(api.Config{
		Publisher:    b,
		Events:       log,
		Deliveries:   r.dispatcher,
		Orders:       orderBook{orders.New(orders.Config{Repository: log.orders(b), Logger: h.logger})},
		Plugins:      plugins{h},
		Installer:    installer{h.install},
		Reloader:     h,
		Activities:   h.feed,
		Tokens:       api.AdminToken(token),
		Ready:        h.ready,
		Listen:       h.listen(),
		AllowedHosts: h.current.Load().Auth.AllowedHosts,
		Logger:       h.logger,
	})
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", h.listen())
	if err != nil {
		return fault.New(fault.Unavailable, "listen on %s (choose another address with --listen or server.listen): %w", h.listen(), err)
	}
	h.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(context.WithoutCancel(ctx), ln); err != nil {
			h.failed <- fmt.Errorf("the API has ended: %w", err)
		}
	}()
	h.undo("the API", func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		<-served
		return err
	})
	return nil
}

// orderBook shows the orders to the API.
type orderBook struct{ *orders.Service }

// List implements api.Orders.
func (o orderBook) List(ctx context.Context, q api.OrderQuery) (wire.List[wire.Order], error) {
	return o.Service.List(ctx, orders.Query(q))
}

// plugins shows the plugins to the API.
type plugins struct{ h *Host }

// List implements api.Plugins.
func (p plugins) List() []wire.Plugin { return p.h.plugins.List() }

// Plugin implements api.Plugins.
func (p plugins) Plugin(name string) (wire.Plugin, bool) {
	found, err := p.h.plugins.Plugin(name)
	return found, err == nil
}

// Report implements api.Plugins.
func (p plugins) Report(sha256 string) (json.RawMessage, bool) { return p.h.reports.report(sha256) }

// SetEnabled implements api.Plugins.
func (p plugins) SetEnabled(ctx context.Context, name string, enabled bool) (wire.Plugin, error) {
	return p.h.plugins.SetEnabled(ctx, name, enabled)
}
