package host

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
)

// configure has a host read a file with these settings of echo.
func (s *testHost) configure(former, settings string) {
	s.t.Helper()
	check(s.t, os.WriteFile(s.yaml, []byte(former+"handlers: {echo: {"+settings+"}}\n"), 0o600))
	check(s.t, s.host.Hangup(s.t.Context()))
}

// runsUnits reports whether the hosts together run exactly the units of a layout, each on one host.
func runsUnits(hosts []*testHost, layout shards.Layout) bool {
	for _, unit := range spec.EveryUnit("echo") {
		owners := 0
		for _, s := range hosts {
			if s.host.runner.Dispatcher.Runs(unit) {
				owners++
			}
		}
		if wanted := slices.Contains(layout.Units("echo"), unit); wanted != (owners == 1) || owners > 1 {
			return false
		}
	}
	return true
}

// TestShardsChangeWhileEventsFlow: two hosts run a handler of one shard, of four, of two with another
// order, and of one, while both publish. Each event is handled once, in the order of its subject.
func TestShardsChangeWhileEventsFlow(t *testing.T) {
	schema := pgtest.Schema(t)
	hosts := []*testHost{startMember(t, schema, "a"), startMember(t, schema, "b")}
	files := []string{hosts[0].text(), hosts[1].text()}
	published := 0
	publish := func() {
		var events []json.RawMessage
		for range 20 {
			events = append(events, json.RawMessage(fmt.Sprintf(`{"event_type":"order_placed","data":{"status":"new","group":"g%d"},`+
				`"metadata":{"subject":"s%d","idempotency_key":"e%d"}}`, published%3, published%9, published)))
			published++
		}
		hosts[published/20%2].publishAll(events)
	}
	for number, step := range []struct {
		settings string
		layout   shards.Layout
	}{
		{"paused: false", shards.New(1, "")},
		{"shards: 4", shards.New(4, "/metadata/subject")},
		{"shards: 2, order_by: /data/group", shards.New(2, "/data/group")},
		{"shards: 1", shards.New(1, "")},
	} {
		hosts[0].configure(files[0], step.settings)
		if number > 0 && hosts[0].host.live.Shards().Of("echo").Layout == step.layout {
			t.Error("the shards have changed before all hosts want it")
		}
		publish()
		hosts[1].configure(files[1], step.settings)
		eventually(t, "the hosts do not run "+step.layout.String(), func() bool {
			publish()
			g := hosts[0].host.live.Shards().Of("echo")
			return g.Number == uint64(number) && g.Layout == step.layout && runsUnits(hosts, step.layout)
		})
		publish()
	}
	log := hosts[1].host.engine
	newest, units := make(map[string]time.Time), make(map[string]bool)
	for seq := uint64(1); seq <= uint64(published); seq++ {
		records, err := log.Read(t.Context(), seq, 1)
		check(t, err)
		var list []event.Delivery
		eventually(t, fmt.Sprintf("event %d is not final", seq), func() bool {
			list, err = log.Deliveries(t.Context(), seq)
			return err == nil && len(list) > 0 && list[0].Status == event.StatusOK
		})
		if len(list) > 1 || list[0].Attempts != 1 {
			t.Errorf("event %d: got %+v", seq, list)
		}
		units[list[0].Handler] = true
		subject := records[0].Event.Subject()
		if at := list[0].At; at.Before(newest[subject]) {
			t.Errorf("event %d of %s is handled before an earlier one", seq, subject)
		} else {
			newest[subject] = at
		}
	}
	if len(units) != 5 {
		t.Errorf("the units %v have handled %d events, want the handler and four shards", units, published)
	}
}

// TestReopenedHandlerStopsAtTheCut: a handler that is switched off and on while its shards change
// leaves the events behind the cut to the next shards.
func TestReopenedHandlerStopsAtTheCut(t *testing.T) {
	s := startMember(t, pgtest.Schema(t), "a")
	file := s.text()
	s.delivered(publishEvents(t, s, 0, 20))
	s.configure(file, "paused: true")
	publishEvents(t, s, 20, 30)
	// An outcome ahead of the cursor, as of parallel attempts, is the cut; event 21 is open.
	_, _, err := s.host.engine.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "echo", Seq: 22, Status: event.StatusDead, Attempts: 1, At: time.Now()}}, nil)
	check(t, err)
	s.configure(file, "paused: true, shards: 4")
	eventually(t, "the handler does not drain", func() bool {
		g := s.host.live.Shards().Of("echo")
		return g.Stage == shards.Draining && g.Cut == 22 && s.runsEcho()
	})
	for range 5 {
		s.configure(file, "enabled: false, paused: true, shards: 4")
		eventually(t, "the handler is not closed", func() bool { return !s.host.runner.Dispatcher.IsOpen("echo") })
		s.configure(file, "paused: true, shards: 4")
		eventually(t, "the handler does not run again", s.runsEcho)
	}
	s.configure(file, "shards: 4")
	for seq := uint64(23); seq <= 50; seq++ {
		var list []event.Delivery
		eventually(t, fmt.Sprintf("no new shard has delivered event %d", seq), func() bool {
			list, err = s.host.engine.Deliveries(t.Context(), seq)
			return err == nil && slices.ContainsFunc(list, func(d event.Delivery) bool { return spec.PluginOf(d.Handler) != d.Handler })
		})
		if len(list) != 1 {
			t.Errorf("event %d: got %+v", seq, list)
		}
	}
}
