package spec_test

import (
	"slices"
	"testing"

	"github.com/berth-host/berth/host/spec"
)

func TestStaleFences(t *testing.T) {
	present := map[string]uint64{"a": 3, "b": 4}
	fences := []spec.Fence{{Unit: "a", Epoch: 3}, {Unit: "b", Epoch: 3}, {Unit: "b", Epoch: 5}, {Unit: "c", Epoch: 0}}
	stale := spec.Stale(fences, func(unit string) uint64 { return present[unit] })
	if !slices.Equal(stale, fences[1:3]) {
		t.Errorf("got %+v, want both of b", stale)
	}
	if !spec.Names(stale, "b") || spec.Names(stale, "a") || spec.Names(nil, "b") {
		t.Error("the stale fences are of b alone")
	}
	if got := spec.Stale(fences[3:], spec.OneHost); got != nil {
		t.Errorf("one host: got %+v", got)
	}
}
