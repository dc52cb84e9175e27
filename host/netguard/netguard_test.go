package netguard_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/netguard"
)

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true,
		"100.128.0.0": true, "223.255.255.255": true, "11.0.0.0": true, "169.253.255.255": true, "198.20.0.0": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "2001:200::": true, "::ffff:1.1.1.1": true, "64:ff9b::101:101": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false, "100.127.255.255": false,
		"127.0.0.1": false, "127.255.255.254": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.8": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.7": false, "203.0.113.7": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::7f00:1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "100::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"fe80::1": false, "fe80::1%eth0": false, "2606:4700::1%eth0": false, "fec0::1": false, "ff02::1": false, "2001::1": false,
		"2001:db8::1": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "3fff::1": false, "5f00::1": false,
	} {
		if got := netguard.Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
	if netguard.Public(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}

func TestControl(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dial := func(d net.Dialer) error {
		c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(net.Dialer{Control: netguard.Control(nil)}); !fault.Is(err, fault.Denied) {
		t.Errorf("loopback: got %v, want %s", err, fault.Denied)
	}
	if err := dial(net.Dialer{Control: netguard.Control(netip.Addr.IsLoopback)}); err != nil {
		t.Errorf("loopback, allowed: %v", err)
	}
	control := netguard.Control(nil)
	for address, want := range map[string]fault.Code{
		"93.184.216.34:443": "", "[2606:4700::1111]:443": "", "[::ffff:127.0.0.1]:80": fault.Denied, "/run/x.sock": fault.Denied, "": fault.Denied,
	} {
		if got := fault.CodeOf(control("tcp", address, nil)); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
