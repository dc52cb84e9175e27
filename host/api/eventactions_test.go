package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// sameDeliveries answers the same deliveries of every event.
type sameDeliveries []wire.Delivery

func (l sameDeliveries) Deliveries(context.Context, event.Record) ([]wire.Delivery, error) {
	return l, nil
}

// incident is a host whose event "first" is ok, retrying, dead and pending with one plugin each.
func incident(t *testing.T) *bundle {
	s := setup(t)
	var list sameDeliveries
	for _, status := range []string{"dead", "delivering", "ok", "pending", "retrying"} {
		d := wire.Delivery{Plugin: "is-" + status, Status: status}
		if status == "dead" || status == "retrying" {
			d.Error = &wire.DeliveryError{Class: "trap", Message: "out of bounds"}
		}
		list = append(list, d)
	}
	s.cfg.Events.Deliveries = list
	return s
}

// first is the id of the event "first".
func (b *bundle) first() string { return b.log[0].Event.ID() }

func TestRetryEvent(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		want       string // calls
	}{
		{"all", "", 200, "retry is-dead [1], retry is-pending [1], retry is-retrying [1]"},
		{"all, with a body", "{}", 200, "retry is-dead [1], retry is-pending [1], retry is-retrying [1]"},
		{"one", `{"plugin":"is-dead"}`, 200, "retry is-dead [1]"},
		{"one that is ok", `{"plugin":"is-ok"}`, 409, ""},
		{"one that is under way", `{"plugin":"is-delivering"}`, 409, ""},
		{"one without it", `{"plugin":"other"}`, 404, ""},
		{"a wrong body", `{"plugins":[]}`, 400, ""},
	} {
		s := incident(t)
		w := call(newServer(t, s.cfg).Handler(), "POST", "/api/v1/events/"+s.first()+"/retry", tt.body)
		if got := strings.Join(s.changed, ", "); w.Code != tt.status || got != tt.want {
			t.Errorf("%s: got %d %s and %q, want %d and %q", tt.name, w.Code, w.Body, got, tt.status, tt.want)
		}
	}
}

// A breaker lets the event through that is retried; what else a delivery waits for is said.
func TestRetryEventThatWaits(t *testing.T) {
	s := incident(t)
	s.cfg.Events.Deliveries = sameDeliveries{
		{Plugin: "waits-key", Status: "pending", WaitingFor: &wire.WaitingFor{Kind: "key", EventID: "e-1", Reason: "an earlier event of its key is not final"}},
		{Plugin: "waits-breaker", Status: "pending", WaitingFor: &wire.WaitingFor{Kind: "breaker", Reason: "it failed"}},
	}
	h := newServer(t, s.cfg).Handler()
	for _, tt := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"plugin":"waits-breaker"}`, 200, `"plugins":["waits-breaker"]`},
		{`{}`, 200, `"plugins":["waits-breaker"]`},
		{`{"plugin":"waits-key"}`, 409, "waits for a retry; waits-key waits: an earlier event of its key is not final e-1"},
	} {
		w := call(h, "POST", "/api/v1/events/"+s.first()+"/retry", tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %d %s, want %d with %s", tt.body, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestSkipEventOfPlugin(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"one", `{"plugin":"is-retrying","note":"the customer has cancelled"}`, 200, "skip is-retrying 1"},
		{"without a plugin", `{}`, 400, ""},
		{"without a body", ``, 415, ""},
		{"of another plugin", `{"plugin":"other"}`, 404, ""},
	} {
		s := incident(t)
		w := call(newServer(t, s.cfg).Handler(), "POST", "/api/v1/events/"+s.first()+"/skip", tt.body)
		if got := strings.Join(s.changed, ", "); w.Code != tt.status || got != tt.want {
			t.Errorf("%s: got %d %s and %q, want %d and %q", tt.name, w.Code, w.Body, got, tt.status, tt.want)
		}
	}
}

// TestActionsOfEventsAreAudited: with who asked for what, and of which plugin.
func TestActionsOfEventsAreAudited(t *testing.T) {
	s := incident(t)
	audit := &auditLog{}
	s.cfg.Admin.Audit = audit
	h := newServer(t, s.cfg).Handler()
	call(h, "POST", "/api/v1/events/"+s.first()+"/skip", `{"plugin":"is-retrying","note":"cancelled"}`)
	call(h, "POST", "/api/v1/events/"+s.first()+"/retry", "")
	call(h, "POST", "/api/v1/events/"+s.first()+"/copy", `{"data":{"card":"4111"},"subject":"o-2"}`)
	var got []string
	for _, r := range audit.records {
		got = append(got, fmt.Sprint(r.Stage, " ", r.Action, " ", r.Target, " ", r.Request, " ", string(r.Asked)))
		got[len(got)-1] = strings.ReplaceAll(got[len(got)-1], s.first(), "ID")
	}
	want := []string{
		`begin skip is-retrying POST /api/v1/events/ID/skip {"note":"cancelled","plugin":"is-retrying"}`,
		`end skip is-retrying POST /api/v1/events/ID/skip {"note":"cancelled","plugin":"is-retrying"}`,
		"begin retry  POST /api/v1/events/ID/retry ", "end retry  POST /api/v1/events/ID/retry ",
		`begin copy  POST /api/v1/events/ID/copy {"data":{"not_recorded":"the event has it"},"subject":"o-2"}`,
		`end copy  POST /api/v1/events/ID/copy {"data":{"not_recorded":"the event has it"},"subject":"o-2"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCopyEvent(t *testing.T) {
	s := setup(t)
	if _, err := s.Publish(t.Context(), event.Draft{Type: "paid", Subject: "o-1", Data: []byte(`{"n":1}`), IdempotencyKey: "k", Source: "shop",
		CorrelationID: "chain", CausationID: "cause", Hops: 3}); err != nil {
		t.Fatal(err)
	}
	original := s.log[len(s.log)-1].Event
	h := newServer(t, s.cfg).Handler()
	for _, tt := range []struct {
		name, body         string
		typ, subject, data string
		only               string
	}{
		{"as it is", ``, "paid", "o-1", `{"n":1}`, ""},
		{"with other data", `{"data":{"n":2}}`, "paid", "o-1", `{"n":2}`, ""},
		{"without data", `{"data":null}`, "paid", "o-1", `null`, ""},
		{"with all", `{"data":7,"event_type":"paid.again","subject":"","idempotency_key":"mine","plugin":"order-audit"}`, "paid.again", "", `7`, "order-audit"},
	} {
		w := call(h, "POST", "/api/v1/events/"+original.ID()+"/copy", tt.body)
		var r wire.Receipt
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != http.StatusAccepted || r.Routed == nil {
			t.Fatalf("%s: got %d %s", tt.name, w.Code, w.Body)
		}
		ev := s.log[len(s.log)-1].Event
		meta := ev.Metadata()
		if string(ev.Type()) != tt.typ || meta.Subject != tt.subject || ev.Data() != tt.data || meta.CorrelationID != "chain" || meta.Source != "shop" ||
			meta.CausationID != "" || meta.Hops != 0 || meta.EventID == original.ID() || meta.EventID != r.EventID {
			t.Errorf("%s: got %s", tt.name, ev.Envelope())
		}
		want := event.Origin{Publisher: spec.Publisher{Token: "admin", Name: "admin"}, Only: tt.only, CopyOf: original.ID()}
		if ev.Origin() != want {
			t.Errorf("%s: got the origin %+v", tt.name, ev.Origin())
		}
		shown := call(h, "GET", "/api/v1/events/"+meta.EventID, "").Body.String()
		for _, part := range []string{`"published_by":{"token":"admin","name":"admin"}`, `"copy_of":"` + original.ID()} {
			if !strings.Contains(shown, part) {
				t.Errorf("%s: %s is shown without %s", tt.name, shown, part)
			}
		}
	}
	for _, tt := range []refusal{
		{"an unknown event", "POST", "/api/v1/events/0198e2a4-7a3c-7000-8000-000000000000/copy", ``, nil, 404, fault.NotFound, "", "none"},
		{"an unknown plugin", "POST", "/api/v1/events/" + original.ID() + "/copy", `{"plugin":"none"}`, nil, 400, fault.Invalid, "plugin", "none"},
		{"a wrong type", "POST", "/api/v1/events/" + original.ID() + "/copy", `{"event_type":"Paid"}`, nil, 400, fault.Invalid, "event_type", ""},
		{"a key that is taken", "POST", "/api/v1/events/" + original.ID() + "/copy", `{"idempotency_key":"k","data":9}`, nil, 409, fault.Conflict, "metadata.idempotency_key", ""},
		{"a reserved key", "POST", "/api/v1/events/" + original.ID() + "/copy", `{"idempotency_key":"order:o-1:v9"}`, nil, 400, fault.Invalid, "metadata.idempotency_key", "reserved"},
	} {
		if w := call(h, tt.method, tt.path, tt.body); w.Code != tt.status || problemIn(t, w).Field != tt.field {
			t.Errorf("%s: got %d %s", tt.name, w.Code, w.Body)
		}
	}
}

// TestCopyOfOrderIsNoOrder: the copy of an order's event does not claim to be of the orders.
func TestCopyOfOrderIsNoOrder(t *testing.T) {
	s := setup(t)
	if _, err := s.Publish(t.Context(), event.Draft{Type: "order_status_changed", IdempotencyKey: "order:o-1:v1", Source: "orders"}); err != nil {
		t.Fatal(err)
	}
	w := call(newServer(t, s.cfg).Handler(), "POST", "/api/v1/events/"+s.log[1].Event.ID()+"/copy", "")
	if ev := s.log[len(s.log)-1].Event; w.Code != http.StatusAccepted || ev.Metadata().Source != "api" {
		t.Errorf("got %d %s: %s", w.Code, w.Body, ev.Envelope())
	}
}

// TestActionsNeedOperate: reading and publishing are not enough, and a copy needs both.
func TestActionsNeedOperate(t *testing.T) {
	s := incident(t)
	s.cfg.Guard.Tokens = byScope{}
	h := newServer(t, s.cfg).Handler()
	for _, tt := range []struct {
		path, token string
		status      int
	}{
		{"retry", "read", 403}, {"retry", "publish", 403}, {"retry", "operate", 200},
		{"skip", "publish", 403}, {"skip", "operate", 200},
		{"copy", "publish", 403}, {"copy", "operate", 403}, {"copy", "publish operate", 202},
	} {
		body := ""
		if tt.path == "skip" {
			body = `{"plugin":"is-retrying"}`
		}
		if w := call(h, "POST", "/api/v1/events/"+s.first()+"/"+tt.path, body, "Authorization: Bearer "+strings.ReplaceAll(tt.token, " ", "_")); w.Code != tt.status {
			t.Errorf("%s with %q: got %d %s", tt.path, tt.token, w.Code, w.Body)
		}
	}
}

// byScope knows tokens whose secret is their scopes.
type byScope struct{}

func (byScope) Verify(secret string) (spec.Token, bool) {
	return spec.Token{ID: secret, Name: secret, Scopes: strings.Split(secret, "_")}, true
}

func (byScope) Valid(spec.Token) bool { return true }

// TestPublisherOfEvents: single events, batches and CloudEvents have the token that has
// published them.
func TestPublisherOfEvents(t *testing.T) {
	s := setup(t)
	s.cfg.Guard.Tokens = byScope{}
	h := newServer(t, s.cfg).Handler()
	for i, tt := range []struct{ kind, body string }{
		{"application/json", `{"event_type":"t"}`},
		{"application/json", `[{"event_type":"t"},{"event_type":"t"}]`},
		{"application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`},
		{"application/cloudevents-batch+json", `[{"specversion":"1.0","id":"2","source":"/s","type":"t"}]`},
	} {
		before := len(s.log)
		if w := call(h, "POST", "/api/v1/events", tt.body, "Content-Type: "+tt.kind, "Authorization: Bearer publish"); w.Code != http.StatusAccepted {
			t.Fatalf("%d: got %d %s", i, w.Code, w.Body)
		}
		for _, rec := range s.log[before:] {
			if got := rec.Event.Origin(); got != (event.Origin{Publisher: spec.Publisher{Token: "publish", Name: "publish"}}) {
				t.Errorf("%d: got %+v", i, got)
			}
		}
	}
	w := call(h, "GET", "/api/v1/events?published_by=publish&limit=2", "", "Authorization: Bearer read")
	var page wire.List[wire.Event]
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Items) != 2 || page.Next == nil || page.Items[0].PublishedBy == nil || page.Items[0].PublishedBy.Token != "publish" {
		t.Errorf("got %s", w.Body)
	}
}

func TestEventFilters(t *testing.T) {
	s := incident(t)
	h := newServer(t, s.cfg).Handler()
	for query, want := range map[string]int{
		"type=seed": 1, "type=s*": 1, "type=x*": 0, "type=other": 0, "when=true": 1, "when=false": 0, "type=s*&when=true": 1,
		"handler=is-ok": 1, "handler=other": 0, "status=ok": 1, "status=delivering&handler=is-delivering": 1, "status=ok&handler=is-pending": 0,
		"since=1h": 1, "until=1h": 0, "since=2020-01-01T00:00:00Z": 1, "until=2020-01-01T00:00:00Z": 0, "key=first": 1, "caused_by=first": 0,
		"correlation_id=x": 0, "source=api": 1, "published_by=x": 0, "counts=true": 1, "cursor=1": 0, "cursor=2": 1,
	} {
		w := call(h, "GET", "/api/v1/events?"+query, "")
		var page wire.List[wire.Event]
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 || len(page.Items) != want || page.Next != nil {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
			continue
		}
		counted := len(page.Items) == 1 && page.Items[0].DeliveryCounts != nil
		if counted != (query == "counts=true") {
			t.Errorf("%s: got %s", query, w.Body)
		}
		if counted && *page.Items[0].DeliveryCounts != (wire.DeliveryCounts{OK: 1, Dead: 1, Retrying: 1, Delivering: 1, Pending: 1}) {
			t.Errorf("%s: got %s", query, w.Body)
		}
	}
	for query, field := range map[string]string{
		"type=Seed": "type", "type=!*": "type", "when=nonsense": "when", "status=lost": "status", "class=lost": "class", "since=soon": "since",
		"since=12": "since", "until=earliest": "until", "since=1h&until=2h": "until", "cursor=0": "cursor", "counts=maybe": "counts", "limit=501": "limit",
		"handler=": "handler", "plugin=x": "plugin",
	} {
		if w := call(h, "GET", "/api/v1/events?"+query, ""); w.Code != 400 || problemIn(t, w).Field != field {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
		}
	}
}

func TestEventTree(t *testing.T) {
	s := setup(t)
	h := newServer(t, s.cfg).Handler()
	root := s.log[0].Event
	if _, err := s.Publish(t.Context(), event.Draft{Type: "child", CausationID: root.ID(), CorrelationID: root.ID()}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{root.ID(), s.log[1].Event.ID()} {
		w := call(h, "GET", "/api/v1/events/"+id+"/tree", "")
		var tree wire.EventTree
		if err := json.Unmarshal(w.Body.Bytes(), &tree); err != nil || w.Code != 200 {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		if tree.Root.EventID != root.ID() || len(tree.Root.Children) != 1 || tree.Root.Children[0].EventType != "child" || tree.Truncated ||
			tree.Root.DeliveryCounts == nil || tree.Root.DeliveryCounts.OK != 1 {
			t.Errorf("got %s", w.Body)
		}
	}
	if w := call(h, "GET", "/api/v1/events/0198e2a4-7a3c-7000-8000-000000000000/tree", ""); w.Code != 404 {
		t.Errorf("got %d", w.Code)
	}
	if w := call(h, "GET", "/api/v1/events/first/tree", ""); w.Code != 400 || problemIn(t, w).Field != "event_id" {
		t.Errorf("by its key: got %d %s", w.Code, w.Body)
	}
	if w := call(h, "GET", "/api/v1/events/"+root.ID()+"/tree?depth=2", ""); w.Code != 400 {
		t.Errorf("got %d", w.Code)
	}
}

// TestKeysThatAreWords: events whose idempotency key is a word of the API are found by id
// under every path, and the endpoints at these words are not events.
func TestKeysThatAreWords(t *testing.T) {
	s := incident(t)
	for _, word := range []string{"skip", "plugins", "dead-letters", "log", "retry", "tree"} {
		if _, err := s.Publish(t.Context(), event.Draft{Type: "t", IdempotencyKey: word}); err != nil {
			t.Fatal(err)
		}
	}
	h := newServer(t, s.cfg).Handler()
	for _, rec := range s.log[1:] {
		at := "/api/v1/events/" + rec.Event.ID()
		if w := call(h, "GET", at+"/tree", ""); w.Code != 200 {
			t.Errorf("%s: got %d", rec.Event.Metadata().IdempotencyKey, w.Code)
		}
		if w := call(h, "POST", at+"/retry", ""); w.Code != 200 {
			t.Errorf("%s: got %d", rec.Event.Metadata().IdempotencyKey, w.Code)
		}
	}
	if w := call(h, "GET", "/api/v1/events/plugins/tree", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "plugin") {
		t.Errorf("a plugin named tree: got %d %s", w.Code, w.Body)
	}
	if w := call(h, "POST", "/api/v1/events/skip", `{"plugin":"x"}`); w.Code != 400 {
		t.Errorf("the events that cannot be read: got %d %s", w.Code, w.Body)
	}
}
