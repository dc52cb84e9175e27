package view

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// breaking is an open breaker that probes after a time.
type breaking time.Duration

func (breaking) Failed() string                  { return "five failures" }
func (b breaking) Waits(time.Time) time.Duration { return time.Duration(b) }

func TestWaitingFor(t *testing.T) {
	for _, tt := range []struct {
		got  *wire.WaitingFor
		want string
	}{
		{Paused(noon), `{"kind":"pause","reason":"the handler was paused at 2026-01-02T12:00:00Z"}`},
		{Behind("e1"), `{"kind":"key","event_id":"e1","reason":"an earlier event of its key is not final"}`},
		{Behind(""), `{"kind":"key","reason":"an earlier event of its key is not final"}`},
		{DueAt(noon), `{"kind":"retry","until":"2026-01-02T12:00:00Z","reason":"its next attempt is due then"}`},
		{BreakerOpen(breaking(time.Minute), noon), `{"kind":"breaker","until":"2026-01-02T12:01:00Z","reason":"five failures"}`},
		{BreakerOpen(breaking(0), noon), `{"kind":"breaker","reason":"five failures"}`},
		{Busy(false, false), `{"kind":"instance","reason":"all instances are at work, or one is being started"}`},
		{Busy(true, true), `{"kind":"instance","reason":"a replay is being started"}`},
		{Busy(false, true), `{"kind":"instance","reason":"no attempt starts until outcomes of earlier events are written"}`},
		{Unread("stuck at event 3: it is damaged"), `{"kind":"stuck","reason":"stuck at event 3: it is damaged"}`},
		{Unread(""), `{"kind":"backlog","reason":"the handler has not read it yet"}`},
	} {
		got, err := json.Marshal(tt.got)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
