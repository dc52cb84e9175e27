package api_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

func TestInstallAndUninstall(t *testing.T) {
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	want := wire.Install{Name: "x", URL: "https://a.example/x.wasm", SHA256: "00ff"}
	w := call(h, "POST", "/api/v1/plugins/install", `{"sha256":"00ff","url":"https://a.example/x.wasm","name":"x"}`)
	if w.Code != 201 || !slices.Equal(p.installed, []wire.Install{want}) {
		t.Errorf("got %d and %+v, want %+v", w.Code, p.installed, want)
	}
	w = call(h, "DELETE", "/api/v1/plugins/uninstall/order-audit", "")
	if w.Code != 204 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "" {
		t.Errorf("got %d, %q, %v", w.Code, w.Body, w.Header())
	}
	for query, want := range map[string]string{"": "false false", "?force=true": "true false", "?purge=1&force=false": "false true"} {
		if w := call(h, "DELETE", "/api/v1/plugins/uninstall/order-audit"+query, ""); w.Code != 204 || p.flags != want {
			t.Errorf("%s: %d, %s", query, w.Code, p.flags)
		}
	}
	if w := call(h, "DELETE", "/api/v1/plugins/uninstall/order-audit?force=maybe", ""); w.Code != 400 {
		t.Errorf("got %d", w.Code)
	}
	p.remainsOn = []string{"b"}
	w = call(h, "DELETE", "/api/v1/plugins/uninstall/order-audit", "")
	if got := decode[wire.Uninstalled](t, w); w.Code != 200 || !slices.Equal(got.RemainsOn, p.remainsOn) {
		t.Errorf("got %d %+v", w.Code, got)
	}
}

func TestUpgradeRollbackVerify(t *testing.T) {
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	for _, tt := range []struct {
		path, body string
		want       wire.Install
	}{
		{"x/upgrade", `{"url":"https://a.example/x.wasm","sha256":"00ff","approve":"d"}`, wire.Install{Name: "x upgraded", URL: "https://a.example/x.wasm", SHA256: "00ff", Approve: "d"}},
		{"x/upgrade", `{"ref":"oci://r.example/x:1"}`, wire.Install{Name: "x upgraded", Ref: "oci://r.example/x:1"}},
		{"x/rollback", "", wire.Install{Name: "x rolled back", Ref: "-"}},
		{"x/rollback", `{"version":"1.0.0"}`, wire.Install{Name: "x rolled back", Version: "1.0.0", Ref: "-"}},
	} {
		p.installed = nil
		w := call(h, "POST", "/api/v1/plugins/"+tt.path, tt.body)
		if w.Code != 200 || !slices.Equal(p.installed, []wire.Install{tt.want}) {
			t.Errorf("%s %s: got %d %s and %+v", tt.path, tt.body, w.Code, w.Body, p.installed)
		}
	}
	if w := call(h, "POST", "/api/v1/events/plugins/x/upgrade", `{"url":"https://a.example/x.wasm"}`); w.Code != 400 || problemIn(t, w).Field != "sha256" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	w := call(h, "GET", "/api/v1/plugins/verify", "")
	if list := decode[wire.List[wire.Stored]](t, w); w.Code != 200 || len(list.Items) != 1 || list.Items[0].Plugin != "x" {
		t.Errorf("got %d, %+v", w.Code, list)
	}
}

// A plan is answered as a problem, also after the progress of a stream.
func TestPlanAndProgress(t *testing.T) {
	p := seeded(t)
	h := newServer(t, config(p)).Handler()
	w := call(h, "POST", "/api/v1/plugins/install", `{"url":"https://a.example/","sha256":"asks"}`)
	if problem := problemIn(t, w); w.Code != 409 || problem.Code != "approval_required" || problem.Plan == nil || problem.Plan.Digest != "digest" {
		t.Errorf("got %d, %+v", w.Code, problem)
	}
	const began = "event: progress\ndata: {\"step\":\"download\",\"done\":1,\"total\":2}\n\n"
	for body, want := range map[string]string{
		`{"url":"https://a.example/","sha256":"asks"}`:                    began + "event: problem\ndata: {\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,",
		`{"url":"https://a.example/","sha256":"asks","approve":"digest"}`: began + "event: plugin\ndata: {\"name\":\"\",\"state\":\"active\"",
	} {
		w := call(h, "POST", "/api/v1/plugins/install", body, "Accept: text/event-stream, application/json;q=0.1")
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(w.Body.String(), want) {
			t.Errorf("got %d %v: %s", w.Code, w.Header(), w.Body)
		}
	}
	// What is wrong with the request is answered before the stream begins.
	if w := call(h, "POST", "/api/v1/plugins/install", `{}`, "Accept: text/event-stream"); w.Code != 400 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	// Internal errors keep their text to themselves in the stream, too.
	p.err = errors.New("the secret is hunter2")
	w = call(h, "POST", "/api/v1/plugins/install", `{"ref":"oci://r.example/x"}`, "Accept: text/event-stream")
	if !strings.Contains(w.Body.String(), "event: problem") || strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("got %s", w.Body)
	}
}

// waiting is an Installer that waits for its context.
type waiting struct {
	*parts
	started chan struct{}
}

func (i waiting) Install(ctx context.Context, _ wire.Install, _ func(wire.Progress)) (wire.Plugin, error) {
	close(i.started)
	<-ctx.Done()
	return wire.Plugin{}, fault.New(fault.Unavailable, "given up: %w", ctx.Err())
}

// An installation is given up when the server closes, and answered.
func TestClosingEndsAnInstallation(t *testing.T) {
	installer := waiting{seeded(t), make(chan struct{})}
	cfg := config(installer.parts)
	cfg.Plugins.Installer = installer
	s := newServer(t, cfg)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve(t.Context(), ln) }()
	shut := make(chan error)
	go func() {
		<-installer.started
		shut <- s.Shutdown(t.Context())
	}()
	body := strings.NewReader(`{"url":"https://a.example/","sha256":"00"}`)
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+ln.Addr().String()+"/api/v1/plugins/install", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 503 {
		t.Errorf("got %s", resp.Status)
	}
	if err := errors.Join(<-shut, <-served); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
