package delivery

import (
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
)

// TestReusedTaskIsClean: a reused task has nothing of its former event.
func TestReusedTaskIsClean(t *testing.T) {
	var h handler
	old := &tasks.Task{Lane: 1, Users: 1, Recorded: true, Past: &event.Delivery{Attempts: 3}, Lease: new(atomic.Int32), Slot: 2}
	h.free.Drop(old)
	got := h.free.Reuse(nil, 5)
	if len(got) != 1 || got[0] != old || len(h.free) != 0 {
		t.Fatalf("got %v, and %d are free", got, len(h.free))
	}
	if *got[0] != (tasks.Task{}) {
		t.Fatalf("got %+v", got[0])
	}
}
