package delivery

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// TestShareOfLease: a lease leaves one attempt for each instance that waits, and half of an
// even share of the others, and takes one while failures are counted.
func TestShareOfLease(t *testing.T) {
	for _, tt := range []struct {
		ready, leases, parked int
		failing               bool
		want                  int
	}{
		{ready: 1, leases: 1, want: 1},
		{ready: 7, leases: 2, want: 1},
		{ready: 8, leases: 2, want: 2},
		{ready: 100, leases: 1, want: 50},
		{ready: 1000, leases: 1, want: maxLease},
		{ready: 100, leases: 1, failing: true, want: 1},
		{ready: 9, leases: 2, parked: 1, want: 2},
		{ready: 8, leases: 2, parked: 1, want: 1},
		{ready: 2, leases: 4, parked: 3, want: 1},
		{ready: 67, leases: 4, parked: 3, want: 8},
	} {
		h := handler{leases: tt.leases, parked: tt.parked}
		for range tt.ready {
			h.ready.Push(&tasks.Task{})
		}
		if tt.failing {
			h.breaker.Configure(spec.BreakerPolicy{Failures: 5})
			h.breaker.Complete(1, event.ClassTrap, "unreachable", time.Now())
		}
		if got := h.share(); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
}
