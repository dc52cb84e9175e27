package marketplace

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "93.184.215.14": true, "11.0.0.0": true, "9.255.255.255": true,
		"172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "100.128.0.0": true, "223.255.255.255": true,
		"2606:4700:4700::1111": true, "2a00:1450::1": true, "::ffff:8.8.8.8": true, "2001:200::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false,
		"100.127.255.255": false, "127.0.0.1": false, "127.255.255.254": false, "169.254.169.254": false,
		"172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false, "192.0.2.1": false, "192.88.99.1": false,
		"192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false, "203.0.113.9": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"::ffff:169.254.169.254": false, "::ffff:0:127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false,
		"5f00::1": false, "fc00::1": false, "fd12:3456::1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fec0::1": false, "ff02::1": false, "ff0e::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %v", text, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address at all is public")
	}
}

func TestAllowed(t *testing.T) {
	a, err := parseAllowed([]string{"Registry.local.", "10.0.0.7", "192.168.0.0/16", "fd00::/8", "::ffff:172.16.0.0/108", "::ffff:127.0.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"registry.local": true, "REGISTRY.LOCAL.": true, "10.0.0.7": true, "::ffff:10.0.0.7": true, "192.168.3.4": true,
		"fd00::1": true, "fd00::1%eth0": true, "172.31.0.1": true, "127.0.0.9": true,
		"registry": false, "x.registry.local": false, "10.0.0.8": false, "192.169.0.1": false, "fe80::1": false, "172.32.0.1": false, "": false,
	} {
		if got := a.host(text); got != want {
			t.Errorf("host(%q) = %v", text, got)
		}
	}
	for _, wrong := range []string{"", ".", "a b", "http://a.example", "a.example:80", "10.0.0.0/33"} {
		if _, err := New(Config{AllowPrivateHosts: []string{wrong}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}

// FuzzURL: an accepted URL is https to a host that is not plainly private, and is
// accepted again in the form in which it is sent.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://plugins.example/a.wasm", "http://plugins.example/", "http://registry.local:8080/x", "https://127.0.0.1/",
		"https://[::1]/", "https://[::ffff:10.0.0.1]:443/a?b#c", "https://[fe80::1%25eth0]/", "https://a:b@c.example/", "//x", "https:x",
		"https://:443/", "https://h:/", "https://h:0/", "https://h:65536/", "https://0177.0.0.1/", "https://2130706433/", "file:///etc/passwd",
		"HTTPS://H.example\\@10.0.0.1/", "https://h.example\x00/", "https://%31%30.0.0.1/",
	} {
		f.Add(seed)
	}
	fetcher, err := New(Config{AllowPrivateHosts: []string{"registry.local"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := fetcher.parse(raw)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		host := u.Hostname()
		if u.User != nil || host == "" || u.Scheme != "https" && canonical(host) != "registry.local" {
			t.Errorf("%q is accepted", raw)
		}
		if a, err := netip.ParseAddr(host); err == nil && !public(a) {
			t.Errorf("%q is accepted, and is at %s", raw, a)
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Hostname() != host || fetcher.check(again) != nil {
			t.Errorf("%q is sent on as %q: %v", raw, u, err)
		}
	})
}
