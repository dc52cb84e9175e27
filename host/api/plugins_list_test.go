package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/wire"
)

// listed is a registry with these plugins.
type listed struct {
	ports.Registry
	plugins []wire.Plugin
}

func (l listed) List() []wire.Plugin { return append([]wire.Plugin(nil), l.plugins...) }

// TestPluginsAreListed: whole without a limit, as callers of earlier versions expect, else in
// pages; filtered by name and state.
func TestPluginsAreListed(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Plugins.Registry = listed{cfg.Plugins.Registry, []wire.Plugin{
		{Name: "stock-alert", State: wire.Active}, {Name: "fraud-check", State: wire.Paused}, {Name: "fraud-check", State: wire.Rejected},
		{Name: "stock-audit", State: wire.Active}, {Name: "alert", State: wire.Paused},
	}}
	h := newServer(t, cfg).Handler()
	for query, want := range map[string]string{
		"":                                 "alert fraud-check fraud-check stock-alert stock-audit",
		"?limit=500":                       "alert fraud-check fraud-check stock-alert stock-audit",
		"?limit=1":                         "alert → alert",
		"?limit=2":                         "alert fraud-check fraud-check → fraud-check",
		"?limit=1&cursor=fraud-check":      "stock-alert → stock-alert",
		"?limit=1&cursor=stock-alert":      "stock-audit",
		"?cursor=gone":                     "stock-alert stock-audit",
		"?cursor=zebra":                    "",
		"?name=alert":                      "alert stock-alert",
		"?name=alert&state=paused":         "alert",
		"?state=active&limit=1":            "stock-alert → stock-alert",
		"?state=active&limit=1&cursor=zzz": "",
		"?name=nothing":                    "",
	} {
		w := call(h, "GET", "/api/v1/events/plugins"+query, "")
		var list wire.List[wire.Plugin]
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 || list.Items == nil {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		var names []string
		for _, p := range list.Items {
			names = append(names, p.Name)
		}
		if list.Next != nil {
			names = append(names, "→", *list.Next)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	for query, field := range map[string]string{"?limit=0": "limit", "?limit=501": "limit", "?state=running": "state", "?name=": "name", "?q=x": "q"} {
		w := call(h, "GET", "/api/v1/events/plugins"+query, "")
		if got := problemIn(t, w); got.Status != 400 || got.Field != field {
			t.Errorf("%s: got %+v", query, got)
		}
	}
}
