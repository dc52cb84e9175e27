package host

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/berth-host/berth/host/certificate"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/fault"
)

// certificate is what the API proves its name with; nil for plain HTTP.
func (h *Host) certificate() (*tls.Config, error) {
	named := h.live.Started().Server.TLS
	if named.CertFile == "" {
		return nil, nil
	}
	files, err := certificate.Load(named.CertFile, named.KeyFile, h.logger)
	if err != nil {
		return nil, err
	}
	return files.TLS(), nil
}

// openListener listens, and does so without TLS on loopback addresses only,
// unless told otherwise: tokens would cross the network for all to read.
func (h *Host) openListener(ctx context.Context, secure bool) (net.Listener, error) {
	fail := func(err error) error {
		return fault.New(fault.Unavailable, "listen on %s (choose another address with --listen or server.listen): %w", h.live.Listen(), err)
	}
	addr, err := net.ResolveTCPAddr("tcp", h.live.Listen()) // once: what is judged is what is listened on
	if err != nil {
		return nil, fail(err)
	}
	if exposed(addr, secure) {
		if !h.cfg.Insecure && !h.live.Started().Server.Insecure {
			return nil, refusedExposure(h.live.Listen())
		}
		h.logger.Warn("tokens and events cross the network unencrypted (insecure)", "listen", h.live.Listen())
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, fail(err)
	}
	return ln, nil
}

// exposed reports whether what is sent to an address crosses a network unencrypted.
func exposed(addr *net.TCPAddr, secure bool) bool { return !addr.IP.IsLoopback() && !secure }

func refusedExposure(listen string) error {
	return fault.New(fault.Invalid, "listen on %s: that is reachable from other machines, and without TLS they could read tokens and events on the way. "+
		"Give a certificate (server.tls: {cert_file: ..., key_file: ...}), or listen on 127.0.0.1 with a TLS proxy in front, "+
		"or, where the network is trusted, say server.insecure: true or --insecure", listen)
}

// expiring is how long before its end a certificate is worth a word.
const expiring = 14 * 24 * time.Hour

// listener finds out whether a host could listen as the configuration says. One
// that runs does, perhaps told otherwise by its flags.
func (e Examination) listener(ctx context.Context, server config.Server, running bool) doctor.Finding {
	const check = "listener"
	text := server.Listen
	secure := server.TLS.CertFile != ""
	if secure {
		files, err := certificate.Load(server.TLS.CertFile, server.TLS.KeyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			return doctor.Bad(check, err.Error(), "put a certificate and its key there, in PEM; without them a host does not start")
		}
		end := files.Expires()
		text += fmt.Sprintf(", with a certificate until %s", end.UTC().Format(time.DateOnly))
		if left := time.Until(end); left < expiring {
			return doctor.Warn(check, text, "renew it; a running host takes the new files by itself")
		}
	}
	if running {
		return doctor.Good(check, text)
	}
	addr, err := net.ResolveTCPAddr("tcp", server.Listen)
	if err != nil {
		return doctor.Bad(check, fmt.Sprintf("listen on %s: %v", server.Listen, err), "set server.listen to an address of this machine")
	}
	if exposed(addr, secure) && !server.Insecure {
		return doctor.Bad(check, refusedExposure(server.Listen).Error(), "as it says; a host does not start like that, unless with --insecure or another --listen")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
	if err == nil {
		err = ln.Close()
	}
	if err != nil {
		return doctor.Warn(check, err.Error(), "stop who listens there, or set server.listen to another address")
	}
	return doctor.Good(check, text+" is free")
}
