package route_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
)

// members is an object of n members whose names are of this many bytes.
func members(n, bytes int) string {
	list := make([]string, n)
	for i := range list {
		name := fmt.Sprintf("%05d", i)
		list[i] = `"` + name + strings.Repeat("x", bytes-len(name)) + `":1`
	}
	return "{" + strings.Join(list, ",") + "}"
}

// Comparing two objects costs two for each member, and one more for ten bytes of its name.
func TestComparingObjectsCostsTheirMembers(t *testing.T) {
	table := newTable(t, spec.Route{Pattern: "*", When: "data.a == data.b"})
	for _, tt := range []struct {
		n, bytes int
		ok       bool
	}{{9_000, 5, true}, {10_500, 5, false}, {2_000, 60, true}, {2_000, 100, false}} {
		object := members(tt.n, tt.bytes)
		ok, err := table.Takes("h", nil, newEvent(t, "t", `{"a":`+object+`,"b":`+object+`}`))
		if ok != tt.ok || (err == nil) != tt.ok {
			t.Errorf("%d members of %d bytes: got %v, %v, want %v", tt.n, tt.bytes, ok, err, tt.ok)
		}
	}
}

func TestNewFilterRefusesOneWrongSubscription(t *testing.T) {
	for _, subs := range [][]abi.Subscription{{{EventType: "UP"}}, {{EventType: "a", When: "nope"}}, {{EventType: "a"}, {EventType: ""}}} {
		if f, err := route.NewFilter("h", subs); !fault.Is(err, fault.Invalid) || f != nil {
			t.Errorf("%+v: got %v, %v", subs, f, err)
		}
	}
}
