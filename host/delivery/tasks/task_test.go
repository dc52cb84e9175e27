package tasks

import (
	"testing"
	"time"
	"unsafe"

	"github.com/berth-host/berth/host/event"
)

// TestTaskIsSmall: a busy handler touches many thousands of tasks, and one byte more takes
// the next size of memory.
func TestTaskIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Task{}); n > 64 {
		t.Errorf("%d bytes, want at most 64: one cache line", n)
	}
}

// TestRunInConflictIsNoAttempt: also while it waits to run alone, and while it does.
func TestRunInConflictIsNoAttempt(t *testing.T) {
	at := time.Unix(1000, 0)
	past := event.Delivery{Handler: "h/0", Seq: 1, Status: event.StatusOK, Attempts: 3, At: at}.Rerun()
	past.Due = at.Add(time.Second / 2)
	for _, phase := range []Phase{Waiting, Delivering} {
		task := &Task{Record: event.Record{Seq: 1}, Past: &past, Conflicts: event.MaxConflicts + 1, Phase: phase}
		d := task.Delivery("h/0")
		d.Status = event.StatusRetrying
		if a, made := d.Past(); made || d.Attempts != 2 {
			t.Errorf("phase %d: %+v", phase, a)
		}
		if due, waits := task.Due(); !waits || due != past.Due {
			t.Errorf("it is due at %v (%v)", due, waits)
		}
	}
}
