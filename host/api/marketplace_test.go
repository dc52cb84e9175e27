package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// market is a marketplace that answers the same to everything.
type market struct {
	page  wire.Marketplace
	err   error
	asked spec.ListingQuery
}

func (m *market) Listings(_ context.Context, q spec.ListingQuery) (wire.Marketplace, error) {
	m.asked = q
	return m.page, m.err
}

// upstreamError is an error of a marketplace.
type upstreamError struct{ error }

func (f upstreamError) Unwrap() error { return f.error }
func (upstreamError) Upstream()       {}

func TestMarketplace(t *testing.T) {
	m := &market{page: wire.Marketplace{
		Marketplace: "shop", FetchedAt: time.Unix(0, 0).UTC(), Expires: time.Unix(1, 0).UTC(), Stale: true, Reason: "it is down",
		Items: []wire.Listing{{Publisher: "acme", Name: "echo", Version: "1.0.0", Capabilities: []wire.ListingCapability{}, Versions: []wire.ListingVersion{}}},
	}}
	cfg := setup(t).cfg
	cfg.Plugins.Marketplace = m
	h := newServer(t, cfg).Handler()
	w := call(h, "GET", "/api/v1/plugins/marketplace?q=echo+x&publisher=acme&limit=7&cursor=a%2Fb", "")
	want := spec.ListingQuery{Text: "echo x", Publisher: "acme", Limit: 7, Cursor: "a/b"}
	if w.Code != http.StatusOK || m.asked != want {
		t.Errorf("got %d, asked %+v", w.Code, m.asked)
	}
	if w := call(h, "GET", "/api/v1/plugins/marketplace?refresh=true", ""); w.Code != http.StatusOK || !m.asked.Refresh {
		t.Errorf("refresh: got %d, asked %+v", w.Code, m.asked)
	}
	if w := call(h, "GET", "/api/v1/plugins/marketplace?refresh=now", ""); w.Code != http.StatusBadRequest || problemIn(t, w).Field != "refresh" {
		t.Errorf("refresh=now: got %d, %s", w.Code, w.Body)
	}
	for _, text := range []string{
		`{"items":[{"publisher":"acme","name":"echo","version":"1.0.0","description":""`, `"installed":null,"update_available":null}],"next":null`,
		`"stale":true,"reason":"it is down","fetched_at":"1970-01-01T00:00:00Z","expires":"1970-01-01T00:00:01Z","expired":false`,
	} {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s is not in %s", text, w.Body)
		}
	}
	m.page = wire.Marketplace{}
	if w := call(h, "GET", "/api/v1/plugins/marketplace", ""); m.asked.Limit != 50 || !strings.Contains(w.Body.String(), `{"items":[],`) {
		t.Errorf("nothing: %s, asked %+v", w.Body, m.asked)
	}
	for _, tt := range []struct {
		path   string
		err    error
		status int
		code   fault.Code
	}{
		{"", upstreamError{fault.New(fault.Unavailable, "it is down")}, 502, fault.Unavailable},
		{"", upstreamError{fault.New(fault.Timeout, "it is slow")}, 502, fault.Timeout},
		{"", fmt.Errorf("wrapped: %w", upstreamError{fault.New(fault.Denied, "its signature is wrong")}), 502, fault.Denied},
		{"", upstreamError{fault.New(fault.NotFound, "it has none")}, 404, fault.NotFound},
		{"", fault.New(fault.Unavailable, "the host is closing"), 503, fault.Unavailable},
		{"", fault.New(fault.NotFound, "the marketplace is disabled"), 404, fault.NotFound},
		{"", fault.Field("cursor", "is none"), 400, fault.Invalid},
		{"", fault.New(fault.Exhausted, "the disk is full"), 507, fault.Exhausted},
		{"", errors.New("a defect"), 500, fault.Internal},
		{"?limit=1000", nil, 400, fault.Invalid},
		{"?query=x", nil, 400, fault.Invalid},
	} {
		m.err = tt.err
		w := call(h, "GET", "/api/v1/plugins/marketplace"+tt.path, "")
		if got := problemIn(t, w); w.Code != tt.status || got.Code != string(tt.code) {
			t.Errorf("%s %v: got %d %+v", tt.path, tt.err, w.Code, got)
		}
	}
}
