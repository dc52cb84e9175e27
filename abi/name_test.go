package abi_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

func TestNames(t *testing.T) {
	tests := []struct {
		what    string
		valid   func(string) bool
		good    []string
		wrong   []string
		longest string // good, and wrong with one byte more
	}{
		{"name", abi.ValidName, []string{"a", "0", "order-audit", "a-", "1a"},
			[]string{"", "-", "-a", "A", "a_b", "a.b", "a/b", "ä", "a\n", " a"}, strings.Repeat("a", 63)},
		{"name of a plugin", func(s string) bool { return abi.CheckName(s) == nil }, []string{"a", "installer", "verify-x", "uninstalled", "marketplaces", "events", "plugins"},
			[]string{"", "-a", "A", "install", "marketplace", "uninstall", "verify"}, strings.Repeat("a", 63)},
		{"version", abi.ValidVersion,
			[]string{"0.0.0", "1.2.3", "10.20.30", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-0.3.7", "1.0.0-x-y-z.--", "1.0.0+001", "1.0.0-beta+exp.sha.5114f85", "1.0.0--", "1.0.0+-", "1.0.0-0a", "18446744073709551615.0.0"},
			[]string{"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "1.2.3+a+b", "1.2.3 ", "+1.2.3", "-1.2.3", "1.2.x", "1.2.3-ä", "99999999999999999999.0.0", "1_0.0.0"},
			"1.2.3+" + strings.Repeat("a", 122)},
		{"event type glob", abi.ValidEventTypeGlob, []string{"*", "order_*", "com.example.order.created", "a*b*", "a.b_c-d", "*-x"},
			[]string{"", "A", "a:b", "a/b", "_a", "-a", ".a", " ", "a b", "a?", "[a]", "ä", "a\n"}, strings.Repeat("a", abi.MaxEventType)},
		{"pointer", abi.ValidPointer, []string{"", "/", "/a", "/a/", "/~0~1", "/ä", "//"},
			[]string{"a", "~0", "/~", "/~2", "/a~/b", "#/a", "/\xff"}, ""},
		{"host", abi.ValidHost,
			[]string{"api.example.com", "localhost", "a", "a-b.c:1", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[2001:db8::1]:443", "xn--bcher-kva.example"},
			[]string{"", ".", "a.", ".a", "a..b", "-a", "a-", "A.example", "*.example.com", "https://a", "a/b", "a:", "a:0", "a:65536", "a:+1", "a:01", "a:b", "[]", "[::1", "[::1]x", "[::1]:", "::1", "[a.b]", "a b", "a@b", "bücher.example", strings.Repeat("a.", 127)}, ""},
	}
	for _, tt := range tests {
		for _, s := range tt.good {
			if !tt.valid(s) {
				t.Errorf("%s %q is refused", tt.what, s)
			}
		}
		for _, s := range tt.wrong {
			if tt.valid(s) {
				t.Errorf("%s %q is accepted", tt.what, s)
			}
		}
		if tt.longest != "" && (!tt.valid(tt.longest) || tt.valid(tt.longest+"a")) {
			t.Errorf("%s: the limit is not at %d bytes", tt.what, len(tt.longest))
		}
	}
}

func TestMatchEventType(t *testing.T) {
	tests := []struct {
		glob, eventType string
		want            bool
	}{
		{"*", "a", true}, {"*", "", true}, {"", "", true}, {"", "a", false},
		{"order_*", "order_status_changed", true}, {"order_*", "order_", true}, {"order_*", "reorder_x", false}, {"order_*", "Order_x", false},
		{"*_changed", "order_status_changed", true}, {"*_changed", "order_changed_x", false},
		{"a*b*c", "abc", true}, {"a*b*c", "a1b2b3c", true}, {"a*b*c", "acb", false},
		{"**", "x", true}, {"a**", "a", true}, {"a.b", "axb", false}, {"a", "ab", false}, {"ab", "a", false},
		{strings.Repeat("a*", 50) + "b", strings.Repeat("a", 255), false}, // must not take forever
	}
	for _, tt := range tests {
		if got := abi.MatchEventType(tt.glob, tt.eventType); got != tt.want {
			t.Errorf("%q, %q: got %v, want %v", tt.glob, tt.eventType, got, tt.want)
		}
	}
}
