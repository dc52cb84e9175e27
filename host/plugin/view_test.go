package plugin

import (
	"reflect"
	"testing"

	"github.com/berth-host/berth/abi"
)

func TestSubscribesIsNeverNil(t *testing.T) {
	for _, tt := range []struct {
		list []abi.Subscription
		want []string
	}{{nil, []string{"*"}}, {[]abi.Subscription{}, []string{}}, {[]abi.Subscription{{EventType: "a"}, {EventType: "b_*"}}, []string{"a", "b_*"}}} {
		if got := subscribes(abi.Manifest{Subscribes: tt.list}); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: got %#v, want %#v", tt.list, got, tt.want)
		}
	}
}
