package delivery_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// The delivery that is stored has the lines and the instance of its attempt, copied: the
// instance reuses the memory. A success with lines is stored with them, also of a lease.
func TestDeliveriesHaveTheLinesOfTheirAttempt(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}})
	lines := make([]spec.GuestLine, 1)
	stop := workLeases(h, 1, func(a event.Attempt) event.Outcome {
		lines[0] = spec.GuestLine{Level: "info", Message: a.Event.Subject()}
		o := event.Outcome{Instance: int(a.Seq), Logs: lines}
		if a.Event.Subject() == "fails" {
			o.Verdict, o.Class, o.Message = event.Failed, event.ClassTrap, "unreachable"
		}
		if a.Event.Subject() == "logs nothing" {
			o.Logs = nil
		}
		return o
	})
	defer stop()
	subjects := []string{"fails", "succeeds", "logs nothing", "succeeds too"}
	for _, s := range subjects {
		f.log.publish(t, s)
	}
	f.store.await(t, "all outcomes", func() bool { return f.store.finals("h") == len(subjects) })
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	for i, subject := range subjects {
		d := f.store.deliveries[key{"h", uint64(i + 1)}]
		if subject == "logs nothing" {
			if d.Logs != nil || d.Status != event.StatusOK {
				t.Errorf("without lines: %+v", d)
			}
			continue
		}
		if len(d.Logs) != 1 || d.Logs[0].Message != subject || d.Instance != i+1 {
			t.Errorf("%s: instance %d, %v", subject, d.Instance, d.Logs)
		}
	}
}
