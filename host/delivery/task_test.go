package delivery

import (
	"testing"

	"github.com/berth-host/berth/host/event"
)

// TestReusedTaskIsClean: a reused task has nothing of its former event.
func TestReusedTaskIsClean(t *testing.T) {
	var h handler
	old := &task{lane: 1, users: 1, recorded: true, past: &event.Delivery{Attempts: 3}, lease: &Lease{}, slot: 2}
	h.drop(old)
	got := h.reuse(nil, 5)
	if len(got) != 1 || got[0] != old || len(h.free) != 0 {
		t.Fatalf("got %v, and %d are free", got, len(h.free))
	}
	if *got[0] != (task{}) {
		t.Fatalf("got %+v", got[0])
	}
}
