package route_test

import (
	"testing"

	"github.com/berth-host/berth/host/spec"
)

func TestTakesEventEvaluatesRouteOnly(t *testing.T) {
	table := newTable(t, spec.Route{Pattern: "a"}, spec.Route{Pattern: "b", When: "data.n > 1"}, spec.Route{Pattern: "c", Handlers: []string{}})
	for _, tt := range []struct {
		typ, data string
		want      bool
	}{
		{"a", `1`, true}, {"b", `{"n":2}`, true}, {"b", `{"n":1}`, false}, {"b", `{}`, false}, {"c", `1`, true}, {"d", `1`, false},
	} {
		if got := table.TakesEvent(newEvent(t, tt.typ, tt.data)); got != tt.want {
			t.Errorf("%s with %s: %v, want %v", tt.typ, tt.data, got, tt.want)
		}
	}
}
