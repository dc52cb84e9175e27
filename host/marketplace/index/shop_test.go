package index_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/marketplace/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func signer(t testing.TB, name string) format.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../abi/testdata/marketplace/keys", name+".key"))
	check(t, err)
	s, err := format.ParseSigner(text, nil)
	check(t, err)
	return s
}

var (
	wasm    = []byte("\x00asm\x01\x00\x00\x00")
	today   = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	expires = today.Add(30 * 24 * time.Hour)
)

// shop is a marketplace on a server of its own.
type shop struct {
	t      testing.TB
	dir    string
	tree   *publish.Tree
	server *httptest.Server

	mu    sync.Mutex
	by    map[string]http.HandlerFunc // instead of the tree, by path
	asked map[string]int
	now   time.Time
}

func open(t testing.TB) *shop {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir(), by: map[string]http.HandlerFunc{}, asked: map[string]int{}, now: today}
	var err error
	s.tree, err = publish.Open(s.dir, true)
	check(t, err)
	t.Cleanup(func() { check(t, s.tree.Close()) })
	files := s.tree.Handler()
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		instead := s.by[r.URL.Path]
		if instead == nil {
			instead = s.by["*"]
		}
		s.asked[r.URL.Path]++
		s.mu.Unlock()
		if instead != nil {
			instead(w, r)
			return
		}
		files.ServeHTTP(w, r)
	}))
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	return s
}

// answer has a path, or "*" for every one, answered by h; nil: by the tree again.
func (s *shop) answer(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[path] = h
}

func (s *shop) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

func (s *shop) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *shop) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// plugin adds a release to the tree.
func (s *shop) plugin(publisher, name, version, more string, released time.Time) publish.Bundle {
	s.t.Helper()
	by := signer(s.t, map[string]string{"acme": "publisher", "emca": "other"}[publisher])
	text := fmt.Appendf(nil, `{"name":%q,"version":%q,"description":"The %s of %s","license":"MIT"%s}`, name, version, name, publisher, more)
	b, err := publish.Make(publish.Draft{Publisher: publisher, Module: wasm, Manifest: text, Released: released}, by)
	check(s.t, err)
	key := by.Key()
	_, err = s.tree.Add(b, &key)
	check(s.t, err)
	return b
}

func (s *shop) sign(revoke ...format.Revocation) format.Root {
	s.t.Helper()
	root, err := s.tree.Sign(s.t.Context(), publish.Signing{Name: "acme-plugins", Expires: expires, Revoke: revoke}, signer(s.t, "marketplace"))
	check(s.t, err)
	return root
}

// stocked is a shop of four plugins by two publishers.
func stocked(t testing.TB) *shop {
	s := open(t)
	old := today.Add(-1000 * time.Hour)
	s.plugin("acme", "echo", "1.0.0", "", old)
	s.plugin("acme", "echo", "1.1.0", "", old)
	s.plugin("acme", "echo", "2.0.0-rc.1", "", old)
	s.plugin("acme", "count", "0.1.0", `,"capabilities":[{"name":"kv","reason":"keeps the count","required":true}]`, old)
	s.plugin("acme", "beta", "0.1.0-beta.1", "", old)
	s.plugin("emca", "echo", "9.0.0", "", old)
	s.sign()
	return s
}

func (s *shop) fetcher(cfg marketplace.Config) *marketplace.Fetcher {
	s.t.Helper()
	cfg.AllowPrivateHosts = append(cfg.AllowPrivateHosts, "127.0.0.1")
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(s.server.Certificate())
	f, err := marketplace.New(cfg)
	check(s.t, err)
	return f
}

// client is a client of the shop with a state file of its own.
func (s *shop) client(change ...func(*index.Config)) *index.Client {
	s.t.Helper()
	cfg := index.Config{
		URL: s.server.URL + "/root.json", TrustedKeys: []string{signer(s.t, "marketplace").Key().String()},
		State: filepath.Join(s.t.TempDir(), "marketplace.json"), Now: s.clock, ListTimeout: time.Minute,
	}
	for _, c := range change {
		c(&cfg)
	}
	if cfg.Fetcher == nil {
		cfg.Fetcher = s.fetcher(marketplace.Config{})
	}
	c, err := index.New(cfg)
	check(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}
