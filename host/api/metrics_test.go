package api_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api/traffic"
	"github.com/berth-host/berth/host/wire"
)

// series is a host whose handler has had one step.
type series struct{}

func (series) Overview(context.Context) (wire.Overview, error) {
	return wire.Overview{Version: "1.2.3", Ready: true, EventsPerS: 2.5}, nil
}

func (series) Series(_ context.Context, plugin string, day bool) (wire.Series, error) {
	s := wire.Series{Plugin: plugin, StepS: 10, Values: map[string][]*float64{"lag": {nil, new(3.0)}}}
	if day {
		s.StepS = 60
	}
	return s, nil
}

func TestOverviewAndSeriesAnswer(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/api/v1/overview", 200, `"events_per_s":2.5`},
		{"/api/v1/overview", 200, `"handlers":[]`},
		{"/api/v1/series", 200, `"values":{"lag":[null,3]},"markers":[]`},
		{"/api/v1/series?range=1h", 200, `"step_s":10`},
		{"/api/v1/series?plugin=order-audit&range=24h", 200, `"plugin":"order-audit"`},
		{"/api/v1/series?plugin=order-audit&range=24h", 200, `"step_s":60`},
		{"/api/v1/series?plugin=other", 404, `there is no plugin`},
		{"/api/v1/series?plugin=No+Name", 400, `is not the name of a plugin`},
		{"/api/v1/series?range=2h", 400, `it must be 1h or 24h`},
		{"/api/v1/series?step=5", 400, `is not a parameter here`},
	} {
		w := call(h, "GET", tt.path, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: got %d %s, want %d with %s", tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestMetricsNeedTokenUnlessOpenOnLoopback(t *testing.T) {
	for _, tt := range []struct {
		name               string
		open               bool
		remote, host       string
		header             string
		status, statusOpen int
	}{
		{name: "loopback", remote: "127.0.0.1:4000", host: "127.0.0.1:8080", status: 401, statusOpen: 200},
		{name: "loopback by name", remote: "[::1]:4000", host: "localhost:8080", status: 401, statusOpen: 200},
		{name: "another machine", remote: "192.0.2.7:4000", host: "berth.internal:8080", status: 401, statusOpen: 401},
		{name: "proxy on this machine", remote: "127.0.0.1:4000", host: "berth.example.com", status: 401, statusOpen: 401},
		{name: "proxy that forwards", remote: "127.0.0.1:4000", host: "localhost", header: "X-Forwarded-For: 192.0.2.7", status: 401, statusOpen: 401},
		{name: "wrong token", remote: "127.0.0.1:4000", host: "localhost", header: "Authorization: Bearer wrong", status: 401, statusOpen: 401},
		{name: "read token", remote: "192.0.2.7:4000", host: "localhost", header: "Authorization: Bearer " + secret, status: 200, statusOpen: 200},
		{name: "another site's page", remote: "127.0.0.1:4000", host: "localhost", header: "Sec-Fetch-Site: cross-site", status: 403, statusOpen: 403},
	} {
		for _, open := range []bool{false, true} {
			cfg := setup(t).cfg
			cfg.Guard.OpenMetrics = open
			r := httptest.NewRequest("GET", "/metrics", nil)
			r.RemoteAddr, r.Host = tt.remote, tt.host
			if name, value, found := strings.Cut(tt.header, ": "); found {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			newServer(t, cfg).Handler().ServeHTTP(w, r)
			want := tt.status
			if open {
				want = tt.statusOpen
			}
			if w.Code != want || want == 200 != (w.Body.String() == "berth_ready 1\n") {
				t.Errorf("%s, open %v: got %d %s, want %d", tt.name, open, w.Code, w.Body, want)
			}
		}
	}
}

func TestOpenMetricsOpenNothingElse(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Guard.OpenMetrics = true
	h := newServer(t, cfg).Handler()
	for _, path := range []string{"/api/v1/overview", "/api/v1/events", "/metrics/../api/v1/events"} {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 400 {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
}

func TestRequestsAreCountedByEndpoint(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Traffic = traffic.New()
	h := newServer(t, cfg).Handler()
	for _, r := range []string{"GET /api/v1/events/e1", "GET /api/v1/events/e2", "GET /api/v1/events", "GET /nothing/here", "BREW /healthz", "GET /healthz"} {
		method, path, _ := strings.Cut(r, " ")
		call(h, method, path, "")
	}
	call(h, "GET", "/api/v1/events", "", "Authorization: -")
	call(h, "POST", "/api/v1/events", `{"event_type":"a","data":{}}`, "Content-Type: application/json")
	got := map[string][6]uint64{}
	durations, unauthenticated := uint64(0), uint64(0)
	for _, r := range cfg.Traffic.List() {
		got[r.Method+" "+r.Path] = r.Classes
		durations += r.Duration.Count()
		unauthenticated += r.Refused[0]
	}
	want := map[string][6]uint64{
		"GET /api/v1/events/:id": {4: 2}, "GET /api/v1/events": {2: 1, 4: 1}, "any unknown": {4: 2}, "GET /healthz": {2: 1},
		"POST /api/v1/events": {2: 1},
	}
	if text, _ := json.Marshal(got); len(got) != len(want) {
		t.Errorf("got %s", text)
	}
	for name, classes := range want {
		if got[name] != classes {
			t.Errorf("%s: got %v, want %v", name, got[name], classes)
		}
	}
	if durations != 8 || unauthenticated != 1 {
		t.Errorf("got %d durations, %d unauthenticated", durations, unauthenticated)
	}
}
