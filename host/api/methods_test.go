package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// Endpoints answer HEAD like GET (RFC 9110, 9.3.2), except for the stream, which does not
// end. They answer 405 to methods that the table does not have, and Allow lists those that
// it has.
func TestMethods(t *testing.T) {
	cfg := setup(t).cfg
	s := newServer(t, cfg)
	methods := map[string][]string{}
	for _, r := range s.Routes() {
		switch {
		case r.Missing:
			methods[r.Path] = append(methods[r.Path], []string{}...)
		case r.Method == http.MethodGet && !strings.HasSuffix(r.Path, "/stream"):
			methods[r.Path] = append(methods[r.Path], http.MethodGet, http.MethodHead)
		default:
			methods[r.Path] = append(methods[r.Path], r.Method)
		}
	}
	for path, has := range methods {
		at := strings.NewReplacer(":name", "order-audit", ":event_id", "x", ":id", "first").Replace(path)
		w := call(s.Handler(), "OPTIONS", at, "")
		if got := strings.Split(w.Header().Get("Allow"), ", "); w.Code != http.StatusNoContent || len(got) != len(has) {
			t.Errorf("OPTIONS %s: got %d with %q, want %q", at, w.Code, got, has)
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} {
			there := false
			for _, m := range has {
				there = there || m == method
			}
			if there && method != "HEAD" {
				continue // an endpoint's own tests have it
			}
			w := call(s.Handler(), method, at, "")
			if there {
				if get := call(s.Handler(), "GET", at, ""); w.Code != get.Code || w.Header().Get("Content-Type") != get.Header().Get("Content-Type") || w.Header().Get("ETag") != get.Header().Get("ETag") {
					t.Errorf("HEAD %s: %d %v; GET: %d %v", at, w.Code, w.Header(), get.Code, get.Header())
				}
				continue
			}
			allow := strings.Split(w.Header().Get("Allow"), ", ")
			if w.Code != http.StatusMethodNotAllowed || len(allow) != len(has) {
				t.Errorf("%s %s: got %d with Allow %q, want %q", method, at, w.Code, allow, has)
			}
			for _, m := range has {
				if !strings.Contains(w.Header().Get("Allow"), m) || !strings.Contains(problemIn(t, w).Detail, m) {
					t.Errorf("%s %s: Allow %q without %s: %s", method, at, allow, m, w.Body)
				}
			}
		}
	}
}
