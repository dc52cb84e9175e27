package guestnet

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/berth-host/berth/host/netguard"
)

// Config sets up a Network. The zero value of every field is its default.
type Config struct {
	Resolver *net.Resolver // default the system's
	TLS      *tls.Config   // default: the system's roots
}

// Network holds the connections of all guests. Whether an address may be
// connected to follows from the URL's host alone, so plugins can share them.
type Network struct {
	dialer    net.Dialer
	transport http.Transport
}

// maxHeader bounds the header of a response, in bytes.
const maxHeader = 64 << 10

// New makes a Network. Close it.
func New(cfg Config) *Network {
	n := &Network{dialer: net.Dialer{Timeout: 10 * time.Second, Resolver: cfg.Resolver}}
	n.transport = http.Transport{
		DialContext:            n.dial,
		TLSClientConfig:        cfg.TLS,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
	}
	return n
}

// Close closes the connections that no request uses.
func (n *Network) Close() { n.transport.CloseIdleConnections() }

// dial connects to a host of a URL. That a URL may name an address at all, or
// localhost, the client has checked: only a grant for just that allows it.
func (n *Network) dial(ctx context.Context, network, target string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	var also func(netip.Addr) bool
	if literal, err := netip.ParseAddr(host); err == nil {
		also = func(a netip.Addr) bool { return a == literal.Unmap() }
	} else if strings.EqualFold(host, "localhost") {
		also = netip.Addr.IsLoopback
	}
	d := n.dialer
	d.Control = netguard.Control(also)
	return d.DialContext(ctx, network, target)
}
