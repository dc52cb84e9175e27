package admin

import (
	"slices"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// TestFailuresOfHandlersAreTogether: handlers with the same failures share the list of events.
func TestFailuresOfHandlersAreTogether(t *testing.T) {
	of := func(plugin string, count uint64, seqs ...uint64) wire.PlannedHandler {
		h := wire.PlannedHandler{Plugin: plugin, Failed: wire.PlannedFailures{Count: count}}
		for _, seq := range seqs {
			h.Failed.Events = append(h.Failed.Events, wire.PlannedEvent{Seq: seq, Reason: "no such key: amount"})
		}
		return h
	}
	list := failures([]wire.PlannedHandler{of("a", 2, 1, 2), of("none", 0), of("b", 2, 1, 2), of("c", 2, 1, 3), of("d", 3, 1, 2)})
	want := [][]string{{"a", "b"}, {"c"}, {"d"}}
	if !slices.EqualFunc(list, want, func(f failed, plugins []string) bool { return slices.Equal(f.plugins, plugins) }) {
		t.Errorf("got %+v", list)
	}
}
