package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testMarketplace is a marketplace whose answers a test can replace. Its certificate is
// for example.com, which its own resolver resolves to it.
type testMarketplace struct {
	t        *testing.T
	by       format.Signer // of the marketplace and of its one publisher
	tree     *publish.Tree
	dir      string
	server   *httptest.Server
	resolver *net.Resolver
	looked   atomic.Int64 // lookups of rebind.test
	sequence int64

	mu      sync.Mutex
	instead map[string]http.HandlerFunc // of the tree's files, by path
	asked   int                         // number of requests
}

func openMarketplace(t *testing.T) *testMarketplace {
	t.Helper()
	b := &testMarketplace{t: t, dir: t.TempDir(), instead: map[string]http.HandlerFunc{}}
	var err error
	b.by, err = format.NewSigner()
	check(t, err)
	b.tree, err = publish.Open(b.dir, true)
	check(t, err)
	t.Cleanup(func() { check(t, b.tree.Close()) })
	files := b.tree.Handler()
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		answer := b.instead[r.URL.Path]
		b.asked++
		b.mu.Unlock()
		if answer == nil {
			answer = files.ServeHTTP
		}
		answer(w, r)
	}))
	b.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	names, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	var served sync.WaitGroup
	served.Go(func() { b.answerNames(names) })
	t.Cleanup(func() {
		check(t, names.Close())
		served.Wait()
	})
	b.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", names.LocalAddr().String())
	}}
	return b
}

// answerNames resolves every name to 127.0.0.1 (RFC 1035, section 4.1), except for the
// first lookup of rebind.test, which resolves to an address without a listener.
func (b *testMarketplace) answerNames(conn net.PacketConn) {
	query := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(query)
		if err != nil {
			return
		}
		const header = 12
		end := header
		var labels []string
		for end < n && query[end] != 0 {
			labels = append(labels, string(query[end+1:end+1+int(query[end])]))
			end += 1 + int(query[end])
		}
		end += 5 // the root label, type and class
		isA := query[end-3] == 1
		last := byte(1)
		if strings.Join(labels, ".") == "rebind.test" && isA && b.looked.Add(1) == 1 {
			last = 7
		}
		answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end]...)
		if isA {
			answer[7] = 1
			answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, last)
		}
		_, _ = conn.WriteTo(answer, from)
	}
}

// url returns the URL of a path, by name.
func (b *testMarketplace) url(path string) string {
	_, port, _ := net.SplitHostPort(b.server.Listener.Addr().String())
	return "https://example.com:" + port + path
}

func (b *testMarketplace) answer(path string, h http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instead[path] = h
}

// requests returns the number of requests so far.
func (b *testMarketplace) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func text(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
}

// release adds a release of a guest to the tree.
func (b *testMarketplace) release(guest, manifest string) format.Release {
	b.t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", guest+".wasm"))
	check(b.t, err)
	bundle, err := publish.Make(publish.Draft{Publisher: "acme", Module: wasm, Manifest: []byte(manifest), Released: time.Now().Add(-time.Hour)}, b.by)
	check(b.t, err)
	_, err = b.tree.Add(bundle, new(b.by.Key()))
	check(b.t, err)
	return bundle.Release
}

// restore serves the tree's files again, with a list newer than any before.
func (b *testMarketplace) restore() {
	b.mu.Lock()
	b.instead = map[string]http.HandlerFunc{}
	b.mu.Unlock()
	b.sign(nil)
}

// sign serves a changed root with a valid signature.
func (b *testMarketplace) sign(change func(*format.Root)) {
	b.t.Helper()
	content, err := os.ReadFile(filepath.Join(b.dir, format.RootPath))
	check(b.t, err)
	root, err := format.ParseRoot(content)
	check(b.t, err)
	root.Files = maps.Clone(root.Files)
	b.sequence++
	root.Sequence += b.sequence
	if change != nil {
		change(&root)
	}
	content, err = root.Encode()
	check(b.t, err)
	b.answer("/"+format.RootPath, text(content))
	b.answer("/"+format.RootPath+format.SigSuffix, text(b.by.Sign(content, "")))
}

// forge serves and lists another file.
func (b *testMarketplace) forge(path string, content []byte) {
	b.t.Helper()
	b.sign(func(r *format.Root) { r.Files[path] = format.FileOf(content) })
	b.answer("/"+path, text(content))
}

// testHost is a running host with a client for its API.
type testHost struct {
	t     *testing.T
	host  *Host
	yaml  string
	token string
}

// startHost starts a host that trusts the marketplace.
func (b *testMarketplace) startHost(change ...func(*Config)) *testHost {
	b.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(b.server.Certificate())
	return startHost(b.t, "plugin_directories: []\nroutes: {\"*\": {}} # all\nmarketplace:\n  enabled: true\n  index_url: "+b.url("/")+"\n  trusted_keys: ["+b.by.Key().String()+"]\n"+
		"  allow_private_hosts: [example.com, 127.0.0.7]\n",
		marketplace.Config{RootCAs: roots, Resolver: b.resolver, Timeout: 5 * time.Second, Stall: 2 * time.Second}, change...)
}

// startHost starts a host with a configuration.
func startHost(t *testing.T, config string, fetch marketplace.Config, change ...func(*Config)) *testHost {
	t.Helper()
	dir := t.TempDir()
	s := &testHost{t: t, yaml: filepath.Join(dir, "berth.yaml")}
	check(t, os.WriteFile(s.yaml, []byte(config), 0o600))
	cfg := Config{ConfigPath: s.yaml, DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", fetch: fetch, steady: time.Second}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	s.host, err = New(cfg)
	check(t, err)
	check(t, s.host.Start(t.Context()))
	t.Cleanup(func() { check(t, s.host.Close(context.Background())) })
	s.token, err = auth.ReadToken(s.host.DataDir())
	check(t, err)
	return s
}

// call sends a request to the host's API; p is the problem of an error.
func (s *testHost) call(method, path string, in, out any) (status int, p wire.Problem) {
	s.t.Helper()
	var body io.Reader
	if in != nil {
		content, err := json.Marshal(in)
		check(s.t, err)
		body = bytes.NewReader(content)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.host.URL()+path, body)
	check(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	check(s.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	check(s.t, err)
	if resp.StatusCode >= 400 {
		check(s.t, json.Unmarshal(content, &p))
	} else if out != nil {
		check(s.t, json.Unmarshal(content, out))
	}
	return resp.StatusCode, p
}

// snapshot returns the state that a refused install must not change: store, lock,
// journal, configuration and running plugins.
func (s *testHost) snapshot() string {
	s.t.Helper()
	var out strings.Builder
	show := func(path string) {
		content, err := os.ReadFile(path)
		check(s.t, err)
		if strings.HasSuffix(path, ".wasm") {
			content = fmt.Appendf(nil, "%x", sha256.Sum256(content))
		}
		out.WriteString(path + ":\n" + string(content) + "\n")
	}
	show(s.yaml)
	check(s.t, filepath.WalkDir(s.host.DataDir(), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "cache" || d.Name() == "downloads"):
			return fs.SkipDir // compiled code and partial downloads
		case d.IsDir() || d.Name() == "audit.log" || d.Name() == listFile || strings.HasPrefix(d.Name(), "berth.db"):
			return nil
		}
		show(path)
		return nil
	}))
	var list json.RawMessage
	if status, p := s.call("GET", "/api/v1/events/plugins", nil, &list); status != http.StatusOK {
		s.t.Fatalf("the plugins: %+v", p)
	}
	out.Write(list)
	return out.String()
}

// delivered waits until the delivery of an event is ok.
func delivered(t *testing.T, s *testHost, id string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var ev wire.Event
		s.call("GET", "/api/v1/events/"+id, nil, &ev)
		if len(ev.Deliveries) > 0 && ev.Deliveries[0].Status == "ok" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not delivered: %+v", id, ev.Deliveries)
		}
		<-tick.C
	}
}
