package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

const handlerConfigPath = "/api/v1/events/plugins/order-audit/config"

// A config is replaced only by a caller who has seen the present one.
func TestHandlerConfigIsReplacedUnderItsETag(t *testing.T) {
	b := setup(t)
	log := &auditLog{}
	b.cfg.Admin.Audit = log
	s := newServer(t, b.cfg).Handler()
	first := call(s, "GET", handlerConfigPath, "")
	shown := decode[wire.HandlerConfig](t, first)
	if string(shown.Config) != "{}" || string(shown.Schema) != `{"type":"object"}` || first.Header().Get("ETag") != `"`+shown.ETag+`"` {
		t.Fatalf("got %+v with the ETag %s", shown, first.Header().Get("ETag"))
	}
	w := call(s, "PUT", handlerConfigPath, `{"config":{"key":"a secret value"}}`, "If-Match: "+first.Header().Get("ETag"))
	if w.Code != http.StatusOK || string(decode[wire.HandlerConfig](t, w).Config) != `{"key":"a secret value"}` {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	w = call(s, "PUT", handlerConfigPath, `{"config":{}}`, "If-Match: "+first.Header().Get("ETag"))
	if p := problemIn(t, w); w.Code != http.StatusPreconditionFailed || p.Field != "If-Match" {
		t.Errorf("a stale ETag: %d %+v", w.Code, p)
	}
	if string(b.parts.config) != `{"key":"a secret value"}` {
		t.Errorf("the refused change was made: %s", b.parts.config)
	}
	if w = call(s, "PUT", handlerConfigPath, `{"config":{}}`, "If-Match: *"); w.Code != http.StatusOK {
		t.Errorf("any version: %d %s", w.Code, w.Body)
	}
	recorded := ""
	for _, r := range log.records {
		recorded += string(r.Asked) + string(r.After) + r.Action + r.Target + "\n"
	}
	if strings.Contains(recorded, "a secret value") || !strings.Contains(recorded, `{"config_keys":["key"]}`) || !strings.Contains(recorded, "configorder-audit") {
		t.Errorf("the audit log has %s", recorded)
	}
}

func TestHandlerConfigRefusesOtherValues(t *testing.T) {
	for body, field := range map[string]string{
		`{}`: "config", `{"config":null}`: "config", `{"config":[1]}`: "config", `{"config":"{}"}`: "config", `{"config":{},"x":1}`: "x",
	} {
		w := call(newServer(t, setup(t).cfg).Handler(), "PUT", handlerConfigPath, body)
		if p := problemIn(t, w); w.Code != http.StatusBadRequest || p.Field != field {
			t.Errorf("%s: %d %+v", body, w.Code, p)
		}
	}
	if w := call(newServer(t, setup(t).cfg).Handler(), "GET", "/api/v1/events/plugins/none/config", ""); w.Code != http.StatusNotFound {
		t.Errorf("an unknown handler: %d", w.Code)
	}
	for _, method := range []string{"GET", "PUT"} { // a config may have secrets
		if w := call(newServer(t, setup(t).cfg).Handler(), method, handlerConfigPath, "", "Authorization: Bearer narrow"); w.Code != http.StatusForbidden {
			t.Errorf("%s with the scope read: %d", method, w.Code)
		}
	}
}

func TestAuditPagesAndFilters(t *testing.T) {
	b := setup(t)
	b.cfg.Admin.AuditLog = changes{{ID: "c1", Stage: "end"}, {ID: "c2", Stage: "end"}, {ID: "c3", Stage: "end"}}
	s := newServer(t, b.cfg).Handler()
	page := decode[wire.List[wire.AuditRecord]](t, call(s, "GET", "/api/v1/audit?limit=2&result=ok&since=2026-05-01T10:00:00Z", ""))
	if len(page.Items) != 2 || page.Next == nil || *page.Next != "c2" {
		t.Errorf("got %+v", page)
	}
	for _, query := range []string{"result=maybe", "since=yesterday", "limit=0", "x=y"} {
		if w := call(s, "GET", "/api/v1/audit?"+query, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
