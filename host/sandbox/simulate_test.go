package sandbox

import (
	"bytes"
	"testing"
	"time"
)

// The simulated clocks advance by a tick at each reading and begin anew with each event.
func TestSimulatedClocks(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSimulated(&Simulation{Start: began})
	if got := s.realtime().Sub(began); got != time.Microsecond {
		t.Errorf("the first reading is %s after the start", got)
	}
	if first, second := s.monotonic(), s.monotonic(); first <= time.Second || second-first != time.Microsecond {
		t.Errorf("the monotonic clock reads %s and %s", first, second)
	}
	s.elapsed += time.Hour
	s.beginSpan()
	event := began.AddDate(1, 0, 0)
	s.beginEvent(event)
	if got := s.realtime().Sub(event); got != time.Microsecond {
		t.Errorf("the first reading is %s after the event's time", got)
	}
	s.elapsed += 2 * time.Second
	if got := s.left(5 * time.Second); got != 3*time.Second-time.Microsecond {
		t.Errorf("%s of 5s are left", got)
	}
}

func TestSimulatedRandomBytesFollowTheSeed(t *testing.T) {
	read := func(seed uint64) []byte {
		r := randomQuota{source: newSimulated(&Simulation{Seed: seed}).random}
		b := make([]byte, 16)
		if _, err := r.Read(b); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, maxRandom)); err == nil {
			t.Error("the quota does not apply")
		}
		return b
	}
	if first := read(1); !bytes.Equal(first, read(1)) || bytes.Equal(first, read(2)) {
		t.Error("the bytes do not follow the seed")
	}
}
