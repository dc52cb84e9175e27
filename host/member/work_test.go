package member_test

import (
	"reflect"
	"testing"

	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/wire"
)

func TestEachPluginIsAModuleOrInactive(t *testing.T) {
	w := member.NewWork(member.WorkConfig{
		Plugins: func() []wire.Plugin {
			return []wire.Plugin{{Name: "tax", State: wire.Disabled, SHA256: "1"}, {Name: "mail", State: wire.Standby, SHA256: "2"},
				{Name: "old", State: wire.Active, SHA256: "3"}, {Name: "bad", State: wire.Rejected}}
		},
		Installed: func(name string) string {
			if name == "old" {
				return "4"
			}
			return ""
		}})
	if got, want := w.Modules(), map[string]string{"mail": "2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("modules: got %v, want %v", got, want)
	}
	if got, want := w.Inactive(), []string{"bad", "old", "tax"}; !reflect.DeepEqual(got, want) {
		t.Errorf("inactive: got %v, want %v", got, want)
	}
}
