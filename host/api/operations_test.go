package api_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/openapi/openapitest"
	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// description is the document that a server serves.
func description(t testing.TB, s *api.Server) *openapitest.Document {
	t.Helper()
	w := call(s.Handler(), "GET", "/openapi.json", "", "Authorization: -")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("got %d %v: %s", w.Code, w.Header(), w.Body)
	}
	d, err := openapitest.Read(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every endpoint is described, with its scope, and nothing else is.
func TestEveryRouteIsDescribed(t *testing.T) {
	s := newServer(t, setup(t).cfg)
	scopes := map[string]string{}
	for _, op := range description(t, s).Operations {
		scopes[op.Method+" "+op.Path] = op.Scope
	}
	for _, r := range s.Routes() {
		path := strings.NewReplacer(":name", "{name}", ":id", "{id}", ":event_id", "{event_id}", ":key", "{key}", ":schedule", "{schedule}", ":type", "{type}", ":member", "{member}").Replace(r.Path)
		scope, found := scopes[r.Method+" "+path]
		switch {
		case r.Missing:
		case r.Now != "": // a former path, described as the one it is now
		case !found:
			t.Errorf("%s %s is not described", r.Method, path)
		case scope != string(r.Scope):
			t.Errorf("%s %s is described with the scope %q, and has %q", r.Method, path, scope, r.Scope)
		}
		delete(scopes, r.Method+" "+path)
	}
	for name := range scopes {
		t.Errorf("%s is described, and not there", name)
	}
}

// document, when it is given, is a file that the description is written to: make
// generators generates clients of it.
var document = flag.String("document", "", "write the description of the API to this file")

// Generators of clients read a part of JSON Schema only: a schema is an object, and
// has one type at most.
func TestDescriptionIsOfWhatGeneratorsRead(t *testing.T) {
	text := call(newServer(t, setup(t).cfg).Handler(), "GET", "/openapi.json", "").Body.Bytes()
	if *document != "" {
		if err := os.WriteFile(*document, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var check func(v any, path string)
	check = func(v any, path string) {
		switch v := v.(type) {
		case []any:
			for i, inner := range v {
				check(inner, fmt.Sprintf("%s/%d", path, i))
			}
		case map[string]any:
			properties, _ := v["properties"].(map[string]any)
			for name, inner := range properties {
				if seen++; inner == true || inner == false {
					t.Errorf("%s/properties/%s is %v", path, name, inner)
				}
			}
			if list, ok := v["type"].([]any); ok {
				t.Errorf("%s/type is %v", path, list)
			}
			if _, there := v["$ref"]; there && len(v) > 1 {
				t.Errorf("%s has more than its $ref: %v", path, v)
			}
			if items, there := v["items"]; there && (items == true || items == false) {
				t.Errorf("%s/items is %v", path, items)
			}
			for name, inner := range v {
				check(inner, path+"/"+name)
			}
		}
	}
	check(doc, "")
	if seen < 100 {
		t.Errorf("the description has %d properties only", seen)
	}
}

func TestDescriptionIsCached(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Version = "1.2.3"
	h := newServer(t, cfg).Handler()
	first := call(h, "GET", "/openapi.json", "")
	etag := first.Header().Get("ETag")
	if !strings.Contains(first.Body.String(), `"version": "1.2.3"`) || etag == "" || first.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("got %v", first.Header())
	}
	if w := call(h, "GET", "/openapi.json", "", "If-None-Match: "+etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("with its tag: %d, %s", w.Code, w.Body)
	}
	if w := call(h, "GET", "/openapi.json", "", `If-None-Match: "other"`); w.Code != http.StatusOK || w.Body.String() != first.Body.String() {
		t.Errorf("with another tag: %d", w.Code)
	}
	if w := call(h, "GET", "/openapi.json", "", `If-None-Match: other`); w.Code != http.StatusBadRequest {
		t.Errorf("with a tag that is none: %d", w.Code)
	}
	cfg.Version = "1.2.4"
	if other := call(newServer(t, cfg).Handler(), "GET", "/openapi.json", ""); other.Header().Get("ETag") == etag {
		t.Error("two versions have the same tag")
	}
}

// vetted are plugins of which there are reports.
type vetted struct{ *parts }

func (v vetted) Plugin(name string) (wire.Plugin, bool) {
	p, found := v.parts.Plugin(name)
	p.SHA256 = "00ff"
	return p, found
}

func (vetted) Report(sha256 string) (json.RawMessage, bool) {
	return json.RawMessage(`{"sha256":"` + sha256 + `","size":8,"imports":[],"exports":[]}`), true
}

// What the endpoints answer is what the document says: each at least once.
func TestAnswersAreAsDescribed(t *testing.T) {
	const cloudJSON = "Content-Type: application/cloudevents+json"
	b := setup(t)
	l, cfg := b.deadLetters, b.cfg
	l.status.Handlers = []wire.LogReader{{Plugin: "a"}}
	cfg.Plugins.Marketplace = &market{page: wire.Marketplace{Items: []wire.Listing{{Name: "echo", Capabilities: []wire.ListingCapability{{Name: "kv"}}, Versions: []wire.ListingVersion{}}}}}
	cfg.Plugins.Registry = vetted{cfg.Plugins.Registry.(*parts)}
	s := newServer(t, cfg)
	d := description(t, s)
	if _, err := b.Publish(t.Context(), event.Draft{Type: "failed"}); err != nil {
		t.Fatal(err)
	}
	first, failed := b.log[0].Event.ID(), b.log[1].Event.ID()
	done := map[string]bool{}
	for _, tt := range []struct {
		id, method, path, body string
		status                 int
		headers                []string
	}{
		{"getHealth", "GET", "/healthz", "", 200, nil},
		{"getReadiness", "GET", "/readyz", "", 200, nil},
		{"getDescription", "GET", "/openapi.json", "", 200, nil},
		{"getMetrics", "GET", "/metrics", "", 200, nil},
		{"getOverview", "GET", "/api/v1/overview", "", 200, nil},
		{"getSeries", "GET", "/api/v1/series?plugin=order-audit&range=24h", "", 200, nil},
		{"getConfig", "GET", "/api/v1/config", "", 200, nil},
		{"getConfig", "GET", "/api/v1/config?handler=order-audit", "", 200, nil},
		{"getConfigFile", "GET", "/api/v1/config/file", "", 200, nil},
		{"getHandlerConfig", "GET", handlerConfigPath, "", 200, nil},
		{"setHandlerConfig", "PUT", handlerConfigPath, `{"config":{"a":[1]}}`, 200, nil},
		{"planConfig", "POST", "/api/v1/config/plan", `{"config":"routes: {}","against":"1h"}`, 200, nil},
		{"getFindings", "GET", "/api/v1/doctor", "", 200, nil},
		{"listAudit", "GET", "/api/v1/audit?limit=1000", "", 200, nil},
		{"makeBackup", "POST", "/api/v1/backup", "", 200, nil},
		{"adoptDecisions", "POST", "/api/v1/config/adopt", `{"keep":true}`, 200, nil},
		{"reloadConfig", "POST", "/api/v1/events/reload-config", "", 200, nil},
		{"publish", "POST", "/api/v1/events", `{"event_type":"t","data":{"a":1},"metadata":{"idempotency_key":"k"}}`, 202, nil},
		{"publish", "POST", "/api/v1/events", `[{"event_type":"t"}]`, 202, nil},
		{"publish", "POST", "/api/v1/events", `[{"event_type":"t","metadata":{"idempotency_key":"first"}}]`, 207, nil},
		{"publish", "POST", "/api/v1/events", `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`, 202, []string{cloudJSON}},
		{"listEvents", "GET", "/api/v1/events?limit=1", "", 200, nil},
		{"getEvent", "GET", "/api/v1/events/first", "", 200, nil},
		{"getEvent", "GET", "/api/v1/events/first", "", 200, []string{"Accept: application/cloudevents+json"}},
		{"explainEvent", "POST", "/api/v1/events/explain", `{"event_type":"t"}`, 200, nil},
		{"listDeadLetters", "GET", "/api/v1/events/dead-letters", "", 200, nil},
		{"getDeadLetters", "GET", "/api/v1/events/dead-letters/e0", "", 200, nil},
		{"redriveDeadLetters", "POST", "/api/v1/events/dead-letters/redrive", `{"plugin":"a"}`, 200, nil},
		{"purgeDeadLetters", "POST", "/api/v1/events/dead-letters/purge", `{"event_id":"e0"}`, 200, nil},
		{"replayEvents", "POST", "/api/v1/events/replay", `{"plugin":"a","from":1}`, 202, nil},
		{"skipEvents", "POST", "/api/v1/events/skip", `{"seq":7,"to":9}`, 200, nil},
		{"listScheduledEvents", "GET", "/api/v1/events/scheduled?limit=1", "", 200, nil},
		{"getEvent", "GET", "/api/v1/events/gone", "", 200, nil},
		{"cancelScheduledEvent", "DELETE", "/api/v1/events/scheduled/later-1", "", 200, nil},
		{"getLog", "GET", "/api/v1/events/log", "", 200, nil},
		{"createOrder", "POST", "/api/v1/orders", `{"id":"B-1","customer_id":"c","currency":"EUR","items":[{"sku":"s","quantity":1,"unit_price_cents":2}]}`, 201, nil},
		{"listOrders", "GET", "/api/v1/orders", "", 200, nil},
		{"getOrder", "GET", "/api/v1/orders/B-1", "", 200, nil},
		{"getOrder", "GET", "/api/v1/orders/B-1", "", 304, []string{`If-None-Match: "1"`}},
		{"moveOrder", "POST", "/api/v1/orders/B-1/status", `{"status":"confirmed"}`, 200, nil},
		{"listPlugins", "GET", "/api/v1/events/plugins", "", 200, nil},
		{"getPlugin", "GET", "/api/v1/events/plugins/order-audit", "", 200, nil},
		{"getPluginReport", "GET", "/api/v1/events/plugins/order-audit/report", "", 200, nil},
		{"getPluginLogs", "GET", "/api/v1/events/plugins/order-audit/logs", "", 200, nil},
		{"getPluginLogs", "GET", "/api/v1/events/plugins/order-audit/logs?after=0&limit=1000&event=01a227c8-ec24-76f7-b0c4-5e2c7f064963", "", 200, nil},
		{"approvePlugin", "POST", "/api/v1/events/plugins/order-audit/approve", `{"sha256":"` + strings.Repeat("0a", 32) + `"}`, 200, nil},
		{"enablePlugin", "POST", "/api/v1/events/plugins/order-audit/enable", "", 200, nil},
		{"disablePlugin", "POST", "/api/v1/events/plugins/order-audit/disable", "", 200, nil},
		{"pausePlugin", "POST", "/api/v1/events/plugins/order-audit/pause", "", 200, nil},
		{"resumePlugin", "POST", "/api/v1/events/plugins/order-audit/resume", "", 200, nil},
		{"setStateValue", "PUT", "/api/v1/events/plugins/order-audit/kv/k", `{"value":{"n":1},"expires_in":"1h"}`, 200, nil},
		{"getStateValue", "GET", "/api/v1/events/plugins/order-audit/kv/k", "", 200, nil},
		{"listState", "GET", "/api/v1/events/plugins/order-audit/kv?prefix=k&limit=1", "", 200, nil},
		{"deleteStateValue", "DELETE", "/api/v1/events/plugins/order-audit/kv/aw?key_encoding=base64", "", 204, nil},
		{"listMarketplace", "GET", "/api/v1/plugins/marketplace", "", 200, nil},
		{"installPlugin", "POST", "/api/v1/plugins/install", `{"ref":"oci://r.example/x:1"}`, 201, nil},
		{"installPlugin", "POST", "/api/v1/plugins/install", `{"ref":"oci://r.example/x:1"}`, 200, []string{"Accept: text/event-stream"}},
		{"upgradePlugin", "POST", "/api/v1/events/plugins/x/upgrade", `{"ref":"oci://r.example/x:1"}`, 200, nil},
		{"rollbackPlugin", "POST", "/api/v1/events/plugins/x/rollback", "", 200, []string{"Accept: text/event-stream"}},
		{"uninstallPlugin", "DELETE", "/api/v1/plugins/uninstall/order-audit", "", 204, nil},
		{"verifyPlugins", "GET", "/api/v1/plugins/verify", "", 200, nil},
		{"getEventTree", "GET", "/api/v1/events/" + first + "/tree", "", 200, nil},
		{"retryEvent", "POST", "/api/v1/events/" + failed + "/retry", "", 200, nil},
		{"skipEvent", "POST", "/api/v1/events/" + failed + "/skip", `{"plugin":"order-audit"}`, 200, nil},
		{"copyEvent", "POST", "/api/v1/events/" + first + "/copy", "", 202, nil},
		{"listEvents", "GET", "/api/v1/events?counts=true", "", 200, nil},
		{"getCluster", "GET", "/api/v1/cluster", "", 200, nil},
		{"drainMember", "POST", "/api/v1/cluster/members/a/drain", "", 200, nil},
		{"undrainMember", "POST", "/api/v1/cluster/members/a/undrain", "", 200, nil},
		{"listSchedules", "GET", "/api/v1/schedules", "", 200, nil},
		{"runSchedule", "POST", "/api/v1/schedules/nightly/run", "", 202, nil},
		{"listEventTypes", "GET", "/api/v1/event-types", "", 200, nil},
		{"getEventType", "GET", "/api/v1/event-types/order_placed", "", 200, nil},
		{"listIssues", "GET", "/api/v1/issues?state=all", "", 200, nil},
		{"getIssue", "GET", "/api/v1/issues/12", "", 200, nil},
		{"acknowledgeIssue", "POST", "/api/v1/issues/12/acknowledge", "", 200, nil},
		{"resolveIssue", "POST", "/api/v1/issues/12/resolve", `{"note":"fixed"}`, 200, nil},
		{"ignoreIssue", "POST", "/api/v1/issues/12/ignore", "", 200, nil},
		{"reopenIssue", "POST", "/api/v1/issues/12/reopen", "", 200, nil},
		{"startOperation", "POST", "/api/v1/operations", `{"kind":"redrive","plugin":"a","filter":{"class":"trap"},"rate":50}`, 202, nil},
		{"startOperation", "POST", "/api/v1/operations", `{"kind":"redrive","plugin":"a","filter":{},"preview":true}`, 200, nil},
		{"listOperations", "GET", "/api/v1/operations", "", 200, nil},
		{"getOperation", "GET", "/api/v1/operations/3", "", 200, nil},
		{"cancelOperation", "POST", "/api/v1/operations/3/cancel", "", 200, nil},
		{"login", "POST", "/api/v1/session", `{"token":"narrow"}`, 201, []string{"Authorization: -", "Berth-Console: 1"}},
		{"getSession", "GET", "/api/v1/session", "", 200, nil},
		{"createLoginLink", "POST", "/api/v1/session/links", "", 201, nil},
		{"logout", "DELETE", "/api/v1/session", "", 204, nil},
	} {
		done[tt.id] = true
		w := call(s.Handler(), tt.method, tt.path, tt.body, tt.headers...)
		if w.Code != tt.status {
			t.Errorf("%s: got %d, want %d: %s", tt.id, w.Code, tt.status, w.Body)
			continue
		}
		op := operationOf(t, d, tt.id)
		if err := d.Answer(op, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); err != nil {
			t.Errorf("%s: %v in %s", tt.id, err, w.Body)
		}
		if w.Header().Get("Content-Type") == "text/event-stream" {
			checkFrames(t, d, op, w.Body.String())
		}
	}
	for _, op := range d.Operations {
		if !done[op.ID] && op.ID != "streamActivity" { // of which the next test is
			t.Errorf("%s was not tried", op.ID)
		}
	}
	w := call(s.Handler(), "POST", "/api/v1/plugins/install", `{"url":"https://a.example/","sha256":"asks"}`)
	if err := d.Problem(w.Header().Get("Content-Type"), w.Body.Bytes()); err != nil || w.Code != 409 {
		t.Errorf("a plan: %d, %v in %s", w.Code, err, w.Body)
	}
}

func operationOf(t *testing.T, d *openapitest.Document, id string) openapitest.Operation {
	t.Helper()
	for _, op := range d.Operations {
		if op.ID == id {
			return op
		}
	}
	t.Fatalf("%s is not described", id)
	return openapitest.Operation{}
}

// checkFrames checks the data of the events of a stream, of which there is one
// at least, and answers their names.
func checkFrames(t *testing.T, d *openapitest.Document, op openapitest.Operation, text string) (names []string) {
	t.Helper()
	for frame := range strings.SplitSeq(text, "\n\n") {
		fields := map[string]string{}
		for line := range strings.SplitSeq(frame, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			fields[name] = value
		}
		if fields["event"] == "" {
			continue
		}
		names = append(names, fields["event"])
		if err := d.Event(op, http.StatusOK, fields["event"], []byte(fields["data"])); err != nil {
			t.Errorf("%s: %v in %s", op.ID, err, frame)
		}
	}
	if len(names) == 0 {
		t.Errorf("%s: there are no events in %q", op.ID, text)
	}
	return names
}

func TestStreamIsAsDescribed(t *testing.T) {
	p, feed := seeded(t), stream.NewFeed(0)
	cfg := config(p)
	cfg.Events.Activities = feed
	s := serve(t, cfg)
	d := description(t, s.Server)
	op := operationOf(t, d, "streamActivity")
	resp := s.get(t, "/api/v1/events/stream")
	if err := d.Answer(op, resp.StatusCode, resp.Header.Get("Content-Type"), nil); err != nil {
		t.Error(err)
	}
	body := bufio.NewReader(resp.Body)
	_, first, _ := strings.Cut(block(t, body), "\n") // after the comment
	feed.Publish(wire.Activity{Kind: "plugin", Plugin: &wire.Plugin{Name: "x", State: wire.Active, Subscribes: []string{}, Capabilities: []wire.Capability{}}})
	feed.Publish(wire.Activity{Kind: "delivery", Delivery: &wire.DeliveryOfEvent{EventID: "e", Seq: 1, Delivery: wire.Delivery{Plugin: "x", Status: "dead", Error: &wire.DeliveryError{Class: "trap"}}}})
	emit(t, p, "k")
	text := first + "\n" + block(t, body) + "\n" + block(t, body) + "\n" + block(t, body) + "\n"
	s.stop()
	names := checkFrames(t, d, op, text+block(t, body)+"\n")
	slices.Sort(names)
	if want := []string{"closing", "delivery", "hello", "plugin", "published"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
