package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// documented is the scope of every endpoint, as the documents have it; "" needs
// none beyond the guard's own checks. A new endpoint is added here.
var documented = map[string]string{
	"GET /healthz": "",
	"GET /readyz":  "",

	"POST /api/v1/events":                             spec.ScopePublish,
	"GET /api/v1/events":                              spec.ScopeRead,
	"GET /api/v1/events/:id":                          spec.ScopeRead,
	"GET /api/v1/events/stream":                       spec.ScopeRead,
	"GET /api/v1/events/log":                          spec.ScopeRead,
	"POST /api/v1/events/explain":                     spec.ScopeRead,
	"POST /api/v1/events/replay":                      spec.ScopeOperate,
	"POST /api/v1/events/skip":                        spec.ScopeOperate,
	"POST /api/v1/events/reload-config":               spec.ScopeOperate,
	"GET /api/v1/events/dead-letters":                 spec.ScopeRead,
	"GET /api/v1/events/dead-letters/:id":             spec.ScopeRead,
	"GET /api/v1/events/scheduled":                    spec.ScopeRead,
	"DELETE /api/v1/events/scheduled/:key":            spec.ScopeOperate,
	"POST /api/v1/events/dead-letters/redrive":        spec.ScopeOperate,
	"POST /api/v1/events/dead-letters/purge":          spec.ScopeOperate,
	"GET /api/v1/events/plugins":                      spec.ScopeRead,
	"POST /api/v1/events/plugins/:name/enable":        spec.ScopeOperate,
	"POST /api/v1/events/plugins/:name/disable":       spec.ScopeOperate,
	"POST /api/v1/events/plugins/:name/pause":         spec.ScopeOperate,
	"POST /api/v1/events/plugins/:name/resume":        spec.ScopeOperate,
	"GET /api/v1/audit":                               spec.ScopeOperate,
	"GET /api/v1/config":                              spec.ScopeOperate,
	"POST /api/v1/config/adopt":                       spec.ScopeOperate,
	"GET /api/v1/config/file":                         spec.ScopeOperate,
	"GET /api/v1/doctor":                              spec.ScopeOperate,
	"GET /api/v1/events/plugins/:name/config":         spec.ScopeOperate,
	"PUT /api/v1/events/plugins/:name/config":         spec.ScopeOperate,
	"GET /api/v1/orders":                              spec.ScopeRead,
	"POST /api/v1/orders":                             spec.ScopePublish,
	"GET /api/v1/orders/:id":                          spec.ScopeRead,
	"POST /api/v1/orders/:id/status":                  spec.ScopePublish,
	"GET /api/v1/plugins/verify":                      spec.ScopeRead,
	"GET /api/v1/plugins/marketplace":                 spec.ScopeRead,
	"POST /api/v1/plugins/install":                    spec.ScopeInstall,
	"DELETE /api/v1/plugins/uninstall/:name":          spec.ScopeInstall,
	"GET /api/v1/events/plugins/:name":                spec.ScopeRead,
	"GET /api/v1/events/plugins/:name/report":         spec.ScopeRead,
	"GET /api/v1/events/plugins/:name/logs":           spec.ScopeRead,
	"POST /api/v1/events/plugins/:name/approve":       spec.ScopeOperate,
	"POST /api/v1/events/plugins/:name/upgrade":       spec.ScopeInstall,
	"POST /api/v1/events/plugins/:name/rollback":      spec.ScopeInstall,
	"GET /api/v1/events/reload-config (405)":          "",
	"GET /api/v1/events/explain (405)":                "",
	"GET /api/v1/plugins/install (405)":               "",
	"GET /api/v1/events/replay (405)":                 "",
	"GET /api/v1/events/skip (405)":                   "",
	"GET /api/v1/events/dead-letters/redrive (405)":   "",
	"GET /api/v1/events/dead-letters/purge (405)":     "",
	"GET /api/v1/events/plugins/:name/enable (405)":   "",
	"GET /api/v1/events/plugins/:name/disable (405)":  "",
	"GET /api/v1/events/plugins/:name/pause (405)":    "",
	"GET /api/v1/events/plugins/:name/approve (405)":  "",
	"GET /api/v1/events/plugins/:name/upgrade (405)":  "",
	"GET /api/v1/events/plugins/:name/rollback (405)": "",
	"GET /api/v1/plugins/:name":                       spec.ScopeRead,
	"GET /api/v1/plugins/:name/report":                spec.ScopeRead,
	"POST /api/v1/plugins/:name/approve":              spec.ScopeOperate,
	"POST /api/v1/plugins/:name/upgrade":              spec.ScopeInstall,
	"POST /api/v1/plugins/:name/rollback":             spec.ScopeInstall,
	"GET /api/v1/events/plugins/:name/resume (405)":   "",
	"POST /api/v1/backup":                             spec.ScopeAdmin,
	"GET /api/v1/cluster":                             spec.ScopeRead,
	"POST /api/v1/cluster/members/:member/drain":      spec.ScopeOperate,
	"POST /api/v1/cluster/members/:member/undrain":    spec.ScopeOperate,
	"GET /api/v1/schedules":                           spec.ScopeRead,
	"POST /api/v1/schedules/:schedule/run":            spec.ScopeOperate,
	"GET /api/v1/event-types":                         spec.ScopeRead,
	"GET /api/v1/event-types/:type":                   spec.ScopeRead,
	"GET /api/v1/issues":                              spec.ScopeRead,
	"GET /api/v1/issues/:id":                          spec.ScopeRead,
	"POST /api/v1/issues/:id/acknowledge":             spec.ScopeOperate,
	"POST /api/v1/issues/:id/resolve":                 spec.ScopeOperate,
	"POST /api/v1/issues/:id/ignore":                  spec.ScopeOperate,
	"POST /api/v1/issues/:id/reopen":                  spec.ScopeOperate,
	"POST /api/v1/operations":                         spec.ScopeOperate,
	"GET /api/v1/operations":                          spec.ScopeRead,
	"GET /api/v1/operations/:id":                      spec.ScopeRead,
	"POST /api/v1/operations/:id/cancel":              spec.ScopeOperate,
	"GET /api/v1/events/plugins/:name/kv":             spec.ScopeRead,
	"GET /api/v1/events/plugins/:name/kv/:key":        spec.ScopeRead,
	"PUT /api/v1/events/plugins/:name/kv/:key":        spec.ScopeOperate,
	"DELETE /api/v1/events/plugins/:name/kv/:key":     spec.ScopeOperate,
	"POST /api/v1/config/plan":                        spec.ScopeRead,
	"GET /openapi.json":                               "",
	"GET /metrics":                                    spec.ScopeRead,
	"GET /api/v1/overview":                            spec.ScopeRead,
	"GET /api/v1/series":                              spec.ScopeRead,
	"POST /api/v1/session":                            "",
	"GET /api/v1/session":                             api.ScopeAny,
	"DELETE /api/v1/session":                          api.ScopeAny,
	"POST /api/v1/session/links":                      spec.ScopeAdmin,
	"GET /api/v1/events/:event_id/tree":               spec.ScopeRead,
	"POST /api/v1/events/:event_id/retry":             spec.ScopeOperate,
	"POST /api/v1/events/:event_id/skip":              spec.ScopeOperate,
	"POST /api/v1/events/:event_id/copy":              spec.ScopeOperate,
	"GET /api/v1/events/:event_id/retry (405)":        "",
	"GET /api/v1/events/:event_id/skip (405)":         "",
	"GET /api/v1/events/:event_id/copy (405)":         "",
}

// oneScope knows a token for each set of all scopes but one, and one without any.
type oneScope struct{}

func (oneScope) Verify(secret string) (spec.Token, bool) {
	without, ok := strings.CutPrefix(secret, "all-but-")
	t := spec.Token{ID: secret, Name: secret}
	for _, s := range []string{spec.ScopeRead, spec.ScopePublish, spec.ScopeOperate, spec.ScopeInstall, spec.ScopeAdmin} {
		if string(s) != without {
			t.Scopes = append(t.Scopes, s)
		}
	}
	return t, ok
}

func (oneScope) Valid(spec.Token) bool { return true }

// Every endpoint has the documented scope, and enforces it: no token and a wrong
// one are 401, one with all scopes but that is 403.
func TestEveryRouteEnforcesItsScope(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Guard.Tokens = oneScope{}
	s := newServer(t, cfg)
	if len(s.Routes()) < 20 {
		t.Fatalf("there are %d routes", len(s.Routes()))
	}
	for _, r := range s.Routes() {
		name := r.Method + " " + r.Path
		path := strings.NewReplacer(":name", "x", ":id", "x", ":event_id", "x", ":key", "x").Replace(r.Path)
		if r.Missing {
			if w := call(s.Handler(), r.Method, path, "", "Authorization: Bearer all-but-none"); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s needs no scope and answers %d", name, w.Code)
			}
			name += " (405)"
		}
		want, known := documented[name]
		if !known || want != r.Scope {
			t.Errorf("%s has the scope %q; documented is %q (%v)", name, r.Scope, want, known)
		}
		if r.Scope == "" || r.Scope == api.ScopeAny { // of sessions, which have tests of their own
			continue
		}
		h := newServer(t, cfg).Handler() // with rates of its own
		for _, tt := range []struct {
			authorization, challenge string
			status                   int
		}{
			{"-", `Bearer realm="berth"`, 401},
			{"Bearer wrong", `Bearer realm="berth", error="invalid_token"`, 401},
			{"Basic wrong", `Bearer realm="berth"`, 401},
			{"Bearer all-but-" + string(r.Scope), `Bearer realm="berth", error="insufficient_scope", scope="` + string(r.Scope) + `"`, 403},
		} {
			w := call(h, r.Method, path, "", "Authorization: "+tt.authorization)
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge {
				t.Errorf("%s with %s: got %d, %s", name, tt.authorization, w.Code, w.Header().Get("WWW-Authenticate"))
				continue
			}
			if p := problemIn(t, w); p.Code != string(fault.Denied) {
				t.Errorf("%s with %s: got %+v", name, tt.authorization, p)
			}
		}
	}
}

// What a browser says of a request that a page of another site made.
func TestPagesOfOtherSites(t *testing.T) {
	const body = `{"event_type":"t"}`
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
	}{
		{"cross-site post", "POST", "/api/v1/events", body, []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"same-site post", "POST", "/api/v1/events", body, []string{"Sec-Fetch-Site: same-site"}, 403},
		{"cross-site post with its origin", "POST", "/api/v1/events", body, []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{"cross-site post with a false origin", "POST", "/api/v1/events", body, []string{"Sec-Fetch-Site: cross-site", "Origin: http://localhost:8080"}, 403},
		{"cross-site post of a null origin", "POST", "/api/v1/events", body, []string{"Origin: null"}, 403},
		{"cross-site get", "GET", "/api/v1/events", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"cross-site delete", "DELETE", "/api/v1/plugins/uninstall/order-audit", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"cross-site post to the console", "POST", "/", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"a link to the console", "GET", "/", "", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 404},
		{"a site unheard of", "POST", "/api/v1/events", body, []string{"Sec-Fetch-Site: elsewhere"}, 403},
		{"this host's page", "POST", "/api/v1/events", body, []string{"Sec-Fetch-Site: same-origin", "Origin: http://localhost:8080"}, 202},
		{"typed by the user", "GET", "/api/v1/events", "", []string{"Sec-Fetch-Site: none"}, 200},
		{"no browser", "POST", "/api/v1/events", body, nil, 202},

		{"rebound name", "POST", "/api/v1/events", body, []string{"Host: evil.example:8080", "Sec-Fetch-Site: same-origin", "Origin: http://evil.example:8080"}, 403},
		{"rebound name without a browser's headers", "POST", "/api/v1/events", body, []string{"Host: evil.example:8080"}, 403},
		{"rebound name of the console", "GET", "/", "", []string{"Host: evil.example:8080"}, 403},
		{"a name that ends like ours", "GET", "/", "", []string{"Host: notlocalhost"}, 403},
		{"localhost as a name's end", "GET", "/", "", []string{"Host: evil.localhost"}, 403},
		{"a name with our address in it", "GET", "/", "", []string{"Host: 127.0.0.1.nip.example"}, 403},
		{"a decimal address", "GET", "/", "", []string{"Host: 2130706433"}, 403},
		{"user and host", "GET", "/", "", []string{"Host: localhost@evil.example"}, 403},
		{"no host", "GET", "/", "", []string{"Host: "}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := seeded(t)
			w := call(newServer(t, config(p)).Handler(), tt.method, tt.path, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Fatalf("got %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if w.Code == 403 {
				if f := problemIn(t, w).Field; f != "Host" && f != "Origin" && f != "Sec-Fetch-Site" {
					t.Errorf("the field is %q", f)
				}
				if len(p.log) != 1 {
					t.Error("something was published")
				}
			}
		})
	}
}
