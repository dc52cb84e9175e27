package grants

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

func http(hosts ...string) abi.Capability { return abi.Capability{Name: "http", Hosts: hosts} }

func emit(types ...string) abi.Capability { return abi.Capability{Name: "emit", EventTypes: types} }

func secrets(names ...string) abi.Capability { return abi.Capability{Name: "secret", Names: names} }

func TestMissingNamesWhatIsRequired(t *testing.T) {
	required := func(c abi.Capability) abi.Capability { c.Required = true; return c }
	manifest := func(c ...abi.Capability) []abi.Capability { return c }
	kv := abi.Capability{Name: "kv"}
	for _, tt := range []struct {
		manifest []abi.Capability
		grants   []spec.Grant
		want     string
	}{
		{manifest(), nil, ""},
		{manifest(kv), nil, ""},
		{manifest(required(kv)), []spec.Grant{{Name: "kv"}}, ""},
		{manifest(required(kv)), nil, "it requires the capability kv, which is not granted"},
		{manifest(required(secrets("a", "b"))), []spec.Grant{{Name: "secret", Targets: spec.Targets{Names: []string{"a"}}}}, "it requires the capability secret (names a, b), which is not granted"},
		{manifest(required(http("a.test")), kv, required(emit("x_*"))), nil,
			"it requires the capabilities http (hosts a.test) and emit (event types x_*), which are not granted"},
	} {
		if got := Missing(tt.manifest, tt.grants); got != tt.want {
			t.Errorf("%+v with %+v: %q, want %q", tt.manifest, tt.grants, got, tt.want)
		}
	}
}

func TestWidenedNamesWhatIsNew(t *testing.T) {
	manifest := func(c ...abi.Capability) []abi.Capability { return c }
	one, two := secrets("a"), secrets("a", "b")
	grants := []spec.Grant{{Name: "secret", Targets: spec.Targets{Names: []string{"a"}}}}
	for _, tt := range []struct {
		name          string
		running, next []abi.Capability
		grants        []spec.Grant
		want          string
	}{
		{"the same", manifest(one), manifest(one), grants, ""},
		{"more", manifest(one), manifest(two), grants, "it asks for more than is granted: secret (names a, b)"},
		{"more, which is granted", manifest(one), manifest(two), []spec.Grant{{Name: "secret"}}, ""},
		{"more of what was not granted", manifest(one), manifest(two), nil, ""},
		{"another", manifest(one), manifest(one, http("a.test")), grants, ""},
		{"two", manifest(one, http("a.test")), manifest(two, http("b.test")), append(grants, spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"a.test"}}}),
			"it asks for more than is granted: secret (names a, b) and http (hosts b.test)"},
	} {
		if got := Widened(tt.running, tt.next, tt.grants); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestLongListsAreCut(t *testing.T) {
	names := strings.Split("abcdefghijkl", "")
	for n, want := range map[int]string{1: "a", 10: "a, b, c, d, e, f, g, h, i, j", 11: "a, b, c, d, e, f, g, h, i, j and 1 more", 12: "a, b, c, d, e, f, g, h, i, j and 2 more"} {
		if got := listFirst(names[:n]); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := describe(abi.Capability{Name: "kv"}); got != "kv" {
		t.Errorf("got %q", got)
	}
}

func TestCapabilitiesIsNeverNil(t *testing.T) {
	if got := Capabilities(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("got %#v", got)
	}
}
