package event

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// TestSkip: a skipped delivery is dead, keeps its attempts and names its last failure.
func TestSkip(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		before Delivery
		want   string
	}{
		{"never tried", Delivery{Handler: "h", Seq: 3}, "an operator skipped the event for this handler"},
		{"after two attempts", Delivery{Handler: "h", Seq: 3, Status: StatusRetrying, Attempts: 2, ErrorClass: ClassTrap, ErrorMessage: "unreachable",
			Due: now.Add(time.Hour), Logs: []spec.GuestLine{{Message: "line"}}},
			"an operator skipped the event for this handler; its last attempt failed with trap: unreachable"},
	} {
		got := tt.before.Skip(now)
		if got.Status != StatusDead || got.ErrorClass != ClassSkipped || got.ErrorMessage != tt.want || !got.At.Equal(now) || !got.Due.IsZero() || got.Logs != nil ||
			got.Handler != "h" || got.Seq != 3 || got.Attempts != tt.before.Attempts {
			t.Errorf("%s: got %+v", tt.name, got)
		}
		if _, kept := got.Past(); kept {
			t.Errorf("%s: it counts as an attempt", tt.name)
		}
	}
}

// TestUnread counts the events one by one.
func TestUnread(t *testing.T) {
	const last = 9
	replays := []*Replay{nil}
	for to := uint64(1); to <= last; to++ {
		for resume := uint64(0); resume <= last; resume++ {
			replays = append(replays, &Replay{From: 1, To: to, Resume: resume})
		}
	}
	for _, r := range replays {
		for readTo := range uint64(last + 3) {
			want := uint64(0)
			for seq := readTo + 1; seq <= last; seq++ {
				if !r.Skips(seq) {
					want++
				}
			}
			for done := range 4 {
				if got := r.Unread(readTo, last, done); got != want-min(want, uint64(done)) {
					t.Fatalf("%+v, read to %d, %d done: got %d, want %d less those", r, readTo, done, got, want)
				}
			}
		}
	}
}

func TestSampled(t *testing.T) {
	for seq, want := range map[uint64]bool{0: false, 3: false, 4: true, 5: true, 6: true, 7: false} {
		if got := (Sampled{From: 4, To: 6}).Has(seq); got != want {
			t.Errorf("%d: got %v", seq, got)
		}
	}
	if (Sampled{}).Has(0) {
		t.Error("an empty range has a Seq")
	}
}
