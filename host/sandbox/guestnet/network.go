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

// Config configures a Network. The zero value of every field is its default.
type Config struct {
	Resolver *net.Resolver // default the system's
	TLS      *tls.Config   // default: the system's roots
	// Transport answers the requests in place of the network; default: none.
	Transport http.RoundTripper
	// Wrap returns the transport of the requests in place of the given one, for example to
	// trace them; default: none. It is called once.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Network has the connections of all guests. The URL's host alone decides which addresses
// are allowed, so plugins can share connections.
type Network struct {
	dialer    net.Dialer
	transport http.Transport
	requests  http.RoundTripper // transport, or what is configured in its place or around it
}

// maxHeader bounds the header of a response, in bytes.
const maxHeader = 64 << 10

// New returns a Network. The caller closes it.
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
	n.requests = &n.transport
	if cfg.Transport != nil {
		n.requests = cfg.Transport
	}
	if cfg.Wrap != nil {
		n.requests = cfg.Wrap(n.requests)
	}
	return n
}

// Close closes idle connections.
func (n *Network) Close() { n.transport.CloseIdleConnections() }

// dial connects to the host of a URL. The client has checked that an address, or localhost,
// is granted as such.
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
