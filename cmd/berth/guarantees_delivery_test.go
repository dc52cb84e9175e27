package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// checkAbsences publishes while the handler is paused, disabled and away: it gets each event
// when it is back.
func checkAbsences(t *testing.T, s *guaranteeHost) {
	const path = "/api/v1/events/plugins/waiting"
	publish := func(key string) wire.Receipt {
		return s.publish(t, "waiting", map[string]string{"pointer": "/metadata/idempotency_key"}, map[string]any{"idempotency_key": key})
	}
	check := func(key string, r wire.Receipt) {
		if d := s.delivered(t, r.EventID, "waiting"); string(d.Result) != fmt.Sprintf(`{"text":%q}`, key) {
			t.Errorf("%s: the handler saw the key %s", key, d.Result)
		}
	}
	check("present", publish("present"))
	for _, off := range []struct {
		by, back string
		state    wire.PluginState
	}{{"pause", "resume", wire.Paused}, {"disable", "enable", wire.Disabled}} {
		s.do(t, "POST", path+"/"+off.by, nil)
		s.awaitState(t, "waiting", off.state)
		r := publish(off.by)
		s.delivery(t, r.EventID, "waiting", "pending")
		s.do(t, "POST", path+"/"+off.back, nil)
		check(off.by, r)
	}
	file := filepath.Join(s.plugins, "waiting.wasm")
	for _, name := range []string{file, file + ".json"} {
		if err := os.Rename(name, name+".away"); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the plugin is away", func() error {
		if status := s.try(t, "GET", path, nil, new(any)); status != http.StatusNotFound {
			return fmt.Errorf("got %d", status)
		}
		return nil
	})
	r := publish("away")
	for _, name := range []string{file + ".json", file} {
		if err := os.Rename(name+".away", name); err != nil {
			t.Fatal(err)
		}
	}
	check("away", r)
}

// checkOrderPerKey publishes numbered events of several subjects, of which every third fails
// twice: the handler, in eight instances, sees each subject's events in order, and each
// successful attempt once.
func checkOrderPerKey(t *testing.T, s *guaranteeHost) {
	const subjects, numbers = 4, 30
	var list []map[string]any
	for n := 1; n <= numbers; n++ {
		for subject := range subjects {
			data := map[string]any{"n": n}
			if n%3 == 0 {
				data["fail"] = 2
			}
			list = append(list, map[string]any{"event_type": "ordered", "data": data, "metadata": map[string]any{"subject": fmt.Sprint("subject-", subject)}})
		}
	}
	for _, id := range s.publishAll(t, list) {
		s.delivered(t, id, "ledger")
	}
	var seen sightings
	for subject := range subjects {
		name := fmt.Sprint("subject-", subject)
		seen.add(t, name, s.ledger(t, name), func(n int) int { return n - 1 }, numbers)
	}
	if seen.again != 0 || seen.attempts != subjects*numbers*5/3 {
		t.Errorf("the handler saw %d attempts, %d of them after a success; want %d and none", seen.attempts, seen.again, subjects*numbers*5/3)
	}
}

// checkFailures gives one event to handlers that handle, reject, postpone and trap it: none waits
// for another. The dead letters say why, and are delivered again.
func checkFailures(t *testing.T, s *guaranteeHost) {
	r := s.publish(t, "failing", map[string]any{"trap": true, "status": "x"}, nil)
	s.delivery(t, r.EventID, "retrying", "retrying")
	if d := s.delivered(t, r.EventID, "healthy"); d.Attempts != 1 {
		t.Errorf("the handler that succeeds: got %+v", d)
	}
	for handler, want := range map[string]wire.DeadLetter{
		"rejecting": {Reason: "rejected", Attempts: 1, Error: &wire.DeliveryError{Class: "rejected", Message: "this handler rejects everything"}},
		"trapping":  {Reason: "attempts", Attempts: 3, Error: &wire.DeliveryError{Class: "trap"}},
	} {
		var dead wire.List[wire.DeadLetter]
		await(t, "there is a dead letter of "+handler, func() error {
			if s.get(t, "/api/v1/events/dead-letters?plugin="+handler, &dead); len(dead.Items) != 1 {
				return fmt.Errorf("got %+v", dead.Items)
			}
			return nil
		})
		got := dead.Items[0]
		if got.EventID != r.EventID || got.Reason != want.Reason || got.Attempts != want.Attempts || got.Error == nil || got.Error.Class != want.Error.Class ||
			!strings.HasPrefix(got.Error.Message, want.Error.Message) {
			t.Errorf("%s: got %+v, %+v, want %+v", handler, got, got.Error, want)
		}
		var redriven wire.Redriven
		if status := s.try(t, "POST", "/api/v1/events/dead-letters/redrive", wire.DeadLetterFilter{Plugin: handler}, &redriven); status != 0 || redriven.Redriven != 1 {
			t.Fatalf("%s: redrive: got %d, %+v", handler, status, redriven)
		}
		await(t, "the dead letter is delivered again", func() error {
			if d := s.delivery(t, r.EventID, handler, "dead"); len(d.History) != 2*want.Attempts {
				return fmt.Errorf("%d attempts", len(d.History))
			}
			return nil
		})
	}
}

// checkHistory looks for the outcome of every delivery, with what belongs to it.
func checkHistory(t *testing.T, s *guaranteeHost) {
	list := make([]map[string]any, 60)
	for i := range list {
		list[i] = map[string]any{"event_type": "noted", "data": map[string]any{"pointer": "/data/text", "text": fmt.Sprint("text ", i)}}
	}
	for i, id := range s.publishAll(t, list) {
		if d := s.delivered(t, id, "echoing"); d.Attempts != 1 || string(d.Result) != fmt.Sprintf(`{"text":"text %d"}`, i) {
			t.Errorf("event %d: got %+v with %s", i, d, d.Result)
		}
		d := s.delivered(t, id, "retrying-once")
		if d.Attempts != 2 || string(d.Result) != `{"attempt":2}` || len(d.History) != 2 || d.History[0].Error == nil || d.History[0].Fuel == 0 {
			t.Errorf("event %d: got %+v with %s", i, d, d.Result)
		}
	}
}

// checkBatches has 100 events handled in one call, of which three fail: those are tried again
// alone, and the others are done, once.
func checkBatches(t *testing.T, s *guaranteeHost) {
	fails := map[int]bool{7: true, 50: true, 93: true}
	list := make([]map[string]any, 100)
	for i := range list {
		list[i] = map[string]any{"event_type": "part", "data": map[string]bool{"fail": fails[i]}, "metadata": map[string]any{"subject": fmt.Sprint("s-", i)}}
	}
	for i, id := range s.publishAll(t, list) {
		want, attempts := `{"events":100,"attempt":1}`, 1
		if fails[i] {
			want, attempts = `{"events":1,"attempt":2}`, 2
		}
		if d := s.delivered(t, id, "parts"); d.Attempts != attempts || string(d.Result) != want {
			t.Errorf("event %d: %+v with %s, want %s", i, d, d.Result, want)
		}
	}
}

// checkBreaker makes a handler trap until its breaker opens: it probes by itself, and after the
// handler is repaired it has every event.
func checkBreaker(t *testing.T, s *guaranteeHost) {
	var ids []string
	for range 6 { // two in each of three shards
		ids = append(ids, s.publish(t, "breaking", map[string]bool{"trap": true}, nil).EventID)
	}
	s.awaitState(t, "breaking", wire.BreakerOpen)
	failed := s.showPlugin(t, "breaking").Failed
	await(t, "it probes", func() error {
		if p := s.showPlugin(t, "breaking"); p.Failed <= failed {
			return fmt.Errorf("%d attempts failed", p.Failed)
		}
		return nil
	})
	ids = append(ids, s.publish(t, "breaking", 1, nil).EventID)
	write(t, filepath.Join(s.plugins, "breaking.wasm"), guest(t, "count"))
	for _, id := range ids {
		s.delivered(t, id, "breaking")
	}
}

// checkChildren has a handler emit in an attempt that fails and in one that succeeds, and in a
// replay: the children are there once.
func checkChildren(t *testing.T, s *guaranteeHost) {
	const children = 2
	awaitChildren := func(n int) []wire.Event { // a moment after their parent's outcome is shown
		var list []wire.Event
		await(t, fmt.Sprintf("%d children are in the log", n), func() error {
			if list = s.eventsOf(t, "child"); len(list) < n {
				return fmt.Errorf("%d are there", len(list))
			}
			return nil
		})
		if len(list) > n {
			t.Errorf("%d children are in the log, want %d", len(list), n)
		}
		return list
	}
	r := s.publish(t, "parent", map[string]any{"children": children, "retry": 1}, nil)
	s.delivered(t, r.EventID, "emitting")
	for _, ev := range awaitChildren(children) {
		if id := metadataOf(t, ev).CausationID; id != r.EventID {
			t.Errorf("a child was caused by %s, want %s", id, r.EventID)
		}
	}
	before := s.showPlugin(t, "emitting").Delivered
	s.do(t, "POST", "/api/v1/events/replay", wire.Replay{Plugin: "emitting", From: "earliest"})
	await(t, "the parent is delivered again", func() error {
		if p := s.showPlugin(t, "emitting"); p.Delivered <= before || p.Lag != 0 {
			return fmt.Errorf("got %+v", p)
		}
		return nil
	})
	r = s.publish(t, "parent", map[string]any{}, nil)
	s.delivered(t, r.EventID, "emitting")
	awaitChildren(children + 1)
}
