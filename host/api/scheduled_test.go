package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// newSchedule returns an engine with two scheduled events, "later-1" and "later-2", and a
// cancelled one, "gone".
func newSchedule() *bus.Memory {
	m := bus.NewMemory(bus.MemoryConfig{})
	var list []*event.Event
	for i, key := range []string{"later-1", "later-2", "gone"} {
		ev, err := event.New(event.Draft{Type: "reminder", Subject: "s-" + key, IdempotencyKey: key,
			Deferral: event.Deferral{After: time.Duration(i+1) * time.Hour}})
		if err != nil {
			panic(err)
		}
		list = append(list, ev)
	}
	ctx := context.Background()
	if _, err := m.Append(ctx, list); err != nil {
		panic(err)
	}
	if _, err := m.CancelScheduled(ctx, "gone"); err != nil {
		panic(err)
	}
	return m
}

// TestScheduledEvents lists, shows and cancels events that are not due yet.
func TestScheduledEvents(t *testing.T) {
	b := setup(t)
	h := newServer(t, b.cfg).Handler()
	get := func(method, path string, want int, to any) {
		t.Helper()
		resp := call(h, method, path, "")
		if resp.Code != want {
			t.Fatalf("%s %s: got %d %s, want %d", method, path, resp.Code, resp.Body, want)
		}
		if to != nil {
			if err := json.Unmarshal(resp.Body.Bytes(), to); err != nil {
				t.Fatal(err)
			}
		}
	}
	var page wire.List[wire.Event]
	get("GET", "/api/v1/events/scheduled?limit=1", 200, &page)
	if len(page.Items) != 1 || page.Next == nil || page.Items[0].Status != wire.EventScheduled || page.Items[0].DueAt == nil || page.Items[0].Seq != 0 {
		t.Fatalf("got %+v", page)
	}
	page.Next, page.Items = nil, nil
	get("GET", "/api/v1/events/scheduled?subject=s-later-2&type=reminder&key=later-2", 200, &page)
	if len(page.Items) != 1 || page.Next != nil || !strings.Contains(string(page.Items[0].Metadata), "later-2") {
		t.Fatalf("got %+v", page)
	}
	get("GET", "/api/v1/events/scheduled?type=A+B", 400, nil)
	get("GET", "/api/v1/events/scheduled?cursor=x", 400, nil)
	var ev wire.Event
	get("GET", "/api/v1/events/later-1", 200, &ev)
	if ev.Status != wire.EventScheduled || ev.AcceptedAt == nil {
		t.Errorf("got %+v", ev)
	}
	get("GET", "/api/v1/events/gone", 200, &ev)
	if ev.Status != wire.EventCancelled || ev.CancelledAt == nil {
		t.Errorf("got %+v", ev)
	}
	var done wire.CancelledEvent
	get("DELETE", "/api/v1/events/scheduled/later-1", 200, &done)
	if done.IdempotencyKey != "later-1" || done.EventType != "reminder" || done.CancelledAt.IsZero() {
		t.Errorf("got %+v", done)
	}
	get("DELETE", "/api/v1/events/scheduled/later-1", 404, nil)
	get("DELETE", "/api/v1/events/scheduled/none", 404, nil)
	get("DELETE", "/api/v1/events/scheduled/first", http.StatusConflict, nil) // it is in the log
}

// TestShareOfScheduledEventsIsFull publishes events that are due later into a log that takes no
// more of them, alone and beside one that is due at once.
func TestShareOfScheduledEventsIsFull(t *testing.T) {
	b := setup(t)
	log := bus.NewMemory(bus.MemoryConfig{MaxBytes: 2000}) // half is less than the event has
	publisher, err := bus.New(bus.Config{Log: log, Window: log.Window()})
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Events.Publisher = publisher
	h := newServer(t, b.cfg).Handler()
	later := `{"event_type":"reminder","data":"` + strings.Repeat("x", 900) + `","metadata":{"deliver_after":"1h"}}`
	resp := call(h, "POST", "/api/v1/events", later)
	var p wire.Problem
	if err := json.Unmarshal(resp.Body.Bytes(), &p); err != nil || resp.Code != http.StatusInsufficientStorage || p.Field != "" ||
		!strings.Contains(p.Detail, "half of bus.max_size") || resp.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s, %v", resp.Code, resp.Body, err)
	}
	resp = call(h, "POST", "/api/v1/events", `[{"event_type":"reminder"},`+later+`]`)
	var list wire.List[wire.BatchReceipt]
	if err := json.Unmarshal(resp.Body.Bytes(), &list); err != nil || resp.Code != http.StatusMultiStatus || len(list.Items) != 2 ||
		list.Items[0].Error != nil || list.Items[1].Error.Status != http.StatusInsufficientStorage || list.Items[1].Error.Field != "[1]" {
		t.Errorf("a batch: got %d %s, %v", resp.Code, resp.Body, err)
	}
}
