package schedules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestEventOfADueTime(t *testing.T) {
	m := newMachine("2026-01-01T10:00:30Z")
	r := m.start(t, spec.Schedule{Name: "nightly", Cron: "2 10 * * *", Type: "report_due", Subject: "reports", Data: []byte(`{"kind": "x"}`)})
	step(t, r)
	m.to("10:02:03")
	step(t, r)
	if len(m.events) != 1 {
		t.Fatalf("got %d events", len(m.events))
	}
	ev := m.events[0]
	meta := ev.Metadata()
	if meta.IdempotencyKey != "schedule:nightly:2026-01-01T10:02:00Z" || meta.Source != "schedule:nightly" || ev.Type() != "report_due" ||
		ev.Subject() != "reports" || ev.Data() != `{"kind":"x"}` || !ev.Time().Equal(m.clock.Truncate(time.Minute)) ||
		ev.Origin().Publisher.Source != "schedule:nightly" {
		t.Errorf("got %s from %+v", ev.Envelope(), ev.Origin())
	}
	s := r.List()[0]
	if s.LastEventID != ev.ID() || !s.LastDueAt.Equal(ev.Time()) || !s.LastRunAt.Equal(m.clock) || s.Published != 1 || s.MissedRuns != 0 || s.LastError != "" ||
		s.NextDueAt.Format(time.RFC3339) != "2026-01-02T10:02:00Z" || s.Zone != "UTC" || s.Missed != "skip" {
		t.Errorf("got %+v", s)
	}
}

func TestNewScheduleStartsNow(t *testing.T) {
	m := newMachine("2026-01-01T10:00:30Z")
	step(t, m.start(t, every(time.Minute, spec.MissedAll)))
	m.to("10:02:10") // another host: what was due since the first one is missed
	step(t, m.start(t, every(time.Minute, spec.MissedAll)))
	if got := m.published(); got != "10:01 10:02" {
		t.Errorf("got %s", got)
	}
}

func TestMissedDueTimes(t *testing.T) {
	for missed, want := range map[spec.Missed]struct {
		published string
		missed    uint64
	}{
		"":              {"10:10 10:30", 1},
		spec.MissedSkip: {"10:10 10:30", 1},
		spec.MissedOnce: {"10:10 10:20 10:30", 0},
		spec.MissedAll:  {"10:10 10:20 10:30", 0},
	} {
		m := newMachine("2026-01-01T10:05:00Z")
		r := m.start(t, every(10*time.Minute, missed))
		step(t, r)
		m.to("10:10:01")
		step(t, r)
		m.to("10:30:50") // the one of 10:30 is less than a minute late
		r = m.start(t, every(10*time.Minute, missed))
		step(t, r)
		step(t, r)
		if got := m.published(); got != want.published || r.List()[0].MissedRuns != want.missed {
			t.Errorf("%s: got %s, %d missed, want %+v", missed, got, r.List()[0].MissedRuns, want)
		}
	}
}

func TestLongAbsence(t *testing.T) {
	for missed, want := range map[spec.Missed]int{spec.MissedSkip: 0, spec.MissedOnce: 1, spec.MissedAll: spec.MaxMissed} {
		m := newMachine("2026-01-01T10:00:00Z")
		s := spec.Schedule{Name: "a", Cron: "0,30 * * * *", Missed: missed}
		step(t, m.start(t, s))
		m.clock = m.clock.Add(100*24*time.Hour + 10*time.Minute)
		r := m.start(t, s)
		step(t, r)
		if got := len(m.events); got != want || r.List()[0].MissedRuns != uint64(4800-want) {
			t.Errorf("%s: got %d events, %d missed, want %d", missed, got, r.List()[0].MissedRuns, want)
		}
		if want > 0 && !m.events[want-1].Time().Equal(m.clock.Truncate(30*time.Minute)) {
			t.Errorf("%s: the last is of %v", missed, m.events[want-1].Time())
		}
	}
}

// TestRestartsAndClockSteps is a schedule over three restarts and steps of the clock forward and back: it
// publishes each due time once.
func TestRestartsAndClockSteps(t *testing.T) {
	m := newMachine("2026-01-01T10:00:00Z")
	s := every(time.Minute, spec.MissedAll)
	r := m.start(t, s)
	for i, clock := range []string{
		"10:01:00", "10:02:00", "restart", "10:02:30", "10:05:30", "restart", "10:05:31", "10:06:00",
		"10:20:00" /* forward */, "10:07:00" /* and back */, "10:08:00", "restart", "10:08:01", "10:10:00", "10:21:00", "10:21:59", "09:00:00", "10:21:59",
	} {
		if clock == "restart" {
			r = m.start(t, s)
		} else {
			m.to(clock)
		}
		step(t, r)
		if again, _ := r.plan(t, "a").Between(r.entry("a").now.After, m.clock, 10); len(again) > 0 {
			t.Errorf("step %d leaves %v", i, again)
		}
	}
	var want []string
	for minute := 1; minute <= 21; minute++ {
		want = append(want, fmt.Sprintf("10:%02d", minute))
	}
	got := strings.Fields(m.published())
	slices.Sort(got)
	if !slices.Equal(slices.DeleteFunc(got, func(s string) bool { return s < "10:01" }), want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func (r *Runner) plan(t testing.TB, name string) *Plan {
	t.Helper()
	return r.entry(name).Timed.plan
}

// TestEveryDueTimeIsPublishedOnce drives a schedule through random crashes at each step, failures, restarts
// and steps of the clock: with the policy all, each due time that the clock has passed is published exactly once.
func TestEveryDueTimeIsPublishedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine("2026-01-01T10:00:00Z")
		s := every(10*time.Second, spec.MissedAll)
		r := m.start(t, s)
		step(t, r)
		first, latest := m.clock, m.clock
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0:
				r = m.start(t, s)
			case 1:
				m.publishFails = errors.New("the disk is full")
			case 2:
				m.putFails = errors.New("the disk is full")
			case 3:
				m.loseReceipts = true
			case 4:
				m.clock = m.clock.Add(-time.Duration(rapid.IntRange(0, 300).Draw(rt, "back")) * time.Second)
				if m.clock.Before(first) {
					m.clock = first
				}
			default:
				m.clock = m.clock.Add(time.Duration(rapid.IntRange(0, 120).Draw(rt, "forward")) * time.Second)
			}
			if m.clock.After(latest) {
				latest = m.clock
			}
			_, _ = r.step(t.Context()) // it fails as chosen
			m.publishFails, m.putFails = nil, nil
		}
		m.clock, m.loseReceipts = latest, false
		r = m.start(t, s)
		step(t, r)
		want := int(latest.Sub(first) / (10 * time.Second))
		if len(m.events) != want {
			rt.Fatalf("got %d events, want %d: %s", len(m.events), want, m.published())
		}
	})
}

// TestCrashBetweenEventAndPosition is the pair of faults of one step: the event is stored and the position
// is not, or neither is.
func TestCrashBetweenEventAndPosition(t *testing.T) {
	for name, fails := range map[string]func(*machine){
		"the log refuses":        func(m *machine) { m.publishFails = errors.New("no") },
		"the answer is lost":     func(m *machine) { m.loseReceipts = true },
		"the position is lost":   func(m *machine) { m.putFails = errors.New("no") },
		"the log closes for now": func(m *machine) { m.publishFails = fault.New(fault.Unavailable, "closed") },
	} {
		m := newMachine("2026-01-01T10:00:00Z")
		r := m.start(t, every(time.Minute, spec.MissedSkip))
		step(t, r)
		m.to("10:01:00")
		fails(m)
		if _, err := r.step(t.Context()); err == nil {
			t.Errorf("%s: it succeeded", name)
		}
		m.publishFails, m.putFails = nil, nil
		m.to("10:01:30")
		r = m.start(t, every(time.Minute, spec.MissedSkip))
		step(t, r)
		if got := m.published(); got != "10:01" || r.List()[0].LastDueAt == nil {
			t.Errorf("%s: got %q, %+v", name, got, r.List()[0])
		}
	}
}

func TestFailureIsShownUntilTheNextEvent(t *testing.T) {
	m := newMachine("2026-01-01T10:00:00Z")
	r := m.start(t, every(time.Minute, ""))
	step(t, r)
	m.to("10:01:00")
	m.publishFails = &fault.Error{Code: fault.Unavailable, Reason: "the connection is lost: dial db.internal", Private: "dial db.internal"}
	if _, err := r.step(t.Context()); err == nil {
		t.Fatal("it succeeded")
	}
	if s := r.List()[0]; s.LastError != "the connection is lost" || s.Failed != 1 || !s.LastErrorAt.Equal(m.clock) {
		t.Errorf("got %+v", s)
	}
	m.publishFails = nil
	m.to("10:01:59")
	step(t, r)
	if s := r.List()[0]; s.LastError != "" || s.LastErrorAt != nil || s.Failed != 1 || s.Published != 1 {
		t.Errorf("got %+v", s)
	}
}

// TestRefusedEventIsNotTriedAgain: an event that its type refuses does not stop later ones.
func TestRefusedEventIsNotTriedAgain(t *testing.T) {
	m := newMachine("2026-01-01T10:00:00Z")
	refused := fault.Field("data/n", "must be a text")
	r := m.start(t, every(time.Minute, ""))
	r.cfg.Publish = func(context.Context, []*event.Event) ([]event.Receipt, error) {
		return []event.Receipt{{Err: refused}}, nil
	}
	step(t, r)
	m.to("10:01:00")
	step(t, r)
	if s := r.List()[0]; s.LastError != refused.Error() || !s.NextDueAt.Equal(m.clock.Add(time.Minute)) || s.LastDueAt != nil {
		t.Errorf("got %+v", s)
	}
}

func TestChangedContentOfAPublishedDueTime(t *testing.T) {
	m := newMachine("2026-01-01T10:00:00Z")
	r := m.start(t, every(time.Minute, ""))
	step(t, r)
	m.to("10:01:00")
	m.putFails = errors.New("crash")
	_, _ = r.step(t.Context())
	m.putFails = nil
	changed := every(time.Minute, "")
	changed.Data = []byte(`{"n":2}`)
	r = m.start(t, changed)
	step(t, r)
	m.to("10:02:00")
	step(t, r)
	if got := m.published(); got != "10:01 10:02" || m.events[1].Data() != `{"n":2}` {
		t.Errorf("got %s", got)
	}
}

func TestReloads(t *testing.T) {
	m := newMachine("2026-01-01T10:00:30Z")
	r := m.start(t, every(time.Minute, spec.MissedAll))
	step(t, r)
	paused := every(time.Minute, spec.MissedAll)
	paused.Paused = true
	r.Set(timed(t, paused))
	step(t, r)
	if s := r.List()[0]; s.NextDueAt != nil || !s.Paused {
		t.Errorf("got %+v", s)
	}
	m.to("10:05:30")
	r = m.start(t, every(time.Minute, spec.MissedAll)) // it was paused when the former host stopped
	step(t, r)
	m.to("10:06:00")
	step(t, r)
	r.Set(timed(t, every(10*time.Minute, spec.MissedAll))) // other due times: it starts now
	step(t, r)
	m.to("10:10:00")
	step(t, r)
	r.Set(nil)
	m.to("10:20:00")
	step(t, r)
	if len(m.documents) != 0 {
		t.Errorf("got %v", m.documents)
	}
	r.Set(timed(t, every(10*time.Minute, spec.MissedAll)))
	m.to("10:30:00")
	step(t, r)
	if got := m.published(); got != "10:06 10:10 10:30" {
		t.Errorf("got %s", got)
	}
}

// TestReloadDuringAStep: what the step publishes counts for the schedule of the same due times.
func TestReloadDuringAStep(t *testing.T) {
	m := newMachine("2026-01-01T10:00:30Z")
	r := m.start(t, every(time.Minute, ""))
	step(t, r)
	r.cfg.Publish = func(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
		r.Set(timed(t, every(time.Minute, "")))
		return m.publish(ctx, events)
	}
	m.to("10:01:00")
	step(t, r)
	if s := r.List()[0]; s.Published != 1 || !s.NextDueAt.Equal(m.clock.Add(time.Minute)) {
		t.Errorf("got %+v", s)
	}
}

func TestManySchedulesAreGrouped(t *testing.T) {
	m := newMachine("2026-01-01T10:00:30Z")
	var list []spec.Schedule
	for i := range 600 {
		s := every(time.Minute, "")
		s.Name = fmt.Sprint("s", i)
		list = append(list, s)
	}
	r := m.start(t, list...)
	step(t, r)
	calls := 0
	r.cfg.Publish = func(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
		calls++
		return m.publish(ctx, events)
	}
	m.to("10:01:00")
	step(t, r)
	if len(m.events) != 600 || calls != 3 {
		t.Errorf("got %d events in %d calls", len(m.events), calls)
	}
}

func TestRunNow(t *testing.T) {
	m := newMachine("2026-01-01T10:00:30Z")
	paused := every(time.Minute, "")
	paused.Paused = true
	r := m.start(t, paused)
	for range 2 {
		run, err := r.RunNow(t.Context(), "a", spec.Publisher{Token: "t", Name: "ci"})
		if err != nil || run.Schedule != "a" || !strings.HasPrefix(run.IdempotencyKey, "schedule:a:run:") {
			t.Fatalf("got %+v, %v", run, err)
		}
	}
	if got, want := m.events[1].Origin().Publisher, (spec.Publisher{Token: "t", Name: "ci", Source: "schedule:a"}); len(m.events) != 2 || got != want {
		t.Errorf("got %d events, by %+v", len(m.events), got)
	}
	if _, err := r.RunNow(t.Context(), "b", spec.Publisher{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	m.publishFails = fault.New(fault.Exhausted, "full")
	if _, err := r.RunNow(t.Context(), "a", spec.Publisher{}); !fault.Is(err, fault.Exhausted) {
		t.Errorf("got %v", err)
	}
}

func TestCompileListsProblems(t *testing.T) {
	refused := func(ev *event.Event) error {
		if ev.Type() == "strict" {
			return fault.Field("data/n", "must be a text")
		}
		return nil
	}
	list, problems := Compile([]spec.Schedule{{Name: "a", Type: "ok", Every: time.Hour}, {Name: "b", Type: "Not a type", Every: time.Hour},
		{Name: "c", Type: "ok", Cron: "0 0 30 2 *"}, {Name: "d", Type: "strict", Every: time.Hour, Data: []byte(`{"n":1}`)}}, refused)
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprint(p.Index, p.Field))
	}
	if len(list) != 1 || !slices.Equal(got, []string{"1event_type", "2cron", "3data/n"}) {
		t.Errorf("got %v, %v", list, problems)
	}
}

// TestRunFollowsTheClock runs for an hour of fake time, with failures in between.
func TestRunFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine("2026-01-01T10:00:00Z")
		r := m.start(t)
		r.cfg.Now = time.Now
		var lag time.Duration
		r.cfg.Publish = func(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
			if now := time.Now(); now.Minute() == 30 && now.Second() < 20 {
				return nil, errors.New("the disk is full")
			}
			for _, ev := range events {
				lag = max(lag, time.Since(ev.Time()))
			}
			return m.publish(ctx, events)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx)
		}()
		r.Set(timed(t, every(7*time.Second, "")))
		time.Sleep(time.Hour)
		cancel()
		<-done
		if n := len(m.events); n < 3600/7-1 || n > 3600/7+1 || lag > 50*time.Second {
			t.Errorf("got %d events, at most %v late", n, lag)
		}
	})
}
