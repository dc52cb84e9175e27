package api_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// auditLog keeps the records in memory. From failAt on, counted from 1, it fails.
type auditLog struct {
	mu      sync.Mutex
	records []wire.AuditRecord
	failAt  int
	err     error
}

func (a *auditLog) Append(r wire.AuditRecord) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failAt > 0 && len(a.records)+1 >= a.failAt {
		return a.err
	}
	a.records = append(a.records, r)
	return nil
}

func TestChangesAreAudited(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, body      string
		status                        int
		action, target, asked         string
		before, after, result, reason string
	}{
		{"disable", "POST", "/api/v1/events/plugins/order-audit/disable", "", 200, "disable", "order-audit", "",
			`"state":"active"`, `"state":"disabled"`, "ok", ""},
		{"enable", "POST", "/api/v1/events/plugins/order-audit/enable", "", 200, "enable", "order-audit", "",
			`"state":"active"`, `"state":"active"`, "ok", ""},
		{"enable an unknown one", "POST", "/api/v1/events/plugins/none/enable", "", 404, "enable", "none", "", "", "", "failed", "there is no plugin"},
		{"reload", "POST", "/api/v1/events/reload-config", "", 200, "reload-config", "", "", "", `{"changed":[],"needs_restart":[]}`, "ok", ""},
		{"install", "POST", "/api/v1/plugins/install", `{"url":"https://ada:pa55@a.example/x.wasm?key=s3cret","sha256":"00ff","name":"x"}`, 201, "install", "x",
			`{"name":"x","sha256":"00ff","url":"https://a.example/x.wasm"}`, "", `"name":"x","state":"active"`, "ok", ""},
		{"install with keys in other case", "POST", "/api/v1/plugins/install", `{"url":"https://a.example/x.wasm","sha256":"00ff","name":"x","NAME":"y"}`, 400, "install", "x",
			`{"NAME":"y","name":"x","sha256":"00ff","url":"https://a.example/x.wasm"}`, "", "", "failed", "NAME: "},
		{"install badly", "POST", "/api/v1/plugins/install", `{"url":`, 400, "install", "", "", "", "", "failed", "body: "},
		{"uninstall", "DELETE", "/api/v1/plugins/uninstall/order-audit", "", 204, "uninstall", "order-audit", "", `"state":"active"`, `"state":"active"`, "ok", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &auditLog{}
			cfg := setup(t).cfg
			cfg.Admin.Audit = log
			w := call(newServer(t, cfg).Handler(), tt.method, tt.path, tt.body)
			if w.Code != tt.status || len(log.records) != 2 {
				t.Fatalf("got %d and %d records: %s", w.Code, len(log.records), w.Body)
			}
			begin, end := log.records[0], log.records[1]
			if begin.Stage != "begin" || end.Stage != "end" || begin.ID == "" || begin.ID != end.ID || begin.Result != "" || begin.Status != 0 {
				t.Errorf("got %+v", log.records)
			}
			for _, r := range log.records {
				if r.Action != tt.action || r.Target != tt.target || string(r.Asked) != tt.asked || r.Who != "admin" || r.TokenID != "admin" ||
					r.Remote == "" || r.Request != tt.method+" "+tt.path || !strings.Contains(string(r.Before), tt.before) {
					t.Errorf("got %+v", r)
				}
			}
			if end.Status != tt.status || end.Result != tt.result || !strings.Contains(string(end.After), tt.after) || !strings.Contains(end.Error, tt.reason) || (end.Error == "") != (tt.reason == "") {
				t.Errorf("got %+v", end)
			}
		})
	}
}

// TestLongBodyIsNotedInTheAudit: blanks that make a body too long to be recorded do not
// make it look as if there had been none.
func TestLongBodyIsNotedInTheAudit(t *testing.T) {
	const body = `{"url":"https://a.example/x.wasm","sha256":"00ff","name":"x"}`
	for padding, want := range map[int]string{
		8192 - len(body): `{"name":"x","sha256":"00ff","url":"https://a.example/x.wasm"}`,
		8193 - len(body): `{"not_recorded":"the body is longer than 8192 bytes"}`,
	} {
		log := &auditLog{}
		cfg := setup(t).cfg
		cfg.Admin.Audit = log
		w := call(newServer(t, cfg).Handler(), "POST", "/api/v1/plugins/install", body+strings.Repeat(" ", padding))
		if w.Code != 201 || len(log.records) != 2 || string(log.records[0].Asked) != want {
			t.Errorf("got %d and %+v; want %s", w.Code, log.records, want)
		}
	}
}

// What a stream has answered is recorded as any other answer: the status is sent
// before anybody knows what comes of it.
func TestStreamedChangesAreAudited(t *testing.T) {
	for _, tt := range []struct{ name, body, result, reason, after string }{
		{"done", `{"url":"https://a.example/","sha256":"00ff"}`, "ok", "", `"state":"active"`},
		{"waits for a plan", `{"url":"https://a.example/","sha256":"asks"}`, "failed", "approv", ""},
	} {
		log := &auditLog{}
		cfg := setup(t).cfg
		cfg.Admin.Audit = log
		w := call(newServer(t, cfg).Handler(), "POST", "/api/v1/plugins/install", tt.body, "Accept: text/event-stream")
		if w.Code != 200 || len(log.records) != 2 {
			t.Fatalf("%s: got %d and %d records: %s", tt.name, w.Code, len(log.records), w.Body)
		}
		end := log.records[1]
		if end.Result != tt.result || !strings.Contains(end.Error, tt.reason) || !strings.Contains(string(end.After), tt.after) {
			t.Errorf("%s: got %+v, after %s", tt.name, end, end.After)
		}
		if failed := tt.result == "failed"; failed != (end.Status == 409) {
			t.Errorf("%s: the status is %d", tt.name, end.Status)
		}
	}
}

// What only reads, and what publishes, is not recorded.
func TestOtherRequestsAreNotAudited(t *testing.T) {
	log := &auditLog{}
	cfg := setup(t).cfg
	cfg.Admin.Audit = log
	h := newServer(t, cfg).Handler()
	call(h, "GET", "/api/v1/plugins/order-audit", "")
	call(h, "POST", "/api/v1/events", `{"event_type":"t"}`)
	call(h, "POST", "/api/v1/events/explain", `{"event_type":"t"}`)
	call(h, "POST", "/api/v1/orders", `{"customer_id":"c"}`)
	call(h, "GET", "/api/v1/nothing", "")
	if len(log.records) > 0 {
		t.Errorf("got %+v", log.records)
	}
}

// The pair of faults: without the first record nothing is changed; without the
// second the change stands and is answered.
func TestAuditFaults(t *testing.T) {
	for _, tt := range []struct {
		failAt, status int
		err            error
		enabled        bool
	}{
		{1, 507, fault.New(fault.Exhausted, "the disk is full"), true},
		{1, 503, fault.New(fault.Unavailable, "the disk is broken"), true},
		{2, 200, fault.New(fault.Exhausted, "the disk is full"), false},
	} {
		b := setup(t)
		p, cfg := b.parts, b.cfg
		cfg.Admin.Audit = &auditLog{failAt: tt.failAt, err: tt.err}
		h := newServer(t, cfg).Handler()
		w := call(h, "POST", "/api/v1/events/plugins/order-audit/disable", "")
		_, changed := p.enabled["order-audit"]
		if w.Code != tt.status || changed == tt.enabled {
			t.Errorf("%+v: got %d, changed %v: %s", tt, w.Code, changed, w.Body)
		}
		if w.Code >= 500 && !strings.Contains(problemIn(t, w).Detail, "nothing was changed") {
			t.Errorf("got %s", w.Body)
		}
		if w := call(h, "POST", "/api/v1/events", `{"event_type":"t"}`); w.Code != 202 {
			t.Errorf("publishing: got %d", w.Code)
		}
	}
}

// A change that panics has its end in the log all the same.
func TestAuditOfAPanic(t *testing.T) {
	p, log := seeded(t), &auditLog{}
	cfg := config(p)
	cfg.Admin.Audit = log
	p.before = func() { panic(errors.New("boom")) }
	h := newServer(t, cfg).Handler()
	if w := call(h, "POST", "/api/v1/events/reload-config", ""); w.Code != http.StatusInternalServerError {
		t.Fatalf("got %d", w.Code)
	}
	if len(log.records) != 2 || log.records[1].Result != "failed" || log.records[1].Status != 500 || log.records[1].Error != "panic" {
		t.Errorf("got %+v", log.records)
	}
}

// Refused attempts are recorded, and many of them do not fill the disk.
func TestRefusalsAreAudited(t *testing.T) {
	log := &auditLog{}
	cfg := setup(t).cfg
	cfg.Admin.Audit = log
	h := newServer(t, cfg).Handler()
	for _, headers := range [][]string{
		{"Authorization: Bearer narrow"}, {"Authorization: Bearer wrong-" + secret}, {"Host: evil.example"}, {"Sec-Fetch-Site: cross-site"},
	} {
		call(h, "POST", "/api/v1/events/plugins/order-audit/disable", "", headers...)
	}
	if len(log.records) != 4 {
		t.Fatalf("got %+v", log.records)
	}
	for i, want := range []struct {
		who    string
		status int
		reason string
	}{{"narrow", 403, "the scope operate"}, {"", 401, "Authorization: "}, {"", 403, "Host: "}, {"", 403, "Sec-Fetch-Site: "}} {
		r := log.records[i]
		if r.Stage != "refused" || r.Who != want.who || r.Status != want.status || !strings.Contains(r.Error, want.reason) || r.Action != "disable" || r.Target != "order-audit" || strings.Contains(r.Error, "wrong-") {
			t.Errorf("got %+v", r)
		}
	}
	for range 500 {
		call(h, "GET", "/api/v1/orders", "", "Host: evil.example")
	}
	if n := len(log.records); n > 100 {
		t.Errorf("%d records", n)
	}
}
