package outcomes

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

func TestJudge(t *testing.T) {
	retry := spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Second, MaxBackoff: time.Minute}
	began := noon.Add(-time.Minute)
	second := &event.Delivery{Attempts: 1, FirstAttempt: began}
	third := &event.Delivery{Attempts: 2, FirstAttempt: began}
	failed := event.Outcome{Verdict: event.Failed, Class: event.ClassTrap, Message: "unreachable"}
	for _, tt := range []struct {
		name    string
		past    *event.Delivery
		outcome event.Outcome
		status  event.Status
		number  int
		first   time.Time
		due     time.Time
	}{
		{"a success", nil, event.Outcome{Verdict: event.OK, Result: []byte(`1`)}, event.StatusOK, 1, noon.Add(-time.Second), time.Time{}},
		{"a later success", third, event.Outcome{Verdict: event.OK, Result: []byte(`1`)}, event.StatusOK, 3, began, time.Time{}},
		{"a rejection", nil, event.Outcome{Verdict: event.Reject, Class: event.ClassRejected}, event.StatusDead, 1, noon.Add(-time.Second), time.Time{}},
		{"a failure", nil, failed, event.StatusRetrying, 1, noon.Add(-time.Second), noon.Add(1500 * time.Millisecond)},
		{"a second failure", second, failed, event.StatusRetrying, 2, began, noon.Add(3 * time.Second)},
		{"the last failure", third, failed, event.StatusDead, 3, began, time.Time{}},
		{"a requested retry", nil, event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}, event.StatusRetrying, 1, noon.Add(-time.Second), noon.Add(1500 * time.Millisecond)},
	} {
		o := tt.outcome
		o.Duration, o.Fuel, o.Instance, o.Logs = time.Second, 7, 2, []spec.GuestLine{{Message: "line"}}
		d := Judge("h", 5, tt.past, &o, noon, retry, func() float64 { return 0.5 })
		o.Logs[0].Message = "of the next attempt"
		if d.Status != tt.status || d.Attempts != tt.number || !d.FirstAttempt.Equal(tt.first) || !d.Due.Equal(tt.due) {
			t.Errorf("%s: got %s, attempt %d since %v, due %v", tt.name, d.Status, d.Attempts, d.FirstAttempt, d.Due)
		}
		if d.Handler != "h" || d.Seq != 5 || d.ErrorClass != o.Class || d.ErrorMessage != o.Message || d.Result != string(o.Result) || !d.At.Equal(noon) ||
			d.Duration != time.Second || d.Fuel != 7 || d.Instance != 2 || d.Logs[0].Message != "line" {
			t.Errorf("%s: got %+v", tt.name, d)
		}
	}
}
