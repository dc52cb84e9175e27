package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api/catalog"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// fakeSchedules has one schedule, nightly. by is who has run it last.
type fakeSchedules struct{ by spec.Publisher }

func (f *fakeSchedules) List() []wire.Schedule {
	return []wire.Schedule{{Name: "nightly", Cron: "@daily", Zone: "UTC", EventType: "report_due", Missed: "skip"}}
}

func (f *fakeSchedules) RunNow(_ context.Context, name string, by spec.Publisher) (wire.ScheduleRun, error) {
	if name != "nightly" {
		return wire.ScheduleRun{}, fault.New(fault.NotFound, "there is no schedule %s", name)
	}
	f.by = by
	return wire.ScheduleRun{Schedule: name, EventID: "e1", IdempotencyKey: "k1"}, nil
}

// fakeTypes has one event type, order_placed.
type fakeTypes struct{}

func (fakeTypes) List() []wire.EventType {
	return []wire.EventType{{EventType: "order_placed", HasSchema: true, Mode: "reject", Subscribers: []string{}}}
}

func (f fakeTypes) Type(name string) (wire.EventType, error) {
	if name != "order_placed" {
		return wire.EventType{}, fault.New(fault.NotFound, "nothing is known about the event type %s", name)
	}
	et := f.List()[0]
	et.Schema = json.RawMessage(`{"type":"object"}`)
	return et, nil
}

func newCatalog() catalog.Parts {
	return catalog.Parts{Schedules: &fakeSchedules{}, EventTypes: fakeTypes{}}
}

func TestCatalog(t *testing.T) {
	b := setup(t)
	h := newServer(t, b.cfg).Handler()
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/api/v1/schedules", 200, `{"items":[{"name":"nightly","cron":"@daily","zone":"UTC","event_type":"report_due","missed":"skip","paused":false,` +
			`"published":0,"missed_runs":0,"failed":0}],"next":null}`},
		{"GET", "/api/v1/schedules?x=1", 400, `"field":"x"`},
		{"POST", "/api/v1/schedules/other/run", 404, "there is no schedule other"},
		{"POST", "/api/v1/schedules/nightly/run", 202, `{"schedule":"nightly","event_id":"e1","idempotency_key":"k1"}`},
		{"GET", "/api/v1/event-types", 200, `{"items":[{"event_type":"order_placed","per_minute":0,"has_schema":true,"mode":"reject","subscribers":[],"violations":0}],"next":null}`},
		{"GET", "/api/v1/event-types/order_placed", 200, `"schema":{"type":"object"}`},
		{"GET", "/api/v1/event-types/other", 404, "nothing is known about the event type other"},
	} {
		if w := call(h, tt.method, tt.path, ""); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	if by := b.cfg.Catalog.Schedules.(*fakeSchedules).by; by.Name != "admin" || by.Token == "" {
		t.Errorf("published by %+v", by)
	}
	log := b.cfg.Admin.Audit.(*auditLog)
	if last := log.records[len(log.records)-1]; last.Action != "run" || last.Target != "schedule:nightly" || !strings.Contains(string(last.After), `"event_id":"e1"`) {
		t.Errorf("got %+v", last)
	}
}

// refusing is a publisher that refuses the events of one type, as their schema would.
type refusing struct{ *parts }

func (p refusing) PublishEvents(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	receipts, err := p.parts.PublishEvents(ctx, events)
	for i, ev := range events {
		if ev.Type() == "strict" {
			receipts[i] = event.Receipt{Err: fault.Field("data/items/0/sku", "must be string, not number")}
		}
	}
	return receipts, err
}

// TestEventThatItsSchemaRefuses: alone it is 400; in a batch the others are published.
func TestEventThatItsSchemaRefuses(t *testing.T) {
	b := setup(t)
	b.cfg.Events.Publisher = refusing{b.parts}
	h := newServer(t, b.cfg).Handler()
	w := call(h, "POST", "/api/v1/events", `{"event_type":"strict","data":{}}`)
	if p := problemIn(t, w); w.Code != http.StatusBadRequest || p.Field != "data/items/0/sku" || p.Detail != "must be string, not number" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	w = call(h, "POST", "/api/v1/events", `[{"event_type":"fine"},{"event_type":"strict","data":{}}]`)
	var answer wire.List[wire.BatchReceipt]
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusMultiStatus || len(answer.Items) != 2 || answer.Items[0].EventID == "" ||
		answer.Items[1].Error == nil || answer.Items[1].Error.Field != "[1].data/items/0/sku" || answer.Items[1].Error.Status != 400 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
