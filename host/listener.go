package host

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/berth-host/berth/host/certificate"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/fault"
)

// certificate returns the TLS configuration of the API; nil for plain HTTP.
func (h *Host) certificate() (*tls.Config, error) {
	files := h.live.Started().Server.TLS
	if files.CertFile == "" {
		return nil, nil
	}
	pair, err := certificate.Load(files.CertFile, files.KeyFile, h.logger)
	if err != nil {
		return nil, err
	}
	return pair.TLS(), nil
}

// openListener opens the listener of the API. Without TLS it accepts only loopback
// addresses unless the operator allows others: tokens would cross the network
// unencrypted.
func (h *Host) openListener(ctx context.Context, secure bool) (net.Listener, error) {
	fail := func(err error) error {
		return fault.New(fault.Unavailable, "listen on %s (choose another address with --listen or server.listen): %w", h.live.Listen(), err)
	}
	addr, err := net.ResolveTCPAddr("tcp", h.live.Listen()) // once, so that the checked address is the one used
	if err != nil {
		return nil, fail(err)
	}
	if err := doctor.Exposure(h.live.Listen(), addr, secure); err != nil {
		if !h.cfg.Insecure && !h.live.Started().Server.Insecure {
			return nil, err
		}
		h.logger.Warn("tokens and events cross the network unencrypted (insecure)", "listen", h.live.Listen())
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, fail(err)
	}
	return ln, nil
}
