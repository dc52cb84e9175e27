package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/wire"
)

func TestOrderNotModified(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	for _, tag := range []string{`"1"`, `W/"1"`, `"9", "1"`, "*"} {
		w := call(h, "GET", "/api/v1/orders/A-1", "", "If-None-Match: "+tag)
		if w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != `"1"` {
			t.Errorf("%s: got %d, %q, ETag %q", tag, w.Code, w.Body, w.Header().Get("ETag"))
		}
	}
}

// Every way to write the header wrong, at every place that reads it.
func TestMalformedTags(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	for _, tag := range []string{"", ",", `"`, `"a`, `a"`, `"a" "b"`, `"a"b`, `w/"a"`, "W/", `*, "a"`, "\"a\x7f\"", `"a b"`, "-1", "abc", strings.Repeat("9", 20)} {
		for _, path := range []string{"/api/v1/orders/A-1/status", "/api/v1/events/plugins/order-audit/disable", "/api/v1/events/plugins/order-audit/approve"} {
			body := ""
			if strings.HasSuffix(path, "/status") {
				body = `{"status":"confirmed"}`
			}
			w := call(h, "POST", path, body, "If-Match: "+tag)
			if w.Code != 400 || problemIn(t, w).Field != "If-Match" {
				t.Errorf("%s with %q: got %d, %s", path, tag, w.Code, w.Body)
			}
		}
	}
}

func TestSwitchIfMatch(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	tag := func() string {
		t.Helper()
		got := call(h, "GET", "/api/v1/events/plugins/order-audit", "").Header().Get("ETag")
		if len(got) < 10 || got[0] != '"' {
			t.Fatalf("the ETag is %q", got)
		}
		return got
	}
	on := tag()
	w := call(h, "POST", "/api/v1/events/plugins/order-audit/disable", "", "If-Match: "+on)
	off := tag()
	if w.Code != 200 || w.Header().Get("ETag") != off || off == on {
		t.Errorf("got %d, ETag %s, then %s, before %s", w.Code, w.Header().Get("ETag"), off, on)
	}
	for _, verb := range []string{"enable", "disable", "pause", "resume"} {
		for _, header := range []string{on, "W/" + off} {
			w := call(h, "POST", "/api/v1/events/plugins/order-audit/"+verb, "", "If-Match: "+header)
			if got := problemIn(t, w); got.Status != 412 || got.Field != "If-Match" || !strings.Contains(got.Detail, "disabled") {
				t.Errorf("%s with %s: got %+v", verb, header, got)
			}
		}
		if w := call(h, "POST", "/api/v1/events/plugins/none/"+verb, "", "If-Match: *"); w.Code != 404 {
			t.Errorf("%s of an unknown plugin: got %d", verb, w.Code)
		}
	}
	if tag() != off {
		t.Error("something was switched")
	}
	for _, header := range []string{off, "*"} {
		if w := call(h, "POST", "/api/v1/events/plugins/order-audit/enable", "", "If-Match: "+header); w.Code != 200 {
			t.Errorf("%s: got %d: %s", header, w.Code, w.Body)
		}
		call(h, "POST", "/api/v1/events/plugins/order-audit/disable", "")
	}
}

// Every change of a plugin observes the header.
func TestEveryChangeOfAPluginHeedsIfMatch(t *testing.T) {
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	tag := call(h, "GET", "/api/v1/events/plugins/order-audit", "").Header().Get("ETag")
	for _, path := range []string{"POST /api/v1/events/plugins/order-audit/approve", "POST /api/v1/events/plugins/order-audit/upgrade",
		"POST /api/v1/events/plugins/order-audit/rollback", "DELETE /api/v1/plugins/uninstall/order-audit"} {
		method, path, _ := strings.Cut(path, " ")
		w := call(h, method, path, "", `If-Match: "another"`)
		if got := problemIn(t, w); got.Status != 412 || got.Field != "If-Match" {
			t.Errorf("%s: got %+v", path, got)
		}
		if len(p.approved)+len(p.installed) != 0 || p.flags != "" {
			t.Errorf("%s has done something: %+v, %+v, %s", path, p.approved, p.installed, p.flags)
		}
	}
	w := call(h, "POST", "/api/v1/events/plugins/order-audit/approve", "", "If-Match: "+tag)
	if w.Code != 200 || w.Header().Get("ETag") != tag {
		t.Errorf("got %d, ETag %s: %s", w.Code, w.Header().Get("ETag"), w.Body)
	}
	if w := call(h, "DELETE", "/api/v1/plugins/uninstall/order-audit?prune=true", ""); w.Code != 400 {
		t.Errorf("a flag that there is not: got %d", w.Code)
	}
}

// Who waits for its turn finds what has become of the plugin meanwhile.
func TestIfMatchIsCheckedAgainBeforeTheChange(t *testing.T) {
	for _, request := range []string{"POST /api/v1/events/plugins/order-audit/upgrade", "POST /api/v1/events/plugins/order-audit/rollback", "DELETE /api/v1/plugins/uninstall/order-audit"} {
		p := seeded(t)
		h := newServer(t, config(p)).Handler()
		tag := call(h, "GET", "/api/v1/events/plugins/order-audit", "").Header().Get("ETag")
		p.switched = true
		method, path, _ := strings.Cut(request, " ")
		if got := problemIn(t, call(h, method, path, "", "If-Match: "+tag)); got.Status != 412 || got.Field != "If-Match" || len(p.installed) != 0 || p.flags != "" {
			t.Errorf("%s: got %+v; done is %+v %s", request, got, p.installed, p.flags)
		}
		if w := call(h, method, path, ""); w.Code == 412 {
			t.Errorf("%s without the header: got %d, %s", request, w.Code, w.Body)
		}
	}
}

// Of many who have seen the same, one switches.
func TestSwitchIfMatchHammer(t *testing.T) {
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	for range 20 {
		p.mu.Lock()
		p.enabled["order-audit"] = true
		p.mu.Unlock()
		tag := call(h, "GET", "/api/v1/events/plugins/order-audit", "").Header().Get("ETag")
		codes := make(chan int)
		for range 8 {
			go func() {
				codes <- call(h, "POST", "/api/v1/events/plugins/order-audit/disable", "", "If-Match: "+tag).Code
			}()
		}
		got := map[int]int{}
		for range 8 {
			got[<-codes]++
		}
		if got[200] != 1 || got[412] != 7 {
			t.Fatalf("got %v", got)
		}
	}
}

// states answers one plugin in the state it is given.
type states struct {
	*parts
	plugin wire.Plugin
}

func (s *states) Plugin(string) (wire.Plugin, bool) { return s.plugin, true }

// The tag follows what was decided, and not what happens by itself.
func TestPluginTag(t *testing.T) {
	b := setup(t)
	p, cfg := b.parts, b.cfg
	s := &states{parts: p}
	cfg.Plugins.Registry = s
	h := newServer(t, cfg).Handler()
	tag := func(change wire.Plugin) string {
		s.plugin = change
		return call(h, "GET", "/api/v1/events/plugins/x", "").Header().Get("ETag")
	}
	base := wire.Plugin{Name: "x", State: wire.Active, SHA256: "00", Version: "1", Subscribes: []string{"a"}, Capabilities: []wire.Capability{{Name: "kv"}}}
	want := tag(base)
	base.Pending = &wire.PendingVersion{SHA256: "01"}
	if a, b := tag(base), tag(base); a != b {
		t.Errorf("the same has the tags %s and %s", a, b)
	}
	base.Pending = nil
	for _, same := range []func(*wire.Plugin){
		func(p *wire.Plugin) { p.Delivered, p.Lag, p.Fuel, p.Instances = 1, 2, 3, 4 },
		func(p *wire.Plugin) { p.State, p.Reason = wire.BreakerOpen, "ten failures" },
		func(p *wire.Plugin) { p.State = wire.Vetting },
		func(p *wire.Plugin) { p.State = wire.Draining },
		func(p *wire.Plugin) { p.State = wire.NeedsApproval },
	} {
		other := base
		same(&other)
		if got := tag(other); got != want {
			t.Errorf("%+v has the tag %s, want %s", other, got, want)
		}
	}
	seen := map[string]string{want: "base"}
	for i, change := range []func(*wire.Plugin){
		func(p *wire.Plugin) { p.State = wire.Disabled },
		func(p *wire.Plugin) { p.State = wire.Paused },
		func(p *wire.Plugin) { p.State = wire.Held },
		func(p *wire.Plugin) { p.State = wire.Rejected },
		func(p *wire.Plugin) { p.SHA256 = "01" },
		func(p *wire.Plugin) { p.Version = "2" },
		func(p *wire.Plugin) { p.Subscribes = []string{"a", "b"} },
		func(p *wire.Plugin) { p.Subscribes = []string{"a\" \"b"} },
		func(p *wire.Plugin) { p.Capabilities = []wire.Capability{{Name: "kv", Granted: true}} },
		func(p *wire.Plugin) { p.Pending = &wire.PendingVersion{SHA256: "01"} },
		func(p *wire.Plugin) {
			p.Pending = &wire.PendingVersion{SHA256: "01", Capabilities: []wire.Capability{{Name: "http"}}}
		},
	} {
		other := base
		change(&other)
		got := tag(other)
		if before, taken := seen[got]; taken {
			t.Errorf("change %d has the tag of %s", i, before)
		}
		seen[got] = fmt.Sprint("change ", i)
	}
}

// FuzzTags: no header is answered with anything but a word on it.
func FuzzTags(f *testing.F) {
	for _, tag := range []string{"*", `"1"`, `W/"1", "2"`, "1", `"`, ",,", "\x00"} {
		f.Add(tag)
	}
	p := &parts{orders: []wire.Order{{ID: "A-1", Version: 1, Status: "pending"}}}
	cfg := config(p)
	h := func(t *testing.T) *api.Server { return newServer(t, cfg) }
	f.Fuzz(func(t *testing.T, tag string) {
		s := h(t).Handler()
		if w := call(s, "POST", "/api/v1/orders/A-1/status", `{"status":"x"}`, "If-Match: "+tag+" "); w.Code != 200 && w.Code != 400 && w.Code != 412 {
			t.Errorf("%q: got %d: %s", tag, w.Code, w.Body)
		}
		if w := call(s, "GET", "/api/v1/orders/A-1", "", "If-None-Match: "+tag+" "); w.Code != 200 && w.Code != 304 && w.Code != 400 {
			t.Errorf("%q: got %d: %s", tag, w.Code, w.Body)
		}
	})
}
