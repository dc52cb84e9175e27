package guestnet

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// Pattern is a host in a grant or a manifest: a name or an address, with "*." before a name
// for all its subdomains, and a port. Without a port it matches the default one of a URL's
// scheme.
type Pattern struct {
	name  string     // lower case; "" when it is an address
	addr  netip.Addr // unmapped
	below bool       // all subdomains, not the name itself
	port  string     // "" for the scheme's default
}

// ParsePattern reads a Pattern: api.example.com, *.example.com:8443, 192.0.2.7,
// 2001:db8::1, [2001:db8::1]:8080.
func ParsePattern(s string) (Pattern, error) {
	literal := s
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			literal = inner
		}
	}
	if addr, err := netip.ParseAddr(literal); err == nil {
		return Pattern{addr: addr.Unmap()}, nil
	}
	p := Pattern{name: strings.ToLower(s)}
	if host, port, err := net.SplitHostPort(p.name); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Pattern{}, fault.New(fault.Invalid, "%q has no port from 1 to 65535", s)
		}
		p.name, p.port = host, port
		if addr, err := netip.ParseAddr(host); err == nil {
			p.name, p.addr = "", addr.Unmap()
			return p, nil
		}
	}
	p.name, p.below = strings.CutPrefix(p.name, "*.")
	if p.name == "" || strings.ContainsAny(p.name, "*/:@[]% ") {
		return Pattern{}, fault.New(fault.Invalid, "%q is not a host", s)
	}
	return p, nil
}

// match reports whether the URL's host and port are the pattern's.
func (p Pattern) match(u *url.URL) bool {
	port := u.Port()
	defaultPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if port == "" {
		port = defaultPort
	}
	want := p.port
	if want == "" {
		want = defaultPort
	}
	if port != want {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if addr, err := netip.ParseAddr(host); err == nil {
		return p.addr.IsValid() && addr.Unmap() == p.addr
	}
	if p.below {
		return strings.HasSuffix(host, "."+p.name)
	}
	return p.name != "" && host == p.name
}
