package marketplace

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/netguard"
)

// public reports whether the address is one of the public internet.
func public(a netip.Addr) bool { return netguard.Public(plain(a)) }

// plain returns an IPv4 address for its IPv6 form, without a zone: the system connects to
// the same host.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// allowed is the operator's list of private hosts.
type allowed struct {
	names  []string // lower case, no dot at the end
	ranges []netip.Prefix
}

// parseAllowed reads host names, addresses and CIDR ranges.
func parseAllowed(hosts []string) (allowed, error) {
	var a allowed
	for _, host := range hosts {
		if p, err := netip.ParsePrefix(host); err == nil {
			a.ranges = append(a.ranges, plainPrefix(p))
			continue
		}
		if addr, err := netip.ParseAddr(host); err == nil {
			addr = plain(addr)
			a.ranges = append(a.ranges, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		name := canonical(host)
		if name == "" || strings.ContainsAny(name, "/:@ ") {
			return allowed{}, fault.Field("allow_private_hosts", "%q is not a host name, an address or a range such as 10.0.0.0/8", host)
		}
		a.names = append(a.names, name)
	}
	return a, nil
}

// plainPrefix is plain for a range: a range inside ::ffff:0:0/96 is an IPv4 range.
func plainPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// canonical returns a host name in the form in which it is compared.
func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// host reports whether the host of a URL is listed, by name or as an address.
func (a allowed) host(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return a.address(addr)
	}
	return slices.Contains(a.names, canonical(host))
}

// address reports whether the address is listed.
func (a allowed) address(addr netip.Addr) bool {
	addr = plain(addr)
	return slices.ContainsFunc(a.ranges, func(p netip.Prefix) bool { return p.Contains(addr) })
}
