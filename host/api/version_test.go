package api_test

import (
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// Every answer has the header by which clients recognise a host.
func TestEveryAnswerNamesTheVersion(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Version = "1.2.3"
	h := newServer(t, cfg).Handler()
	for _, tt := range []struct {
		method, path, header string
		status               int
	}{
		{"GET", "/healthz", "Authorization: -", 200},
		{"GET", "/readyz", "Authorization: -", 200},
		{"GET", "/openapi.json", "Authorization: -", 200},
		{"GET", "/api/v1/orders", "Accept: */*", 200},
		{"GET", "/api/v1/orders/A-1", `If-None-Match: "1"`, 304},
		{"OPTIONS", "/api/v1/orders", "Accept: */*", 204},
		{"POST", "/api/v1/orders", "Accept: */*", 415},
		{"GET", "/api/v1/orders", "Authorization: -", 401},
		{"GET", "/api/v1/orders", "Host: elsewhere.example", 403},
		{"GET", "/api/v1/none", "Accept: */*", 404},
		{"GET", "/none", "Authorization: -", 404},
		{"DELETE", "/api/v1/orders", "Accept: */*", 405},
	} {
		w := call(h, tt.method, tt.path, "", tt.header)
		if got := w.Header().Values(wire.VersionHeader); w.Code != tt.status || len(got) != 1 || got[0] != "1.2.3" {
			t.Errorf("%s %s (%s): got %d with %q", tt.method, tt.path, tt.header, w.Code, got)
		}
	}
	if w := call(newServer(t, setup(t).cfg).Handler(), "GET", "/healthz", ""); w.Header().Get(wire.VersionHeader) != "dev" {
		t.Errorf("without a version: got %q", w.Header())
	}
}
