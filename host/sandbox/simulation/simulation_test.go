package simulation

import (
	"bytes"
	"testing"
	"time"
)

// The simulated clocks advance by a tick at each reading and begin anew with each event.
func TestSimulatedClocks(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := New(&Config{Start: began})
	if got := s.Realtime().Sub(began); got != time.Microsecond {
		t.Errorf("the first reading is %s after the start", got)
	}
	if first, second := s.Monotonic(), s.Monotonic(); first <= time.Second || second-first != time.Microsecond {
		t.Errorf("the monotonic clock reads %s and %s", first, second)
	}
	s.elapsed += time.Hour
	s.BeginSpan()
	event := began.AddDate(1, 0, 0)
	s.BeginEvent(event)
	if got := s.Realtime().Sub(event); got != time.Microsecond {
		t.Errorf("the first reading is %s after the event's time", got)
	}
	s.elapsed += 2 * time.Second
	if got := s.Left(5 * time.Second); got != 3*time.Second-time.Microsecond {
		t.Errorf("%s of 5s are left", got)
	}
}

func TestSimulatedRandomBytesFollowTheSeed(t *testing.T) {
	read := func(seed uint64) []byte {
		r := New(&Config{Seed: seed}).Random
		b := make([]byte, 16)
		if _, err := r.Read(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if first := read(1); !bytes.Equal(first, read(1)) || bytes.Equal(first, read(2)) {
		t.Error("the bytes do not follow the seed")
	}
}
