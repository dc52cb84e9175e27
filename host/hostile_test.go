package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

// TestHostileSourcesAreRefused sends a running host every attack by a marketplace, a
// server or a party in between. The host refuses each with its own error and changes
// nothing.
func TestHostileSourcesAreRefused(t *testing.T) {
	b := openMarketplace(t)
	b.release("echo", `{"name":"echo","version":"1.0.0"}`)
	victim := b.release("echo", `{"name":"victim","version":"1.0.0"}`)
	b.release("refused_import", `{"name":"refused","version":"1.0.0"}`)
	_, err := b.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, b.by)
	check(t, err)
	b.release("echo", `{"name":"echo","version":"2.0.0","capabilities":[{"name":"kv","reason":"keeps it"}]}`)
	_, err = b.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, b.by)
	check(t, err)
	other, err := format.NewSigner()
	check(t, err)

	// A private service of this machine, which the host must not connect to.
	var connected atomic.Bool
	inner := httptest.NewUnstartedServer(nil)
	inner.Config.ConnState = func(net.Conn, http.ConnState) { connected.Store(true) }
	inner.StartTLS()
	defer inner.Close()
	_, innerPort, err := net.SplitHostPort(inner.Listener.Addr().String())
	check(t, err)

	s := b.startHost()
	b.restore()
	var running wire.Plugin
	if status, p := s.call("POST", "/api/v1/plugins/install", wire.Install{Name: "acme/echo", Version: "1.0.0"}, &running); status != http.StatusCreated || running.State != wire.Active {
		t.Fatalf("install echo: %d %+v, %+v", status, p, running)
	}
	before := s.snapshot()
	if !strings.Contains(before, "plugins.lock.yaml") || !strings.Contains(before, running.SHA256) || !strings.Contains(before, ".store") {
		t.Fatalf("the snapshot is incomplete:\n%.2000s", before)
	}

	blob, release := format.BlobPath(victim.SHA256), format.ReleasePath("acme", "victim", "1.0.0")
	module, err := os.ReadFile(filepath.Join(b.dir, blob))
	check(t, err)
	signed, err := os.ReadFile(filepath.Join(b.dir, release))
	check(t, err)
	page, err := os.ReadFile(filepath.Join(b.dir, format.PagePath("acme", "victim")))
	check(t, err)
	root := "/" + format.RootPath
	rootSig := root + format.SigSuffix
	leadTo := func(where string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", where)
			w.WriteHeader(http.StatusFound)
		}
	}
	var zeros bytes.Buffer
	z := gzip.NewWriter(&zeros)
	_, err = z.Write(make([]byte, 32<<20))
	check(t, err)
	check(t, z.Close())
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zeros.Bytes())
	}
	drip := func(content []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				_, _ = w.Write(content[i%len(content):][:1])
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		}
	}
	byURL := wire.Install{URL: b.url("/file"), SHA256: victim.SHA256}

	for _, tt := range []struct {
		name   string
		do     func()
		ask    wire.Install // the zero value: acme/victim
		status int
		text   string
	}{
		{"wrong digest", func() { b.answer("/"+blob, text(append(bytes.Clone(module[:len(module)-1]), 'x'))) }, wire.Install{}, 400, "it is another version, or somebody has changed it"},
		{"wrong digest of a URL", func() { b.answer("/file", text(append(bytes.Clone(module), 'x'))) }, byURL, 400, "it is another version, or somebody has changed it"},
		{"truncated blob", func() { b.answer("/"+blob, text(module[:len(module)/2])) }, wire.Install{}, 502, "ends 487 bytes early"},
		{"connection cut", func() {
			b.answer("/"+blob, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(module)))
				_, _ = w.Write(module[:10])
			})
		}, wire.Install{}, 502, "unexpected EOF"},

		{"no signature of the list", func() { b.answer(rootSig, http.NotFound) }, wire.Install{}, 502, "is not signed"},
		{"empty signature of the list", func() { b.answer(rootSig, text(nil)) }, wire.Install{}, 502, "is empty"},
		{"list signed by another", func() { b.answer(root, text(signed)); b.answer(rootSig, text(other.Sign(signed, ""))) }, wire.Install{}, 502, "trusted_keys"},
		{"list changed after it was signed", func() {
			content, err := os.ReadFile(filepath.Join(b.dir, format.RootPath))
			check(t, err)
			b.answer(root, text(bytes.Replace(content, []byte("bazaar"), []byte("bizarr"), 1)))
		}, wire.Install{}, 502, "is not what was signed"},
		{"no signature of the release", func() { b.answer("/"+release+format.SigSuffix, http.NotFound) }, wire.Install{}, 502, "is not signed"},
		{"unsigned release", func() { b.sign(func(r *format.Root) { delete(r.Files, release+format.SigSuffix) }) }, wire.Install{}, 502, "is not signed"},
		{"empty signature of the release", func() { b.forge(release+format.SigSuffix, nil) }, wire.Install{}, 502, "is empty"},
		{"release signed by another", func() { b.forge(release+format.SigSuffix, other.Sign(signed, "")) }, wire.Install{}, 502, "key"},
		{"release changed after it was signed", func() { b.forge(release, bytes.Replace(signed, []byte("1.0.0"), []byte("1.0.1"), 1)) }, wire.Install{}, 502, "is not what was signed"},

		{"expired list", func() { b.sign(func(r *format.Root) { r.Expires = time.Now().Add(-time.Minute) }) }, wire.Install{}, 502, "has expired"},
		{"older list", func() { b.sign(func(r *format.Root) { r.Sequence = 1 }) }, wire.Install{}, 502, "it is an old copy"},
		{"revoked", func() {
			b.sign(func(r *format.Root) {
				r.Revoked = append(r.Revoked, format.Revocation{SHA256: victim.SHA256, Reason: "it tells secrets"})
			})
		}, wire.Install{}, 409, "was revoked: it tells secrets"},

		{"oversized blob", func() { b.answer("/"+blob, text(append(bytes.Clone(module), 0))) }, wire.Install{}, 502, "goes on after its"},
		{"oversized list", func() { b.answer(root, text(make([]byte, format.MaxRoot+1))) }, wire.Install{}, 502, "over the limit"},
		{"endless body", func() {
			b.answer("/file", func(w http.ResponseWriter, _ *http.Request) {
				chunk := append([]byte("\x00asm"), make([]byte, 1<<20)...)
				for {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			})
		}, byURL, 413, "which is the limit"},
		{"a page that is no module", func() { b.answer("/file", text([]byte("<html>sign in</html>"))) }, byURL, 400, "is not a WebAssembly module"},
		{"gzip bomb for a list", func() { b.answer(root, bomb) }, wire.Install{}, 502, `encoded as "gzip"`},
		{"gzip bomb for a blob", func() { b.answer("/"+blob, bomb) }, wire.Install{}, 502, `encoded as "gzip"`},
		{"gzip bomb at a URL", func() { b.answer("/file", bomb) }, byURL, 400, `encoded as "gzip"`},
		{"silence for a blob", func() { b.answer("/"+blob, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) }, wire.Install{}, 502, "sent nothing for"},

		{"led to this machine", func() { b.answer("/file", leadTo(inner.URL)) }, byURL, 400, "127.0.0.1 is not an address of the public internet"},
		{"list led to this machine", func() { b.answer(root, leadTo(inner.URL)) }, wire.Install{}, 502, "127.0.0.1 is not an address of the public internet"},
		{"blob led to this machine", func() { b.answer("/"+blob, leadTo(inner.URL)) }, wire.Install{}, 502, "127.0.0.1 is not an address of the public internet"},
		{"led to a file", func() { b.answer("/file", leadTo("file:///etc/passwd")) }, byURL, 400, "leads on to another URL: must begin with https://"},
		{"blob led to a file", func() { b.answer("/"+blob, leadTo("file:///etc/passwd")) }, wire.Install{}, 502, "must begin with https://"},
		{"a name that moves to this machine", func() {}, wire.Install{URL: "https://rebind.test:" + innerPort + "/", SHA256: victim.SHA256}, 400, "rebind.test is at 127.0.0.1, which is not an address of the public internet"},

		{"a path for a name", func() {}, wire.Install{Name: "../x"}, 400, "is neither a plugin's name nor publisher/name"},
		{"a path for a publisher", func() {}, wire.Install{Name: "../../x/echo"}, 400, "is neither a plugin's name nor publisher/name"},
		{"a path for the name of a URL", func() { b.answer("/file", text(module)) }, wire.Install{URL: byURL.URL, SHA256: byURL.SHA256, Name: "../x"}, 400, "must be 1 to 63 of a-z"},
		{"a path for a listed name", func() { b.forge("p/acme/../x.json", page) }, wire.Install{}, 502, "path"},
		{"a path for a version", func() {}, wire.Install{Name: "acme/victim", Version: "1.0.0/../../x"}, 400, "version"},
		{"a path for a listed version", func() {
			b.forge(format.PagePath("acme", "victim"), bytes.ReplaceAll(page, []byte(`"1.0.0"`), []byte(`"1.0.0/../../x"`)))
		}, wire.Install{}, 502, "1.0.0/../../x"},
		{"a module that cannot run", func() {}, wire.Install{Name: "acme/refused"}, 400, "install refused: the module is rejected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.restore()
			tt.do()
			ask := tt.ask
			if ask == (wire.Install{}) {
				ask.Name = "acme/victim"
			}
			status, p := s.call("POST", "/api/v1/plugins/install", ask, nil)
			if status != tt.status || !strings.Contains(p.Detail, tt.text) {
				t.Errorf("got %d %q about %q, want %d %q", status, p.Detail, p.Field, tt.status, tt.text)
			}
			t.Logf("%d %s", status, p.Detail)
			if after := s.snapshot(); after != before {
				t.Errorf("the state has changed from\n%s\nto\n%s", before, after)
				before = after
			}
		})
	}
	if connected.Load() {
		t.Error("the host connected to a private service")
	}
	if n := b.looked.Load(); n < 2 {
		t.Errorf("rebind.test was looked up %d times", n)
	}

	t.Run("slow loris for a list", func(t *testing.T) {
		fresh := b.startHost() // the other one uses its stored list until that expires
		before := fresh.snapshot()
		b.restore()
		b.answer(root, drip([]byte(" ")))
		status, p := fresh.call("POST", "/api/v1/plugins/install", wire.Install{Name: "acme/victim"}, nil)
		if status != http.StatusBadGateway || !strings.Contains(p.Detail, "in time") {
			t.Errorf("got %d %q", status, p.Detail)
		}
		t.Logf("%d %s", status, p.Detail)
		if fresh.snapshot() != before {
			t.Error("the state has changed")
		}
	})
	t.Run("slow loris for a blob", func(t *testing.T) {
		b.restore()
		b.answer("/"+blob, drip(module))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the API allows three minutes
		defer cancel()
		if _, err := s.host.install.Install(ctx, install.Request{Name: "acme/victim"}, "", nil); !fault.Is(err, fault.Timeout) {
			t.Errorf("got %v", err)
		}
		if s.snapshot() != before {
			t.Error("the state has changed")
		}
	})
	t.Run("a capability grown at an upgrade", func(t *testing.T) {
		b.restore()
		status, p := s.call("POST", "/api/v1/plugins/echo/upgrade", nil, nil)
		if status != http.StatusConflict || p.Code != "approval_required" || p.Plan == nil || len(p.Plan.Capabilities) != 1 || !p.Plan.Capabilities[0].New {
			t.Errorf("got %d %+v", status, p)
		}
		if s.snapshot() != before {
			t.Error("the state has changed")
		}
	})
	t.Run("another signer at an upgrade", func(t *testing.T) {
		b.restore()
		// The marketplace assigns another key to the publisher and signs the list.
		stolen := &testMarketplace{t: t, by: other, dir: t.TempDir()}
		stolen.tree, err = publish.Open(stolen.dir, true)
		check(t, err)
		defer stolen.tree.Close()
		r := stolen.release("echo", `{"name":"echo","version":"3.0.0"}`)
		_, err = stolen.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, other)
		check(t, err)
		content, err := os.ReadFile(filepath.Join(stolen.dir, format.RootPath))
		check(t, err)
		theirs, err := format.ParseRoot(content)
		check(t, err)
		b.sign(func(root *format.Root) { root.Files = theirs.Files })
		for path := range theirs.Files {
			content, err := os.ReadFile(filepath.Join(stolen.dir, path))
			check(t, err)
			b.answer("/"+path, text(content))
		}
		content, err = os.ReadFile(filepath.Join(stolen.dir, format.BlobPath(r.SHA256)))
		check(t, err)
		b.answer("/"+format.BlobPath(r.SHA256), text(content))
		status, p := s.call("POST", "/api/v1/plugins/echo/upgrade", nil, nil)
		if status != http.StatusConflict || !strings.Contains(p.Detail, "the signer has changed") {
			t.Errorf("got %d %+v", status, p)
		}
		if s.snapshot() != before {
			t.Error("the state has changed")
		}
	})
	t.Run("and the honest one", func(t *testing.T) {
		b.restore()
		if status, p := s.call("POST", "/api/v1/plugins/install", wire.Install{Name: "acme/victim"}, nil); status != http.StatusCreated {
			t.Errorf("got %d %+v", status, p)
		}
	})
}
