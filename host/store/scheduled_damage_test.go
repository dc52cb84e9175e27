package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

// TestDamagedScheduledEventsDelayNoOthers: more entries that cannot be read than one call moves
// do not keep the others from the log.
func TestDamagedScheduledEventsDelayNoOthers(t *testing.T) {
	ctx := t.Context()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const limit = 4
	for n := range limit + 2 {
		ev, err := event.New(event.Draft{Type: "later", Deferral: event.Deferral{After: time.Hour + time.Duration(n)*time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(ctx, []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.writer.Exec(`UPDATE scheduled SET envelope = '{' WHERE id <= ?`, limit+1); err != nil {
		t.Fatal(err)
	}
	moved, next, err := s.MoveDue(ctx, time.Now().Add(24*time.Hour), limit)
	if moved != 1 || err == nil || next.IsZero() || s.Last() != 1 {
		t.Errorf("got %d moved, next %v, %v, the log ends at %d; want the one that can be read, and an error", moved, next, err, s.Last())
	}
}
