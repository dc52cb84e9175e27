package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
)

// steppedSchedule is a memory engine whose mover sees a clock that can be set.
type steppedSchedule struct {
	*bus.Memory
	step  atomic.Int64 // what the clock is ahead, in nanoseconds
	fails atomic.Int64 // calls of MoveDue that fail from now on
}

func (s *steppedSchedule) MoveDue(ctx context.Context, now time.Time, limit int) (int, time.Time, error) {
	if s.fails.Add(-1) >= 0 {
		return 0, time.Time{}, errors.New("injected")
	}
	step := time.Duration(s.step.Load())
	moved, next, err := s.Memory.MoveDue(ctx, now.Add(step), limit)
	if !next.IsZero() {
		next = next.Add(-step)
	}
	return moved, next, err
}

// TestMover: events are moved when they are due, also one that is due before all others, when
// the clock was set, and after errors.
func TestMover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steppedSchedule{Memory: newMemory(t, bus.MemoryConfig{})}
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			bus.Mover{Log: s, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&out, nil))}.Run(ctx)
		}()
		begin := time.Now()
		accept := func(key string, after time.Duration) {
			t.Helper()
			ev := logtest.Make(t, event.Draft{IdempotencyKey: key, Deferral: event.Deferral{After: after}})
			if _, err := s.Append(ctx, []*event.Event{ev}); err != nil {
				t.Fatal(err)
			}
		}
		last := func(after time.Duration, want uint64) {
			t.Helper()
			time.Sleep(time.Until(begin.Add(after))) // virtual time
			synctest.Wait()
			if got := s.Last(); got != want {
				t.Errorf("after %v the log has %d events, want %d", after, got, want)
			}
		}
		accept("minute", time.Minute)
		accept("hour", time.Hour)
		last(time.Second, 0)
		accept("seconds", 9*time.Second) // 10 s after the begin
		for range 600 {                  // more than one batch
			accept("", 9*time.Second)
		}
		last(10*time.Second-1, 0)
		last(10*time.Second, 601)
		last(time.Minute, 602)
		s.step.Store(int64(2 * time.Hour)) // the clock is set ahead
		last(time.Minute+5*time.Second, 603)
		s.step.Store(0) // and back
		accept("again", time.Minute)
		s.fails.Store(3)
		last(3*time.Minute, 604)
		cancel()
		<-ended
		if n := strings.Count(out.String(), "injected"); n != 1 {
			t.Errorf("logged %d errors, want the first: %s", n, &out)
		}
	})
}

// damagedSchedule reports with each full call that other events cannot be read.
type damagedSchedule struct{ *bus.Memory }

func (s damagedSchedule) MoveDue(ctx context.Context, now time.Time, limit int) (int, time.Time, error) {
	moved, next, err := s.Memory.MoveDue(ctx, now, limit)
	if err == nil && moved > 0 {
		err = errors.New("another one cannot be read")
	}
	return moved, next, err
}

// TestMoverContinuesBesideDamage: while each call moves as many events as it may, the mover does
// not wait because there are others that cannot be read.
func TestMoverContinuesBesideDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := damagedSchedule{newMemory(t, bus.MemoryConfig{})}
		const events = 2000
		for range events {
			ev, err := event.New(event.Draft{Type: "later", Deferral: event.Deferral{After: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Append(t.Context(), []*event.Event{ev}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			bus.Mover{Log: s, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}.Run(ctx)
			close(ended)
		}()
		time.Sleep(time.Minute + 100*time.Millisecond) // virtual time
		synctest.Wait()
		if n := s.Last(); n < events-256 {
			t.Errorf("%d of %d events are moved in the first moment", n, events)
		}
		cancel()
		<-ended
	})
}

// A mover follows the clock that it is given: that of a host may be wrong.
func TestMoverFollowsItsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, bus.MemoryConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			bus.Mover{Log: m, Now: func() time.Time { return time.Now().Add(-time.Hour) }, Logger: slog.New(slog.DiscardHandler)}.Run(ctx)
		}()
		if _, err := m.Append(ctx, []*event.Event{logtest.Make(t, event.Draft{Deferral: event.Deferral{After: time.Minute}})}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour) // virtual time
		if got := m.Last(); got != 0 {
			t.Errorf("by the clock of the mover nothing is due, but event %d is in the log", got)
		}
		<-time.After(time.Minute + time.Millisecond)
		synctest.Wait()
		if got := m.Last(); got != 1 {
			t.Errorf("the event is due, but %d events are in the log", got)
		}
		cancel()
		<-ended
	})
}
