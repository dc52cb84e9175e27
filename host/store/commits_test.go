package store

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/event"
)

func TestCommitsAreMeasured(t *testing.T) {
	refuse := errors.New("the commit is refused")
	var failing error
	s, err := open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "berth.db"), Window: newWindow()},
		faults{commit: func() error { return failing }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	events := make([]*event.Event, 5)
	for i := range events {
		if events[i], err = event.New(event.Draft{Type: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(t.Context(), events[:4]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), events[:4]); err != nil { // duplicates: nothing changes
		t.Fatal(err)
	}
	got := s.Commits.Get()
	if got.Writes.Count() != 1 || got.Writes.Sum() != 1 || got.Events.Sum() != 4 || got.Duration.Count() != 1 || got.Duration.Sum() == 0 || got.Failed != 0 {
		t.Errorf("got %d commits of %d writes and %d events in %d ns, %d failed", got.Writes.Count(), got.Writes.Sum(), got.Events.Sum(),
			got.Duration.Sum(), got.Failed)
	}
	failing = refuse
	if _, err := s.Append(t.Context(), events[4:]); !errors.Is(err, refuse) {
		t.Errorf("got %v", err)
	}
	if got := s.Commits.Get(); got.Failed != 1 || got.Writes.Count() != 1 {
		t.Errorf("got %d failed of %d", got.Failed, got.Writes.Count())
	}
}
