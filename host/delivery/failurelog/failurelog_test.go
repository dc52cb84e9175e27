package failurelog

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

func TestFailuresAreLoggedOnceForEachClassAndInterval(t *testing.T) {
	begin := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	var f Limit
	for i, step := range []struct {
		at         time.Duration
		class      event.Class
		suppressed int
		logged     bool
	}{
		{0, event.ClassTrap, 0, true},
		{0, event.ClassTrap, 0, false},
		{0, event.ClassTimeout, 0, true}, // a class of its own
		{time.Second, event.ClassTrap, 0, false},
		{every - 1, event.ClassTrap, 0, false},
		{every, event.ClassTrap, 3, true},
		{every, event.ClassTimeout, 0, true},
		{2*every - 1, event.ClassTrap, 0, false},
		{2 * every, event.ClassTrap, 1, true},
		{9 * every, event.ClassTrap, 0, true},
	} {
		if suppressed, logged := f.Count(step.class, begin.Add(step.at)); suppressed != step.suppressed || logged != step.logged {
			t.Errorf("step %d: got %d, %v, want %d, %v", i, suppressed, logged, step.suppressed, step.logged)
		}
	}
}
