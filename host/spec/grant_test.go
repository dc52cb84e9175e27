package spec_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

func http(hosts ...string) abi.Capability { return abi.Capability{Name: "http", Hosts: hosts} }

func emit(types ...string) abi.Capability { return abi.Capability{Name: "emit", EventTypes: types} }

func secrets(names ...string) abi.Capability { return abi.Capability{Name: "secret", Names: names} }

// TestGrantCoversItsTargetsOnly: a grant without targets covers everything.
func TestGrantCoversItsTargetsOnly(t *testing.T) {
	for _, tt := range []struct {
		requested abi.Capability
		grant     spec.Grant
		want      bool
	}{
		{secrets("api-key"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"api-key"}}}, true},
		{secrets("api-key"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"other"}}}, false},
		{secrets("api-key"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"api-key2"}}}, false},
		{secrets("api-key"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"*"}}}, false},
		{secrets("api-key"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"API-KEY"}}}, false},
		{secrets("api-key"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"other", "api-key"}}}, true},
		{secrets("api-key", "other"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"api-key"}}}, false},
		{secrets("api-key", "other"), spec.Grant{Name: "secret", Targets: spec.Targets{Names: []string{"other", "api-key"}}}, true},
		{secrets("api-key"), spec.Grant{Name: "secret"}, true},
		{secrets("api-key"), spec.Grant{Name: "http"}, false},
		{http("a.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"a.test"}}}, true},
		{http("a.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"b.test"}}}, false},
		{http("a.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"*.test"}}}, true},
		{http("a.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"*.a.test"}}}, false},
		{http("b.a.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"*.a.test"}}}, true},
		{http("ba.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"*.a.test"}}}, false},
		{http("a.test:8443"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"a.test"}}}, false},
		{http("[::1]"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"::1"}}}, true},
		{http("[::1]"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"::2"}}}, false},
		{http("[::1]:80"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"::1"}}}, false},
		{http("a.test", "b.test"), spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"a.test"}}}, false},
		{emit("order_paid"), spec.Grant{Name: "emit", Targets: spec.Targets{EventTypes: []string{"order_*"}}}, true},
		{emit("order_paid"), spec.Grant{Name: "emit", Targets: spec.Targets{EventTypes: []string{"stock_*"}}}, false},
		{emit("order_paid", "stock_low"), spec.Grant{Name: "emit", Targets: spec.Targets{EventTypes: []string{"order_*"}}}, false},
		{abi.Capability{Name: "kv"}, spec.Grant{Name: "kv"}, true},
		{abi.Capability{Name: "kv"}, spec.Grant{Name: "emit"}, false},
	} {
		if got := spec.Granted([]spec.Grant{tt.grant}, tt.requested); got != tt.want {
			t.Errorf("%+v by %+v: %v", tt.requested, tt.grant, got)
		}
		if got := spec.Granted([]spec.Grant{{Name: "other"}, tt.grant}, tt.requested); got != tt.want {
			t.Errorf("%+v by %+v behind another: %v", tt.requested, tt.grant, got)
		}
	}
	if spec.Granted(nil, abi.Capability{Name: "kv"}) {
		t.Error("granted by nothing")
	}
}

// TestAddGrantAddsUncoveredTargetsOnly, and does not change the lists it extends.
func TestAddGrantAddsUncoveredTargetsOnly(t *testing.T) {
	for _, tt := range []struct {
		have      []spec.Grant
		requested abi.Capability
		want      []spec.Grant
	}{
		{nil, secrets("a"), []spec.Grant{{Name: "secret", Targets: spec.Targets{Names: []string{"a"}}}}},
		{[]spec.Grant{{Name: "kv"}}, secrets("a"), []spec.Grant{{Name: "kv"}, {Name: "secret", Targets: spec.Targets{Names: []string{"a"}}}}},
		{[]spec.Grant{{Name: "secret", Targets: spec.Targets{Names: []string{"b"}}}, {Name: "kv"}}, secrets("a", "b"), []spec.Grant{{Name: "secret", Targets: spec.Targets{Names: []string{"b", "a"}}}, {Name: "kv"}}},
		{[]spec.Grant{{Name: "secret"}}, secrets("a"), []spec.Grant{{Name: "secret"}}},
		{[]spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"*.a.test"}}}}, http("x.a.test", "b.test"), []spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"*.a.test", "b.test"}}}}},
		{[]spec.Grant{{Name: "emit", Targets: spec.Targets{EventTypes: []string{"order_*"}}}}, emit("order_paid", "low"), []spec.Grant{{Name: "emit", Targets: spec.Targets{EventTypes: []string{"order_*", "low"}}}}},
	} {
		before := fmt.Sprintf("%+v", tt.have)
		have := append([]spec.Grant(nil), tt.have...)
		if got := spec.AddGrant(have, tt.requested); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v and %+v: got %+v, want %+v", tt.have, tt.requested, got, tt.want)
		}
		if after := fmt.Sprintf("%+v", tt.have); after != before {
			t.Errorf("the grants were changed from %s to %s", before, after)
		}
	}
}
