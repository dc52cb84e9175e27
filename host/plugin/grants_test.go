package plugin

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

func http(hosts ...string) abi.Capability { return abi.Capability{Name: "http", Hosts: hosts} }

func emit(types ...string) abi.Capability { return abi.Capability{Name: "emit", EventTypes: types} }

func secrets(names ...string) abi.Capability { return abi.Capability{Name: "secret", Names: names} }

// TestGranted: a grant is for what it lists and nothing else, and for everything if
// it lists nothing.
func TestGranted(t *testing.T) {
	for _, tt := range []struct {
		asked abi.Capability
		grant Grant
		want  bool
	}{
		{secrets("api-key"), Grant{Name: "secret", Names: []string{"api-key"}}, true},
		{secrets("api-key"), Grant{Name: "secret", Names: []string{"other"}}, false},
		{secrets("api-key"), Grant{Name: "secret", Names: []string{"api-key2"}}, false},
		{secrets("api-key"), Grant{Name: "secret", Names: []string{"*"}}, false},
		{secrets("api-key"), Grant{Name: "secret", Names: []string{"API-KEY"}}, false},
		{secrets("api-key"), Grant{Name: "secret", Names: []string{"other", "api-key"}}, true},
		{secrets("api-key", "other"), Grant{Name: "secret", Names: []string{"api-key"}}, false},
		{secrets("api-key", "other"), Grant{Name: "secret", Names: []string{"other", "api-key"}}, true},
		{secrets("api-key"), Grant{Name: "secret"}, true},
		{secrets("api-key"), Grant{Name: "http"}, false},
		{http("a.test"), Grant{Name: "http", Hosts: []string{"a.test"}}, true},
		{http("a.test"), Grant{Name: "http", Hosts: []string{"b.test"}}, false},
		{http("a.test"), Grant{Name: "http", Hosts: []string{"*.test"}}, true},
		{http("a.test"), Grant{Name: "http", Hosts: []string{"*.a.test"}}, false},
		{http("b.a.test"), Grant{Name: "http", Hosts: []string{"*.a.test"}}, true},
		{http("ba.test"), Grant{Name: "http", Hosts: []string{"*.a.test"}}, false},
		{http("a.test:8443"), Grant{Name: "http", Hosts: []string{"a.test"}}, false},
		{http("[::1]"), Grant{Name: "http", Hosts: []string{"::1"}}, true},
		{http("[::1]"), Grant{Name: "http", Hosts: []string{"::2"}}, false},
		{http("[::1]:80"), Grant{Name: "http", Hosts: []string{"::1"}}, false},
		{http("a.test", "b.test"), Grant{Name: "http", Hosts: []string{"a.test"}}, false},
		{emit("order_paid"), Grant{Name: "emit", EventTypes: []string{"order_*"}}, true},
		{emit("order_paid"), Grant{Name: "emit", EventTypes: []string{"stock_*"}}, false},
		{emit("order_paid", "stock_low"), Grant{Name: "emit", EventTypes: []string{"order_*"}}, false},
		{abi.Capability{Name: "kv"}, Grant{Name: "kv"}, true},
		{abi.Capability{Name: "kv"}, Grant{Name: "emit"}, false},
	} {
		if got := Granted(tt.asked, []Grant{tt.grant}); got != tt.want {
			t.Errorf("%+v by %+v: %v", tt.asked, tt.grant, got)
		}
		if got := Granted(tt.asked, []Grant{{Name: "other"}, tt.grant}); got != tt.want {
			t.Errorf("%+v by %+v behind another: %v", tt.asked, tt.grant, got)
		}
	}
	if Granted(abi.Capability{Name: "kv"}, nil) {
		t.Error("granted by nothing")
	}
}

func TestMissingNamesWhatIsRequired(t *testing.T) {
	required := func(c abi.Capability) abi.Capability { c.Required = true; return c }
	manifest := func(c ...abi.Capability) abi.Manifest { return abi.Manifest{Capabilities: c} }
	kv := abi.Capability{Name: "kv"}
	for _, tt := range []struct {
		manifest abi.Manifest
		grants   []Grant
		want     string
	}{
		{manifest(), nil, ""},
		{manifest(kv), nil, ""},
		{manifest(required(kv)), []Grant{{Name: "kv"}}, ""},
		{manifest(required(kv)), nil, "it requires the capability kv, which is not granted"},
		{manifest(required(secrets("a", "b"))), []Grant{{Name: "secret", Names: []string{"a"}}}, "it requires the capability secret (names a, b), which is not granted"},
		{manifest(required(http("a.test")), kv, required(emit("x_*"))), nil,
			"it requires the capabilities http (hosts a.test) and emit (event types x_*), which are not granted"},
	} {
		if got := missing(tt.manifest, tt.grants); got != tt.want {
			t.Errorf("%+v with %+v: %q, want %q", tt.manifest, tt.grants, got, tt.want)
		}
	}
}

func TestWidenedTellsWhatIsNew(t *testing.T) {
	manifest := func(c ...abi.Capability) abi.Manifest { return abi.Manifest{Capabilities: c} }
	one, two := secrets("a"), secrets("a", "b")
	grants := []Grant{{Name: "secret", Names: []string{"a"}}}
	for _, tt := range []struct {
		name          string
		running, next abi.Manifest
		grants        []Grant
		want          string
	}{
		{"the same", manifest(one), manifest(one), grants, ""},
		{"more", manifest(one), manifest(two), grants, "it asks for more than is granted: secret (names a, b)"},
		{"more, which is granted", manifest(one), manifest(two), []Grant{{Name: "secret"}}, ""},
		{"more of what was not granted", manifest(one), manifest(two), nil, ""},
		{"another", manifest(one), manifest(one, http("a.test")), grants, ""},
		{"two", manifest(one, http("a.test")), manifest(two, http("b.test")), append(grants, Grant{Name: "http", Hosts: []string{"a.test"}}),
			"it asks for more than is granted: secret (names a, b) and http (hosts b.test)"},
	} {
		if got := widened(tt.running, tt.next, tt.grants); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestGrantAddsWhatIsAskedFor and nothing else, without touching what there was.
func TestGrantAddsWhatIsAskedFor(t *testing.T) {
	for _, tt := range []struct {
		have  []Grant
		asked abi.Capability
		want  []Grant
	}{
		{nil, secrets("a"), []Grant{{Name: "secret", Names: []string{"a"}}}},
		{[]Grant{{Name: "kv"}}, secrets("a"), []Grant{{Name: "kv"}, {Name: "secret", Names: []string{"a"}}}},
		{[]Grant{{Name: "secret", Names: []string{"b"}}, {Name: "kv"}}, secrets("a", "b"), []Grant{{Name: "secret", Names: []string{"b", "a"}}, {Name: "kv"}}},
		{[]Grant{{Name: "secret"}}, secrets("a"), []Grant{{Name: "secret"}}},
		{[]Grant{{Name: "http", Hosts: []string{"*.a.test"}}}, http("x.a.test", "b.test"), []Grant{{Name: "http", Hosts: []string{"*.a.test", "b.test"}}}},
		{[]Grant{{Name: "emit", EventTypes: []string{"order_*"}}}, emit("order_paid", "low"), []Grant{{Name: "emit", EventTypes: []string{"order_*", "low"}}}},
	} {
		before := fmt.Sprintf("%+v", tt.have)
		have := append([]Grant(nil), tt.have...)
		if got := grant(have, tt.asked); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v and %+v: got %+v, want %+v", tt.have, tt.asked, got, tt.want)
		}
		if after := fmt.Sprintf("%+v", tt.have); after != before {
			t.Errorf("it was %s, and is %s", before, after)
		}
	}
}

func TestLongListsAreCut(t *testing.T) {
	names := strings.Split("abcdefghijkl", "")
	for n, want := range map[int]string{1: "a", 10: "a, b, c, d, e, f, g, h, i, j", 11: "a, b, c, d, e, f, g, h, i, j and 1 more", 12: "a, b, c, d, e, f, g, h, i, j and 2 more"} {
		if got := some(names[:n]); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := asksFor(abi.Capability{Name: "kv"}); got != "kv" {
		t.Errorf("got %q", got)
	}
}

func TestSubscribesIsNeverNil(t *testing.T) {
	for _, tt := range []struct {
		list []abi.Subscription
		want []string
	}{{nil, []string{"*"}}, {[]abi.Subscription{}, []string{}}, {[]abi.Subscription{{EventType: "a"}, {EventType: "b_*"}}, []string{"a", "b_*"}}} {
		if got := subscribes(abi.Manifest{Subscribes: tt.list}); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: got %#v, want %#v", tt.list, got, tt.want)
		}
	}
	if got := capabilities(abi.Manifest{}, nil); got == nil || len(got) != 0 {
		t.Errorf("got %#v", got)
	}
}
