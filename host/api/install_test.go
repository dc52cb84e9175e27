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
}

// waiting is an Installer that waits for its context.
type waiting struct {
	*parts
	started chan struct{}
}

func (i waiting) Install(ctx context.Context, _ wire.Install) (wire.Plugin, error) {
	close(i.started)
	<-ctx.Done()
	return wire.Plugin{}, fault.New(fault.Unavailable, "given up: %w", ctx.Err())
}

// An installation is given up when the server closes, and answered.
func TestClosingEndsAnInstallation(t *testing.T) {
	installer := waiting{seeded(t), make(chan struct{})}
	cfg := config(installer.parts)
	cfg.Installer = installer
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
