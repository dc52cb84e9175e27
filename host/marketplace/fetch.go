package marketplace

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/fault"
)

const (
	// MaxSize bounds a module that is fetched, in bytes.
	MaxSize = 64 << 20

	maxURL       = 2048 // bytes
	maxRedirects = 3
	maxHeader    = 64 << 10 // bytes of an answer's header
	maxConns     = 8        // at a time, to one server
	dialTimeout  = 10 * time.Second
	tlsTimeout   = 10 * time.Second
	firstByte    = 30 * time.Second // until the answer's header is there
)

// Config says to which hosts a Fetcher may connect. The zero value allows the public
// internet only.
type Config struct {
	// AllowPrivateHosts are host names, addresses and CIDR ranges that are allowed although
	// they are private. For a listed host of a URL, plain http is allowed too.
	AllowPrivateHosts []string
	RootCAs           *x509.CertPool // of servers' certificates. nil: the system's
	Resolver          *net.Resolver  // of host names. nil: the system's
	Timeout           time.Duration  // of a whole Session.Get. 0: 1m
	Stall             time.Duration  // between two bytes of Session.Open. 0: 30s
	// Credentials are sent to the hosts they name, and nowhere else.
	Credentials []Credential
	// Secret reads a secret that a Credential names. nil: there are none.
	Secret func(name string) (string, error)
}

// Fetcher fetches files by their URL, in Sessions. It is safe for concurrent use.
type Fetcher struct {
	cfg     Config // with its defaults filled in
	allowed allowed
}

// New returns a Fetcher, or fault.Invalid about allow_private_hosts.
func New(cfg Config) (*Fetcher, error) {
	a, err := parseAllowed(cfg.AllowPrivateHosts)
	if err != nil {
		return nil, err
	}
	if err := checkCredentials(cfg.Credentials); err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Stall <= 0 {
		cfg.Stall = 30 * time.Second
	}
	return &Fetcher{cfg: cfg, allowed: a}, nil
}

// parse checks a URL without resolving its host.
func (f *Fetcher) parse(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, fault.Field("url", "is required")
	}
	if len(raw) > maxURL {
		return nil, fault.Field("url", "is %d bytes long: the limit is %d", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fault.Field("url", "is not a URL")
	}
	return u, f.check(u)
}

// check checks a URL, given or of a redirect.
func (f *Fetcher) check(u *url.URL) error {
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fault.Field("url", "must begin with https://")
	case u.User != nil:
		return fault.Field("url", "must not hold a user or a password")
	case host == "" || u.Opaque != "":
		return fault.Field("url", "names no host")
	case u.Scheme == "http" && !f.allowed.host(host):
		return fault.Field("url", "must be https (http is for hosts listed under marketplace.allow_private_hosts only)")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fault.Field("url", "%q is not a port", port)
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return f.judge(host, addr, false)
	}
	return nil
}

// judge checks an address of a host. byName means that the host's name is listed, which
// allows every address.
func (f *Fetcher) judge(host string, addr netip.Addr, byName bool) error {
	if byName || public(addr) || f.allowed.address(addr) {
		return nil
	}
	what := host
	if plain(addr).String() != host {
		what = fmt.Sprintf("%s is at %s, which", host, plain(addr))
	}
	return fault.Field("url", "%s is not an address of the public internet; to allow it, list it under marketplace.allow_private_hosts",
		what)
}

func tooLarge(limit int64) error {
	return &fault.Error{Code: fault.Exhausted, Field: "url", Reason: fmt.Sprintf("the content is over the limit of %d bytes", limit)}
}

// transport returns a transport for one session, so that a changed configuration applies
// to the next. It uses no proxy, which would hide the address that is connected to.
func (f *Fetcher) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            f.dial,
		TLSClientConfig:        &tls.Config{RootCAs: f.cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  firstByte,
		MaxConnsPerHost:        maxConns,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// dial connects to a host. The address is checked after the name is resolved and directly
// before the connection.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{
		Timeout:  dialTimeout,
		Resolver: f.cfg.Resolver,
		Control: func(network, address string, _ syscall.RawConn) error {
			resolved, err := netip.ParseAddrPort(address)
			if err != nil || network != "tcp4" && network != "tcp6" {
				return fault.Field("url", "%s resolves to %s %s, which is not an address", host, network, address)
			}
			return f.judge(host, resolved.Addr(), f.allowed.host(host))
		},
	}
	return d.DialContext(ctx, network, address)
}

// redirect checks the target of a redirect.
func (f *Fetcher) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fault.Field("url", "redirects more than %d times", maxRedirects)
	}
	req.Header.Del("Referer") // the URL may contain a secret
	if err := f.check(req.URL); err != nil {
		var why *fault.Error
		if errors.As(err, &why) {
			return fault.Field("url", "redirects to another URL: %s", why.Reason)
		}
		return err
	}
	return nil
}

// explain adds a code to an error of a fetch and removes the URL, which may contain a
// secret.
func (f *Fetcher) explain(u *url.URL, err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return f.late(u, err)
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return unavailable("cannot fetch from %s: %w", u.Host, err)
}

func (f *Fetcher) late(u *url.URL, err error) error {
	if errors.Is(err, context.Canceled) {
		return cancelled(u, err)
	}
	return &fault.Error{Code: fault.Timeout, Field: "url", Reason: fmt.Sprintf("%s did not send the content in time (the limit is %v)",
		u.Host, f.cfg.Timeout), Err: err}
}

// cancelled is the error of a fetch whose context was cancelled.
func cancelled(u *url.URL, err error) error {
	return &fault.Error{Code: fault.Timeout, Field: "url", Reason: "the fetch from " + u.Host + " was cancelled", Err: err}
}

func unavailable(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &fault.Error{Code: fault.Unavailable, Field: "url", Reason: err.Error(), Err: errors.Unwrap(err)}
}
