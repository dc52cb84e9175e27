package obstacle_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestReasonHasNoPrivatePart(t *testing.T) {
	var s obstacle.Set
	lost := &fault.Error{Code: fault.Unavailable, Reason: "the connection is lost: dial db.internal", Private: "dial db.internal"}
	for range 2 {
		s.Failed(obstacle.Reader, fmt.Errorf("read: %w", lost), 7, time.Now())
	}
	if got, want := s.First().Reason, "stuck at event 8: read: the connection is lost"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestObstacle(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	temporary := errors.New("the disk is slow")
	damaged := fmt.Errorf("read: %w", &event.Unreadable{Seq: 3, Err: errors.New("it is damaged")})
	type step struct {
		part  obstacle.Part
		err   error // nil: it recovers
		at    string
		first string // the position of the first obstacle afterwards
		since int    // in seconds after noon
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"one failure may be temporary", []step{{obstacle.Reader, temporary, "", "", 0}, {obstacle.Reader, nil, "", "", 0}}},
		{"two in a row are not", []step{{obstacle.Reader, temporary, "", "", 0}, {obstacle.Reader, temporary, "event 8", "event 8", 1}}},
		{"two that are not in a row are", []step{{obstacle.Reader, temporary, "", "", 0}, {obstacle.Reader, nil, "", "", 0}, {obstacle.Reader, temporary, "", "", 0}}},
		{"of the feeder", []step{{obstacle.Feeder, temporary, "", "", 0}, {obstacle.Feeder, temporary, "its redriven events", "its redriven events", 1}}},
		{"an unreadable event is not temporary", []step{{obstacle.Reader, damaged, "event 3", "event 3", 0}}},
		{"it lasts since its first failure with a position", []step{{obstacle.Reader, temporary, "", "", 0}, {obstacle.Reader, temporary, "event 8", "event 8", 1},
			{obstacle.Reader, damaged, "event 3", "event 3", 1}}},
		{"the reader is first", []step{{obstacle.Feeder, damaged, "event 3", "event 3", 0}, {obstacle.Reader, temporary, "", "event 3", 0},
			{obstacle.Reader, temporary, "event 8", "event 8", 2}, {obstacle.Reader, nil, "", "event 3", 0}, {obstacle.Feeder, nil, "", "", 0}}},
	} {
		var s obstacle.Set
		failed := make(map[obstacle.Part]bool)
		for i, step := range tt.steps {
			if step.err == nil {
				delete(failed, step.part)
				if others := s.Recovered(step.part); others != (len(failed) > 0) {
					t.Errorf("%s, step %d: others %v", tt.name, i, others)
				}
			} else {
				failed[step.part] = true
				if at := s.Failed(step.part, step.err, 7, noon.Add(time.Duration(i)*time.Second)); at != step.at {
					t.Errorf("%s, step %d: it is at %q, want %q", tt.name, i, at, step.at)
				}
			}
			first := s.First()
			if first.At != step.first {
				t.Errorf("%s, step %d: the first is at %q, want %q", tt.name, i, first.At, step.first)
			}
			if first.At != "" && !first.Since.Equal(noon.Add(time.Duration(step.since)*time.Second)) {
				t.Errorf("%s, step %d: since %v, want %d s", tt.name, i, first.Since, step.since)
			}
		}
	}
}

// TestObstacleReason: a person reads the position and the error.
func TestObstacleReason(t *testing.T) {
	var s obstacle.Set
	for range 2 {
		s.Failed(obstacle.Reader, errors.New("no such luck"), 2, time.Time{})
	}
	if got, want := s.First().Reason, "stuck at event 3: no such luck"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
