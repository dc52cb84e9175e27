package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/berth-host/berth/host/certificate"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
)

// Exposure returns fault.Invalid when tokens sent to an address would cross a network
// unencrypted. listen is the configured address, for the text.
func Exposure(listen string, addr *net.TCPAddr, secure bool) error {
	if addr.IP.IsLoopback() || secure {
		return nil
	}
	return fault.New(fault.Invalid, "listen on %s: that is reachable from other machines, and without TLS tokens and events "+
		"cross the network unencrypted. Configure a certificate (server.tls: {cert_file: ..., key_file: ...}), "+
		"or listen on 127.0.0.1 behind a TLS proxy, or, on a trusted network, set server.insecure: true or --insecure", listen)
}

// expiring is the remaining lifetime below which a certificate is a warning.
const expiring = 14 * 24 * time.Hour

// listener checks whether a host could listen as configured. A running host does so
// already, possibly at another address by its flags.
func (e Examination) listener(ctx context.Context, server config.Server, running bool) Finding {
	const check = "listener"
	text := server.Listen
	secure := server.TLS.CertFile != ""
	if secure {
		files, err := certificate.Load(server.TLS.CertFile, server.TLS.KeyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			return Bad(check, err.Error(), "provide the certificate and its key in PEM; without them a host does not start")
		}
		end := files.Expires()
		text += fmt.Sprintf(", with a certificate until %s", end.UTC().Format(time.DateOnly))
		if left := time.Until(end); left < expiring {
			return Warn(check, text, "renew it; a running host reloads the files")
		}
	}
	if running {
		return Good(check, text)
	}
	addr, err := net.ResolveTCPAddr("tcp", server.Listen)
	if err != nil {
		return Bad(check, fmt.Sprintf("listen on %s: %v", server.Listen, err), "set server.listen to an address of this machine")
	}
	if err := Exposure(server.Listen, addr, secure); err != nil && !server.Insecure {
		return Bad(check, err.Error(), "see the text; a host does not start like that, except with --insecure or another --listen")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
	if err == nil {
		err = ln.Close()
	}
	if err != nil {
		return Warn(check, err.Error(), "stop the process that listens there, or set server.listen to another address")
	}
	return Good(check, text+" is free")
}
