package console_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/console"
)

func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	handler, err := console.New()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result()
}

func TestPathsAnswerTheirFile(t *testing.T) {
	for path, want := range map[string]struct {
		status      int
		contentType string
	}{
		"/":                               {200, "text/html; charset=utf-8"},
		"/login":                          {200, "text/html; charset=utf-8"},
		"/events":                         {200, "text/html; charset=utf-8"},
		"/events/order:o-1:v4":            {200, "text/html; charset=utf-8"},
		"/events/a%2Fb":                   {200, "text/html; charset=utf-8"},
		"/handlers/fraud-check":           {200, "text/html; charset=utf-8"},
		"/console/app.js":                 {200, "text/javascript; charset=utf-8"},
		"/console/pages/event.js":         {200, "text/javascript; charset=utf-8"},
		"/console/console.css":            {200, "text/css; charset=utf-8"},
		"/console/icon.svg":               {200, "image/svg+xml"},
		"/console/":                       {404, ""},
		"/console/pages":                  {404, ""},
		"/console/nothing.js":             {404, ""},
		"/console/../console.go":          {404, ""},
		"/console/..%2Fconsole.go":        {404, ""},
		"/favicon.ico":                    {404, ""},
		"//api/v1/events":                 {404, ""}, // of a client whose base URL ends with a slash
		"//evil.example/":                 {404, ""},
		"/no-such-page":                   {404, ""},
		"/eventsandmore":                  {404, ""},
		"/console/assets/app.js":          {404, ""},
		"/console//app.js":                {404, ""},
		"/console/pages/../../console.go": {404, ""},
	} {
		got := get(t, http.MethodGet, path)
		if got.StatusCode != want.status {
			t.Errorf("%s: status %d, want %d", path, got.StatusCode, want.status)
		}
		if want.status == 200 && got.Header.Get("Content-Type") != want.contentType {
			t.Errorf("%s: type %q, want %q", path, got.Header.Get("Content-Type"), want.contentType)
		}
	}
}

func TestFilesHaveStrictHeaders(t *testing.T) {
	for _, path := range []string{"/", "/console/app.js", "/console/console.css", "/console/icon.svg"} {
		got := get(t, http.MethodGet, path).Header
		policy := make(map[string]string)
		for directive := range strings.SplitSeq(got.Get("Content-Security-Policy"), "; ") {
			name, value, _ := strings.Cut(directive, " ")
			policy[name] = value
		}
		for name, want := range map[string]string{
			"default-src": "'self'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
			"base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'", "object-src": "'none'",
			"require-trusted-types-for": "'script'", "trusted-types": "'none'",
		} {
			if policy[name] != want {
				t.Errorf("%s: the policy's %s is %q, want %q", path, name, policy[name], want)
			}
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache"} {
			if got.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got.Get(name), want)
			}
		}
	}
}

func TestFilesAreRevalidated(t *testing.T) {
	first := get(t, http.MethodGet, "/console/app.js")
	tag := first.Header.Get("ETag")
	if !regexp.MustCompile(`^"[0-9a-f]{24}"$`).MatchString(tag) {
		t.Fatalf("ETag %q", tag)
	}
	if got := get(t, http.MethodGet, "/console/app.js", "If-None-Match", tag); got.StatusCode != http.StatusNotModified {
		t.Errorf("the same ETag: status %d, want 304", got.StatusCode)
	}
	if got := get(t, http.MethodGet, "/console/app.js", "If-None-Match", `"other"`); got.StatusCode != http.StatusOK {
		t.Errorf("another ETag: status %d, want 200", got.StatusCode)
	}
	if got := get(t, http.MethodHead, "/console/app.js"); got.StatusCode != http.StatusOK || got.ContentLength <= 0 {
		t.Errorf("HEAD: status %d, length %d", got.StatusCode, got.ContentLength)
	}
	if other := get(t, http.MethodGet, "/console/ui.js").Header.Get("ETag"); other == tag {
		t.Error("two files have one ETag")
	}
}

// The shell is answered at exactly those paths for which app.js has a page.
func TestShellIsAnsweredForEveryPage(t *testing.T) {
	text, err := os.ReadFile("assets/app.js")
	if err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile(`\["(/[^"]*)", "([a-z-]+)"\]`).FindAllStringSubmatch(string(text), -1)
	if len(routes) < 18 {
		t.Fatalf("only %d routes were found", len(routes))
	}
	var modules []string
	for _, route := range routes {
		modules = append(modules, route[2]+".js")
		path := regexp.MustCompile(`:[a-z]+`).ReplaceAllString(route[1], "x")
		if got := get(t, http.MethodGet, path).StatusCode; got != http.StatusOK {
			t.Errorf("%s: status %d", path, got)
		}
	}
	files, err := os.ReadDir("assets/pages")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
		if !slices.Contains(modules, file.Name()) {
			t.Errorf("no route shows pages/%s", file.Name())
		}
	}
	for _, module := range modules {
		if !slices.Contains(names, module) {
			t.Errorf("a route shows pages/%s, which does not exist", module)
		}
	}
}
