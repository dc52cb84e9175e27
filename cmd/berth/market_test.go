package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/marketplace/format"
	market "github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

// TestMarketplaceServe tries a marketplace out with the tool's own server.
func TestMarketplaceServe(t *testing.T) {
	tree := "../../abi/testdata/marketplace/valid"
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said, say := io.Pipe()
	done := make(chan int, 1)
	go func() {
		code := doMain(ctx, []string{"marketplace", "serve", tree, "--listen", "127.0.0.1:0"}, http.NoBody, say, io.Discard)
		_ = say.Close()
		done <- code
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), " at ")
	if err != nil || !ok {
		t.Fatalf("it says %q, %v", line, err)
	}
	var out, errs strings.Builder
	args := []string{"marketplace", "verify", url, "--key", "../../abi/testdata/marketplace/keys/marketplace.pub", "--allow-private-host", "127.0.0.1"}
	if code := doMain(t.Context(), args, http.NoBody, &out, &errs); code != 0 || !strings.Contains(out.String(), "plugins     2") {
		t.Errorf("verify: %d, %s%s", code, out.String(), errs.String())
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// TestMarketplace points the real binary at a marketplace, which then goes down.
func TestMarketplace(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	by, err := format.NewSigner()
	must(err)
	files := t.TempDir()
	tree, err := market.Open(files, true)
	must(err)
	defer tree.Close()
	add := func(version string) {
		t.Helper()
		text := `{"name":"echo","version":"` + version + `","description":"Says it again","license":"MIT"}`
		b, err := market.Make(market.Draft{Publisher: "acme", Module: guest(t, "echo"), Manifest: []byte(text), Released: time.Now().Add(-time.Hour)}, by)
		must(err)
		_, err = tree.Add(b, new(by.Key()))
		must(err)
		_, err = tree.Sign(t.Context(), market.Signing{Name: "shop", Expires: time.Now().Add(time.Hour)}, by)
		must(err)
	}
	add("1.0.0")
	shop := httptest.NewServer(tree.Handler())
	defer shop.Close()

	dir, config, plugins := workplace(t)
	text, err := os.ReadFile(config)
	must(err)
	write(t, config, append(text, "marketplace:\n  enabled: true\n  index_url: "+shop.URL+"/\n  trusted_keys: ["+by.Key().String()+"]\n  allow_private_hosts: [127.0.0.1]\n"...))
	// A file of the plugin's name is not a release.
	b, err := market.Make(market.Draft{Publisher: "acme", Module: guest(t, "echo"), Manifest: []byte(`{"name":"echo","version":"0.9.0"}`)}, by)
	must(err)
	must(os.MkdirAll(plugins, 0o755))
	write(t, filepath.Join(plugins, "echo.wasm"), b.Module)
	s := serve(t, dir, config)
	s.active(t, "echo")
	if _, err := os.Stat(filepath.Join(dir, "data", "marketplace.json")); err == nil {
		t.Error("the marketplace was asked at the start")
	}
	list := func() wire.Marketplace {
		t.Helper()
		var page wire.Marketplace
		_, err := s.Call(t.Context(), "GET", "/api/v1/plugins/marketplace?q=again", nil, &page)
		must(err)
		return page
	}
	page := list()
	if len(page.Items) != 1 || page.Stale || page.Marketplace != "shop" {
		t.Fatalf("got %+v", page)
	}
	l := page.Items[0]
	if l.Publisher != "acme" || l.Version != "1.0.0" || l.License != "MIT" || l.Installed != nil || l.UpdateAvailable != nil {
		t.Errorf("got %+v", l)
	}
	// A list that is young is answered as it is, and fetched for who asks for that.
	add("1.1.0")
	if page := list(); page.Items[0].Version != "1.0.0" {
		t.Errorf("got %+v", page)
	}
	outdated(t, s)
	if page := list(); page.Items[0].Version != "1.1.0" {
		t.Errorf("outdated has not fetched the list: %+v", page)
	}
	var out, errs strings.Builder
	if code := doMain(t.Context(), []string{"marketplace", "verify", shop.URL, "--key", by.Key().String(), "--allow-private-host", "127.0.0.1"}, http.NoBody, &out, &errs); code != 0 || !strings.Contains(out.String(), "Everything holds.") {
		t.Errorf("verify: %d, %s%s", code, out.String(), errs.String())
	}
	shop.Close()
	s.terminate(t)
	s = serve(t, dir, config)
	s.active(t, "echo")
	if page := list(); len(page.Items) != 1 {
		t.Errorf("after a restart, with the marketplace down: %+v", page)
	}
	write(t, config, append(text, "marketplace: {enabled: false}\n"...))
	s.refusesDisabledMarketplace(t)
	s.terminate(t)
}

// refusesDisabledMarketplace reloads the configuration and lists the marketplace.
func (s *server) refusesDisabledMarketplace(t *testing.T) {
	t.Helper()
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events/reload-config", nil, new(wire.ReloadResult)); err != nil {
		t.Fatal(err)
	}
	var none wire.Marketplace
	if _, err := s.Call(t.Context(), "GET", "/api/v1/plugins/marketplace", nil, &none); err == nil || !strings.Contains(err.Error(), "the marketplace is disabled") {
		t.Errorf("disabled: %v", err)
	}
}

// outdated lists outdated plugins without and with a fetch of the list.
func outdated(t *testing.T, s *server) {
	t.Helper()
	t.Setenv("BERTH_URL", s.URL)
	t.Setenv("BERTH_TOKEN", s.Token)
	if code, stdout, stderr := berth(t, "plugin", "outdated", "--refresh=false"); code != 0 || strings.Contains(stdout, "1.1.0") {
		t.Errorf("outdated of the young list: %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr := berth(t, "plugin", "outdated"); code != 0 || stderr != "" {
		t.Errorf("outdated: %d, %s", code, stderr)
	}
	t.Setenv("BERTH_URL", "")
	t.Setenv("BERTH_TOKEN", "")
}
