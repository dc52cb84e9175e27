package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// wrongFile is an error about a file of the host's.
type wrongFile struct{}

func (wrongFile) Error() string { return "berth.yaml:3: rutes: unknown key" }

func (wrongFile) Details() []wire.ErrorDetail {
	return []wire.ErrorDetail{{File: "berth.yaml", Line: 3, Path: "rutes", Reason: "unknown key"}}
}

// A configuration that is wrong is not the caller's mistake: 422 with the lines.
func TestAWrongConfigurationIs422(t *testing.T) {
	p := seeded(t)
	p.err = fmt.Errorf("reload: %w", &fault.Error{Code: fault.Invalid, Reason: wrongFile{}.Error(), Err: wrongFile{}})
	h := newServer(t, config(p)).Handler()
	for _, path := range []string{"/api/v1/events/reload-config", "/api/v1/events/plugins/order-audit/disable", "/api/v1/events/plugins/order-audit/approve"} {
		body := ""
		if strings.HasSuffix(path, "/approve") {
			body = `{"sha256":"` + strings.Repeat("0a", 32) + `"}`
		}
		w := call(h, "POST", path, body)
		var got wire.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != 422 || got.Status != 422 || got.Code != "invalid" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d, %s", path, w.Code, w.Body)
		}
		if len(got.Errors) != 1 || got.Errors[0] != (wrongFile{}).Details()[0] {
			t.Errorf("%s: got %+v", path, got.Errors)
		}
	}
}
