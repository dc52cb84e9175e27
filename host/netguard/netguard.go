// Package netguard restricts connections whose target an untrusted party chose (a
// guest, an index, a redirect, a name server) to addresses on the public internet.
// It checks the address of the connection itself, after name resolution, so that
// no answer of a name server bypasses it.
//
// It imports the standard library and host/fault only.
package netguard

import (
	"net/netip"
	"syscall"

	"github.com/berth-host/berth/host/fault"
)

// The special-purpose addresses of RFC 6890 and of IANA's later additions.
var (
	notPublic4 = prefixes(
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // shared by carriers (CGNAT)
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, metadata services of clouds
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, broadcast
	)
	// Of version 6 only global unicast addresses are public, without these.
	global6    = netip.MustParsePrefix("2000::/3")
	notPublic6 = prefixes(
		"2001::/23",     // protocol assignments, Teredo
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4: an address of version 4 inside
		"3fff::/20",     // documentation
	)
	translated = netip.MustParsePrefix("64:ff9b::/96") // NAT64: an address of version 4 inside
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Public reports whether an address is on the public internet. An address of
// version 4 inside one of version 6 (mapped, NAT64) is checked as version 4.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" || !a.IsValid() {
		return false
	}
	if translated.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	list := notPublic4
	if a.Is6() {
		if !global6.Contains(a) {
			return false
		}
		list = notPublic6
	}
	for _, p := range list {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Control returns a net.Dialer's Control that refuses (fault.Denied) addresses
// that are neither Public nor allowed by also; nil allows none. The error omits the
// address, because the untrusted party reads it.
func Control(also func(netip.Addr) bool) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fault.New(fault.Denied, "the address cannot be parsed")
		}
		if addr := to.Addr().Unmap(); Public(addr) || also != nil && also(addr) {
			return nil
		}
		return fault.New(fault.Denied, "the address is not a public one")
	}
}
