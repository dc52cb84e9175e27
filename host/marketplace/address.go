package marketplace

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// special are the IPv4 ranges that do not belong to hosts of the internet
// (IANA IPv4 Special-Purpose Address Registry), and multicast.
var special = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared, behind a carrier's NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local; clouds answer with credentials here
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
)

// global is the IPv6 range addresses of the internet are taken from (RFC 4291,
// section 2.4). Everything else is special: loopback, link-local, unique local,
// multicast, and what embeds an IPv4 address (::/96, 64:ff9b::/96).
var global = netip.MustParsePrefix("2000::/3")

// special6 are the ranges inside global that are special nevertheless (IANA
// IPv6 Special-Purpose Address Registry).
var special6 = prefixes(
	"2001::/23",     // protocol assignments, Teredo among them
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4: embeds an IPv4 address
	"3fff::/20",     // documentation
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// public reports whether the address is a host's on the internet.
func public(a netip.Addr) bool {
	a = plain(a)
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.Is4() {
		return !slices.ContainsFunc(special, within)
	}
	return a.IsValid() && global.Contains(a) && !slices.ContainsFunc(special6, within)
}

// plain takes an IPv4 address out of its IPv6 form, and the zone away: what the
// system connects to is the same.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// allowed is who may be reached although it is private.
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

// plainPrefix is plain for a range: one inside ::ffff:0:0/96 is an IPv4 range.
func plainPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// canonical is a host name as it is compared.
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
