package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// browser calls a host as a browser does: with its cookie, and without a token.
type browser struct {
	t      *testing.T
	h      http.Handler
	cookie string
}

func newBrowser(t *testing.T, h http.Handler) *browser { return &browser{t: t, h: h} }

// call is one request of a page of this host, unless the headers say otherwise.
func (b *browser) call(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	own := []string{"Authorization: -", "Origin: http://localhost:8080", "Sec-Fetch-Site: same-origin", "Berth-Console: 1"}
	if b.cookie != "" {
		own = append(own, "Cookie: "+b.cookie)
	}
	return call(b.h, method, path, body, append(own, headers...)...)
}

// login logs in and takes the cookie.
func (b *browser) login(body string) {
	b.t.Helper()
	w := b.call("POST", "/api/v1/session", body)
	if w.Code != http.StatusCreated {
		b.t.Fatalf("login: got %d: %s", w.Code, w.Body)
	}
	b.take(w)
}

func (b *browser) take(w *httptest.ResponseRecorder) {
	b.t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		b.t.Fatalf("got the cookies %v", cookies)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		b.t.Errorf("got the cookie %+v", c)
	}
	b.cookie = c.Name + "=" + c.Value
}

func TestSessionOfBrowser(t *testing.T) {
	s := setup(t)
	audit := s.cfg.Admin.Audit.(*auditLog)
	b := newBrowser(t, newServer(t, s.cfg).Handler())
	if w := b.call("GET", "/api/v1/session", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("before the login: got %d", w.Code)
	}
	b.login(`{"token":"` + secret + `"}`)
	w := b.call("GET", "/api/v1/session", "")
	var got wire.Session
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
	}
	if got.Name != "admin" || got.Expires == nil || len(got.Scopes) != 5 || got.Version == "" {
		t.Errorf("got %+v", got)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/events", "", 200},
		{"HEAD", "/api/v1/events", "", 200},
		{"POST", "/api/v1/events", `{"event_type":"t"}`, 202},
		{"POST", "/api/v1/events/plugins/order-audit/disable", "", 200},
	} {
		if w := b.call(tt.method, tt.path, tt.body); w.Code != tt.status {
			t.Errorf("%s %s: got %d %s", tt.method, tt.path, w.Code, w.Body)
		}
	}
	if w := b.call("DELETE", "/api/v1/session", ""); w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: got %d %v", w.Code, w.Header())
	}
	if w := b.call("GET", "/api/v1/events", ""); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "log in again") {
		t.Errorf("after the logout: got %d %s", w.Code, w.Body)
	}
	var actions []string
	for _, rec := range audit.records {
		if strings.Contains(string(raw(t, rec)), secret) {
			t.Errorf("the audit log has the secret: %+v", rec)
		}
		if rec.Stage == "end" {
			actions = append(actions, rec.Action+" by "+rec.Who+" "+rec.Result)
		}
	}
	if want := "login by admin ok, disable by admin ok, logout by admin ok"; strings.Join(actions, ", ") != want {
		t.Errorf("got %q, want %q", actions, want)
	}
}

func raw(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSessionShowsTokens: without a browser the endpoint describes the caller's token.
func TestSessionShowsTokens(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	w := call(h, "GET", "/api/v1/session", "", "Authorization: Bearer narrow")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"name":"narrow","scopes":["read"],"expires":null`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := call(h, "DELETE", "/api/v1/session", "", "Authorization: Bearer narrow"); w.Code != http.StatusNoContent {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestSessionIsForOwnPagesOnly: a browser sends the cookie with requests that pages of other
// sites, other ports and other names have caused; none of them is admitted.
func TestSessionIsForOwnPagesOnly(t *testing.T) {
	b := newBrowser(t, newServer(t, setup(t).cfg).Handler())
	b.login(`{"token":"` + secret + `"}`)
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		status             int
		field              string
	}{
		{"a form of another site", "POST", "/api/v1/events/reload-config", []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Berth-Console: -"}, 403, "Origin"},
		{"a form without an origin", "POST", "/api/v1/events/reload-config", []string{"Origin: -", "Sec-Fetch-Site: cross-site", "Berth-Console: -"}, 403, "Sec-Fetch-Site"},
		{"a form of an opaque origin", "POST", "/api/v1/events/reload-config", []string{"Origin: null", "Berth-Console: -"}, 403, "Origin"},
		{"an old browser's form", "POST", "/api/v1/events/reload-config", []string{"Origin: -", "Sec-Fetch-Site: -", "Berth-Console: -"}, 403, "Berth-Console"},
		{"the header with another value", "POST", "/api/v1/events/reload-config", []string{"Berth-Console: 0"}, 403, "Berth-Console"},
		{"a page at another port", "POST", "/api/v1/events/reload-config", []string{"Origin: http://localhost:9090", "Sec-Fetch-Site: same-site"}, 403, "Origin"},
		{"an image at another port", "GET", "/api/v1/events", []string{"Origin: -", "Sec-Fetch-Site: same-site", "Berth-Console: -"}, 403, "Sec-Fetch-Site"},
		{"a page of another site that reads", "GET", "/api/v1/events", []string{"Origin: https://evil.example", "Berth-Console: -"}, 403, "Origin"},
		{"a link of another site", "GET", "/api/v1/events", []string{"Origin: -", "Sec-Fetch-Site: cross-site", "Berth-Console: -"}, 403, "Sec-Fetch-Site"},
		{"a rebound name", "GET", "/api/v1/events", []string{"Host: evil.example:8080", "Origin: http://evil.example:8080"}, 403, "Host"},
		{"a host at another port", "GET", "/api/v1/events", []string{"Host: localhost:9090", "Origin: http://localhost:9090"}, 401, "Authorization"},
		{"logout from another site", "DELETE", "/api/v1/session", []string{"Origin: https://evil.example", "Berth-Console: -"}, 403, "Origin"},
	} {
		w := b.call(tt.method, tt.path, "", tt.headers...)
		if got := problemIn(t, w); w.Code != tt.status || got.Field != tt.field {
			t.Errorf("%s: got %d %+v, want %d about %s", tt.name, w.Code, got, tt.status, tt.field)
		}
	}
	for name, headers := range map[string][]string{
		"the address bar": {"Origin: -", "Sec-Fetch-Site: none", "Berth-Console: -"},
		"its own page":    {"Origin: -", "Berth-Console: -"}, // browsers send no Origin with a GET
	} {
		if w := b.call("GET", "/api/v1/events", "", headers...); w.Code != 200 {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
}

// TestLoginIsForOwnPagesOnly: another page can neither log a browser in as somebody else, nor
// read who is logged in.
func TestLoginIsForOwnPagesOnly(t *testing.T) {
	b := newBrowser(t, newServer(t, setup(t).cfg).Handler())
	body := `{"token":"` + secret + `"}`
	for name, headers := range map[string][]string{
		"another site":        {"Origin: https://evil.example"},
		"another port":        {"Origin: http://localhost:9090"},
		"a form":              {"Content-Type: text/plain"},
		"without the header":  {"Berth-Console: -"},
		"by a rebound name":   {"Host: evil.example"},
		"with two of the two": {"Content-Type: application/x-www-form-urlencoded", "Berth-Console: -"},
	} {
		if w := b.call("POST", "/api/v1/session", body, headers...); w.Code < 400 || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: got %d %v", name, w.Code, w.Header())
		}
	}
}

func TestLoginBody(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	for _, tt := range []struct {
		body   string
		status int
	}{
		{`{}`, 400}, {``, 415}, {`[]`, 400}, {`null`, 400}, {`{"token":""}`, 400}, {`{"token":7}`, 400},
		{`{"token":"` + secret + `","code":"x"}`, 400},
		{`{"token":"` + secret + `","more":1}`, 400},
		{`{"token":"wrong"}`, 401}, {`{"code":"wrong"}`, 401},
		{"{\"token\":\"\xff\"}", 400},
		{`{"token":"` + strings.Repeat("x", 5000) + `"}`, 413},
	} {
		w := newBrowser(t, h).call("POST", "/api/v1/session", tt.body)
		if w.Code != tt.status || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%.60s: got %d %s, want %d", tt.body, w.Code, w.Body, tt.status)
		}
	}
}

// TestWrongLoginsAreLimited: an address that guesses is refused with 429, and a browser
// whose session has ended does not count.
func TestWrongLoginsAreLimited(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	stale := newBrowser(t, h)
	stale.login(`{"token":"` + secret + `"}`)
	stale.call("DELETE", "/api/v1/session", "")
	for range 50 {
		if w := stale.call("GET", "/api/v1/events", ""); w.Code != http.StatusUnauthorized {
			t.Fatalf("an ended session: got %d", w.Code)
		}
	}
	limited := 0
	for i := range 40 {
		if w := newBrowser(t, h).call("POST", "/api/v1/session", fmt.Sprintf(`{"token":"guess-%d"}`, i)); w.Code == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited == 0 {
		t.Error("40 guesses were answered")
	}
}

// TestLoginReplacesSession: the id in a browser before a login never becomes a session, and
// an earlier session ends.
func TestLoginReplacesSession(t *testing.T) {
	b := newBrowser(t, newServer(t, setup(t).cfg).Handler())
	b.cookie = "berth_session_8080=planted"
	b.login(`{"token":"narrow"}`)
	if strings.Contains(b.cookie, "planted") {
		t.Fatal("the login took an id that the browser had")
	}
	former := b.cookie
	b.login(`{"token":"narrow"}`)
	if former == b.cookie {
		t.Fatal("two logins have the same id")
	}
	planted := &browser{t, b.h, "berth_session_8080=planted"}
	if w := planted.call("GET", "/api/v1/events", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the planted id: got %d", w.Code)
	}
	if w := (&browser{t, b.h, former}).call("GET", "/api/v1/events", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the former session: got %d", w.Code)
	}
	if w := b.call("GET", "/api/v1/events", "", "Cookie: berth_session_8080=planted; "+b.cookie); w.Code != http.StatusUnauthorized {
		t.Errorf("two cookies: got %d", w.Code)
	}
}

// TestSessionHasScopesOfItsToken: a session may do what its token may, for as long as that
// is valid.
func TestSessionHasScopesOfItsToken(t *testing.T) {
	s := setup(t)
	b := newBrowser(t, newServer(t, s.cfg).Handler())
	b.login(`{"token":"narrow"}`)
	if w := b.call("GET", "/api/v1/events", ""); w.Code != 200 {
		t.Errorf("to read: got %d", w.Code)
	}
	for _, path := range []string{"/api/v1/events/plugins/order-audit/disable", "/api/v1/session/links", "/api/v1/backup"} {
		if w := b.call("POST", path, ""); w.Code != http.StatusForbidden {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
	if w := b.call("POST", "/api/v1/events", `{"event_type":"t"}`); w.Code != http.StatusForbidden {
		t.Errorf("to publish: got %d", w.Code)
	}
	s.cfg.Guard.Tokens.(*tokens).revoked.Store(true)
	if w := b.call("GET", "/api/v1/events", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("with a revoked token: got %d", w.Code)
	}
}

// TestTokenGoesBeforeSession: a request with a token is that token's, whatever its cookie.
func TestTokenGoesBeforeSession(t *testing.T) {
	b := newBrowser(t, newServer(t, setup(t).cfg).Handler())
	b.login(`{"token":"` + secret + `"}`)
	if w := b.call("GET", "/api/v1/session", "", "Authorization: Bearer narrow"); !strings.Contains(w.Body.String(), `"name":"narrow"`) {
		t.Errorf("got %s", w.Body)
	}
	if w := b.call("GET", "/api/v1/session", "", "Authorization: Bearer wrong"); w.Code != http.StatusUnauthorized {
		t.Errorf("got %d", w.Code)
	}
}

func TestLoginLink(t *testing.T) {
	s := setup(t)
	audit := s.cfg.Admin.Audit.(*auditLog)
	h := newServer(t, s.cfg).Handler()
	w := call(h, "POST", "/api/v1/session/links", "")
	var link wire.LoginLink
	if err := json.Unmarshal(w.Body.Bytes(), &link); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
	}
	code, found := strings.CutPrefix(link.Path, "/login#code=")
	if !found || len(code) < 43 {
		t.Fatalf("got the path %q", link.Path)
	}
	b := newBrowser(t, h)
	b.login(`{"code":"` + code + `"}`)
	if w := b.call("GET", "/api/v1/session", ""); !strings.Contains(w.Body.String(), `"name":"admin"`) {
		t.Errorf("got %s", w.Body)
	}
	again := newBrowser(t, h).call("POST", "/api/v1/session", `{"code":"`+code+`"}`)
	if again.Code != http.StatusUnauthorized || !strings.Contains(again.Body.String(), "berth console") {
		t.Errorf("a second use: got %d %s", again.Code, again.Body)
	}
	for _, rec := range audit.records {
		if strings.Contains(string(raw(t, rec)), code) {
			t.Errorf("the audit log has the code: %+v", rec)
		}
	}
	if w := call(h, "POST", "/api/v1/session/links", "", "Authorization: Bearer narrow"); w.Code != http.StatusForbidden {
		t.Errorf("with a token that is not the admin's: got %d", w.Code)
	}
}

// TestLoginThatCannotBeRecordedIsRefused: no session begins without its record.
func TestLoginThatCannotBeRecordedIsRefused(t *testing.T) {
	s := setup(t)
	s.cfg.Admin.Audit = &auditLog{failAt: 1, err: fault.New(fault.Exhausted, "the disk is full")}
	w := newBrowser(t, newServer(t, s.cfg).Handler()).call("POST", "/api/v1/session", `{"token":"narrow"}`)
	if w.Code < 500 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

// TestStreamOfSession: a browser follows the stream with its cookie, until it logs out in
// another tab or its token is revoked.
func TestStreamOfSession(t *testing.T) {
	for name, end := range map[string]func(b *browser, v *tokens){
		"logout":  func(b *browser, _ *tokens) { b.call("DELETE", "/api/v1/session", "") },
		"revoked": func(_ *browser, v *tokens) { v.revoked.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := setup(t).cfg
			cfg.Guard.TokenCheck = time.Millisecond
			s := serve(t, cfg)
			b := newBrowser(t, s.Handler())
			b.login(`{"token":"narrow"}`)
			_, id, _ := strings.Cut(b.cookie, "=")
			_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
			resp := s.get(t, "/api/v1/events/stream", "Authorization: ", "Cookie: berth_session_"+port+"="+id)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("got %d", resp.StatusCode)
			}
			body := bufio.NewReader(resp.Body)
			if got := block(t, body); !strings.Contains(got, "event: hello") {
				t.Fatalf("got %q", got)
			}
			end(b, cfg.Guard.Tokens.(*tokens))
			if _, err := io.ReadAll(body); err != nil { // it ends
				t.Error(err)
			}
		})
	}
}
