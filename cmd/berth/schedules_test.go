package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// TestScheduleOverKillNine kills the host of a schedule three times.
func TestScheduleOverKillNine(t *testing.T) { scheduleOverKills(t, sqliteEngine, 3) }

// scheduleOverKills has a schedule that is due each second, in a host that is killed:
// each due time from the first to the last has one event.
func scheduleOverKills(t *testing.T, engine string, kills int) {
	dir, config, plugins := workplace(t)
	write(t, config, []byte("plugin_directories: ["+plugins+"]\n"+busOf(t, engine)+"schedules: {often: {every: 1s, event_type: tick, missed: all}}\n"))
	s := serve(t, dir, config)
	want := 0
	for range kills {
		want += 2
		s.awaitTicks(t, want)
		s.kill()
		s = serve(t, dir, config)
		want = len(s.ticks(t))
	}
	s.awaitTicks(t, want+2)
	list := s.ticks(t)
	for i, at := range list {
		if i > 0 && at.Sub(list[i-1]) != time.Second {
			t.Errorf("%v comes after %v", at, list[i-1])
		}
	}
	t.Logf("%d kills; %d due times from %v to %v, each with one event", kills, len(list), list[0], list[len(list)-1])
	s.terminate(t)
}

// ticks returns the due times of the events, ascending.
func (s *server) ticks(t *testing.T) (list []time.Time) {
	t.Helper()
	var page wire.List[wire.Event]
	s.get(t, "/api/v1/events?type=tick&limit=500", &page)
	for _, ev := range page.Items {
		var meta event.Metadata
		if err := json.Unmarshal(ev.Metadata, &meta); err != nil {
			t.Fatal(err)
		}
		if want := "schedule:often:" + meta.Time.Format(time.RFC3339); meta.IdempotencyKey != want {
			t.Errorf("the key is %s, want %s", meta.IdempotencyKey, want)
		}
		list = append(list, meta.Time)
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
}

// awaitTicks waits until so many due times have an event.
func (s *server) awaitTicks(t *testing.T, n int) {
	t.Helper()
	await(t, fmt.Sprintf("there are %d events", n), func() error {
		if got := len(s.ticks(t)); got < n {
			return fmt.Errorf("%d are there", got)
		}
		return nil
	})
}
