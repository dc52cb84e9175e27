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

// hostile is a running host with an installed plugin, a marketplace that attacks it, and
// a private service that it must not connect to.
type hostile struct {
	market    *testMarketplace
	host      *testHost
	other     format.Signer    // whom the host does not trust
	inner     *httptest.Server // the private service
	innerPort string
	connected atomic.Bool // to inner
	before    string      // the snapshot of the host

	victim       format.Release // what the attacks are about
	module       []byte         // of victim
	signed, page []byte         // its release file and its page
	blob         string         // the path of its module
	release      string         // the path of its release file
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	x := &hostile{market: openMarketplace(t)}
	b := x.market
	sign := func() {
		t.Helper()
		_, err := b.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, b.by)
		check(t, err)
	}
	b.release("echo", `{"name":"echo","version":"1.0.0"}`)
	x.victim = b.release("echo", `{"name":"victim","version":"1.0.0"}`)
	b.release("refused_import", `{"name":"refused","version":"1.0.0"}`)
	sign()
	b.release("echo", `{"name":"echo","version":"2.0.0","capabilities":[{"name":"kv","reason":"keeps it"}]}`)
	sign()
	var err error
	x.other, err = format.NewSigner()
	check(t, err)
	x.inner = httptest.NewUnstartedServer(nil)
	x.inner.Config.ConnState = func(net.Conn, http.ConnState) { x.connected.Store(true) }
	x.inner.StartTLS()
	t.Cleanup(x.inner.Close)
	_, x.innerPort, err = net.SplitHostPort(x.inner.Listener.Addr().String())
	check(t, err)

	x.host = b.startHost()
	b.restore()
	var running wire.Plugin
	if status, p := x.host.call("POST", "/api/v1/plugins/install", wire.Install{Name: "acme/echo", Version: "1.0.0"}, &running); status != http.StatusCreated || running.State != wire.Active {
		t.Fatalf("install echo: %d %+v, %+v", status, p, running)
	}
	x.before = x.host.snapshot()
	if !strings.Contains(x.before, "plugins.lock.yaml") || !strings.Contains(x.before, running.SHA256) || !strings.Contains(x.before, ".store") {
		t.Fatalf("the snapshot is incomplete:\n%.2000s", x.before)
	}
	x.blob, x.release = format.BlobPath(x.victim.SHA256), format.ReleasePath("acme", "victim", "1.0.0")
	for path, content := range map[string]*[]byte{x.blob: &x.module, x.release: &x.signed, format.PagePath("acme", "victim"): &x.page} {
		*content, err = os.ReadFile(filepath.Join(b.dir, path))
		check(t, err)
	}
	return x
}

// byURL asks for the victim by a URL of the marketplace.
func (x *hostile) byURL() wire.Install {
	return wire.Install{URL: x.market.url("/file"), SHA256: x.victim.SHA256}
}

// unchanged fails the test if the state of the host has changed.
func (x *hostile) unchanged(t *testing.T) {
	t.Helper()
	if after := x.host.snapshot(); after != x.before {
		t.Errorf("the state has changed from\n%s\nto\n%s", x.before, after)
		x.before = after
	}
}

// attack is one attack with the host's answer.
type attack struct {
	name   string
	do     func()
	ask    wire.Install // the zero value: acme/victim
	status int
	text   string
}

// refuse makes an attack, which the host must refuse.
func (x *hostile) refuse(t *testing.T, a attack) {
	x.market.restore()
	a.do()
	ask := a.ask
	if ask == (wire.Install{}) {
		ask.Name = "acme/victim"
	}
	status, p := x.host.call("POST", "/api/v1/plugins/install", ask, nil)
	if status != a.status || !strings.Contains(p.Detail, a.text) {
		t.Errorf("got %d %q about %q, want %d %q", status, p.Detail, p.Field, a.status, a.text)
	}
	t.Logf("%d %s", status, p.Detail)
	x.unchanged(t)
}

// TestHostileSourcesAreRefused sends a running host every attack by a marketplace, a
// server or a party in between. The host refuses each with its own error and changes
// nothing.
func TestHostileSourcesAreRefused(t *testing.T) {
	x := newHostile(t)
	for _, attacks := range [][]attack{
		x.wrongContent(t), x.wrongSignatures(t), x.wrongLists(t), x.largeAnswers(t), x.redirects(t), x.paths(t),
	} {
		for _, a := range attacks {
			t.Run(a.name, func(t *testing.T) { x.refuse(t, a) })
		}
	}
	if x.connected.Load() {
		t.Error("the host connected to a private service")
	}
	if n := x.market.looked.Load(); n < 2 {
		t.Errorf("rebind.test was looked up %d times", n)
	}
	t.Run("slow loris for a list", x.slowList)
	t.Run("slow loris for a blob", x.slowBlob)
	t.Run("a capability grown at an upgrade", x.grownCapability)
	t.Run("another signer at an upgrade", x.changedSigner)
	t.Run("and the honest one", x.honestRelease)
}

// leadTo redirects to a URL.
func leadTo(where string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", where)
		w.WriteHeader(http.StatusFound)
	}
}

// bomb answers 32 MiB of zeros, compressed.
func (x *hostile) bomb(t *testing.T) http.HandlerFunc {
	t.Helper()
	var zeros bytes.Buffer
	z := gzip.NewWriter(&zeros)
	_, err := z.Write(make([]byte, 32<<20))
	check(t, err)
	check(t, z.Close())
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zeros.Bytes())
	}
}

// drip answers one byte every 20 ms.
func drip(content []byte) http.HandlerFunc {
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

// wrongContent are modules that differ from the listed digest or size.
func (x *hostile) wrongContent(*testing.T) []attack {
	return []attack{
		{"wrong digest", func() { x.market.answer("/"+x.blob, text(append(bytes.Clone(x.module[:len(x.module)-1]), 'x'))) }, wire.Install{}, 400, "it is another version, or was changed"},
		{"wrong digest of a URL", func() { x.market.answer("/file", text(append(bytes.Clone(x.module), 'x'))) }, x.byURL(), 400, "it is another version, or was changed"},
		{"truncated blob", func() { x.market.answer("/"+x.blob, text(x.module[:len(x.module)/2])) }, wire.Install{}, 502, "ends 487 bytes early"},
		{"connection cut", func() {
			x.market.answer("/"+x.blob, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(x.module)))
				_, _ = w.Write(x.module[:10])
			})
		}, wire.Install{}, 502, "unexpected EOF"},
	}
}

// wrongSignatures are lists and releases without a valid signature.
func (x *hostile) wrongSignatures(t *testing.T) []attack {
	return []attack{
		{"no signature of the list", func() { x.market.answer("/"+format.RootPath+format.SigSuffix, http.NotFound) }, wire.Install{}, 502, "is not signed"},
		{"empty signature of the list", func() { x.market.answer("/"+format.RootPath+format.SigSuffix, text(nil)) }, wire.Install{}, 502, "is empty"},
		{"list signed by another", func() {
			x.market.answer("/"+format.RootPath, text(x.signed))
			x.market.answer("/"+format.RootPath+format.SigSuffix, text(x.other.Sign(x.signed, "")))
		}, wire.Install{}, 502, "trusted_keys"},
		{"list changed after it was signed", func() {
			content, err := os.ReadFile(filepath.Join(x.market.dir, format.RootPath))
			check(t, err)
			x.market.answer("/"+format.RootPath, text(bytes.Replace(content, []byte("bazaar"), []byte("bizarr"), 1)))
		}, wire.Install{}, 502, "is not what was signed"},
		{"no signature of the release", func() { x.market.answer("/"+x.release+format.SigSuffix, http.NotFound) }, wire.Install{}, 502, "is not signed"},
		{"unsigned release", func() { x.market.sign(func(r *format.Root) { delete(r.Files, x.release+format.SigSuffix) }) }, wire.Install{}, 502, "is not signed"},
		{"empty signature of the release", func() { x.market.forge(x.release+format.SigSuffix, nil) }, wire.Install{}, 502, "is empty"},
		{"release signed by another", func() { x.market.forge(x.release+format.SigSuffix, x.other.Sign(x.signed, "")) }, wire.Install{}, 502, "key"},
		{"release changed after it was signed", func() { x.market.forge(x.release, bytes.Replace(x.signed, []byte("1.0.0"), []byte("1.0.1"), 1)) }, wire.Install{}, 502, "is not what was signed"},
	}
}

// wrongLists are lists that are outdated, or revoke the module.
func (x *hostile) wrongLists(*testing.T) []attack {
	return []attack{
		{"expired list", func() { x.market.sign(func(r *format.Root) { r.Expires = time.Now().Add(-time.Minute) }) }, wire.Install{}, 502, "has expired"},
		{"older list", func() { x.market.sign(func(r *format.Root) { r.Sequence = 1 }) }, wire.Install{}, 502, "it is an old copy"},
		{"revoked", func() {
			x.market.sign(func(r *format.Root) {
				r.Revoked = append(r.Revoked, format.Revocation{SHA256: x.victim.SHA256, Reason: "it tells secrets"})
			})
		}, wire.Install{}, 409, "was revoked: it tells secrets"},
	}
}

// largeAnswers are answers that are too large, compressed, endless or that never come.
func (x *hostile) largeAnswers(t *testing.T) []attack {
	return []attack{
		{"oversized blob", func() { x.market.answer("/"+x.blob, text(append(bytes.Clone(x.module), 0))) }, wire.Install{}, 502, "goes on after its"},
		{"oversized list", func() { x.market.answer("/"+format.RootPath, text(make([]byte, format.MaxRoot+1))) }, wire.Install{}, 502, "over the limit"},
		{"endless body", func() {
			x.market.answer("/file", func(w http.ResponseWriter, _ *http.Request) {
				chunk := append([]byte("\x00asm"), make([]byte, 1<<20)...)
				for {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			})
		}, x.byURL(), 413, "which is the limit"},
		{"a page that is no module", func() { x.market.answer("/file", text([]byte("<html>sign in</html>"))) }, x.byURL(), 400, "is not a WebAssembly module"},
		{"gzip bomb for a list", func() { x.market.answer("/"+format.RootPath, x.bomb(t)) }, wire.Install{}, 502, `encoded as "gzip"`},
		{"gzip bomb for a blob", func() { x.market.answer("/"+x.blob, x.bomb(t)) }, wire.Install{}, 502, `encoded as "gzip"`},
		{"gzip bomb at a URL", func() { x.market.answer("/file", x.bomb(t)) }, x.byURL(), 400, `encoded as "gzip"`},
		{"silence for a blob", func() {
			x.market.answer("/"+x.blob, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}, wire.Install{}, 502, "sent nothing for"},
	}
}

// redirects lead to private addresses and files.
func (x *hostile) redirects(*testing.T) []attack {
	return []attack{
		{"led to this machine", func() { x.market.answer("/file", leadTo(x.inner.URL)) }, x.byURL(), 400, "127.0.0.1 is not an address of the public internet"},
		{"list led to this machine", func() { x.market.answer("/"+format.RootPath, leadTo(x.inner.URL)) }, wire.Install{}, 502, "127.0.0.1 is not an address of the public internet"},
		{"blob led to this machine", func() { x.market.answer("/"+x.blob, leadTo(x.inner.URL)) }, wire.Install{}, 502, "127.0.0.1 is not an address of the public internet"},
		{"led to a file", func() { x.market.answer("/file", leadTo("file:///etc/passwd")) }, x.byURL(), 400, "redirects to another URL: must begin with https://"},
		{"blob led to a file", func() { x.market.answer("/"+x.blob, leadTo("file:///etc/passwd")) }, wire.Install{}, 502, "must begin with https://"},
		{"a name that moves to this machine", func() {}, wire.Install{URL: "https://rebind.test:" + x.innerPort + "/", SHA256: x.victim.SHA256}, 400, "rebind.test is at 127.0.0.1, which is not an address of the public internet"},
	}
}

// paths are names and versions that contain paths, and a module that cannot run.
func (x *hostile) paths(*testing.T) []attack {
	return []attack{
		{"a path for a name", func() {}, wire.Install{Name: "../x"}, 400, "is neither a plugin's name nor publisher/name"},
		{"a path for a publisher", func() {}, wire.Install{Name: "../../x/echo"}, 400, "is neither a plugin's name nor publisher/name"},
		{"a path for the name of a URL", func() { x.market.answer("/file", text(x.module)) }, wire.Install{URL: x.byURL().URL, SHA256: x.byURL().SHA256, Name: "../x"}, 400, "must be 1 to 63 of a-z"},
		{"a path for a listed name", func() { x.market.forge("p/acme/../x.json", x.page) }, wire.Install{}, 502, "path"},
		{"a path for a version", func() {}, wire.Install{Name: "acme/victim", Version: "1.0.0/../../x"}, 400, "version"},
		{"a path for a listed version", func() {
			x.market.forge(format.PagePath("acme", "victim"), bytes.ReplaceAll(x.page, []byte(`"1.0.0"`), []byte(`"1.0.0/../../x"`)))
		}, wire.Install{}, 502, "1.0.0/../../x"},
		{"a module that cannot run", func() {}, wire.Install{Name: "acme/refused"}, 400, "install refused: the module is rejected"},
	}
}

func (x *hostile) slowList(t *testing.T) {
	fresh := x.market.startHost() // the other one uses its stored list until that expires
	before := fresh.snapshot()
	x.market.restore()
	x.market.answer("/"+format.RootPath, drip([]byte(" ")))
	status, p := fresh.call("POST", "/api/v1/plugins/install", wire.Install{Name: "acme/victim"}, nil)
	if status != http.StatusBadGateway || !strings.Contains(p.Detail, "in time") {
		t.Errorf("got %d %q", status, p.Detail)
	}
	t.Logf("%d %s", status, p.Detail)
	if fresh.snapshot() != before {
		t.Error("the state has changed")
	}
}

func (x *hostile) slowBlob(t *testing.T) {
	x.market.restore()
	x.market.answer("/"+x.blob, drip(x.module))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the API allows three minutes
	defer cancel()
	if _, err := x.host.host.install.Install(ctx, install.Request{Name: "acme/victim"}, "", nil); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
	x.unchanged(t)
}

func (x *hostile) grownCapability(t *testing.T) {
	x.market.restore()
	status, p := x.host.call("POST", "/api/v1/plugins/echo/upgrade", nil, nil)
	if status != http.StatusConflict || p.Code != "approval_required" || p.Plan == nil || len(p.Plan.Capabilities) != 1 || !p.Plan.Capabilities[0].New {
		t.Errorf("got %d %+v", status, p)
	}
	x.unchanged(t)
}

func (x *hostile) changedSigner(t *testing.T) {
	x.market.restore()
	// The marketplace assigns another key to the publisher and signs the list.
	stolen := &testMarketplace{t: t, by: x.other, dir: t.TempDir()}
	var err error
	stolen.tree, err = publish.Open(stolen.dir, true)
	check(t, err)
	defer stolen.tree.Close()
	r := stolen.release("echo", `{"name":"echo","version":"3.0.0"}`)
	_, err = stolen.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, x.other)
	check(t, err)
	content, err := os.ReadFile(filepath.Join(stolen.dir, format.RootPath))
	check(t, err)
	theirs, err := format.ParseRoot(content)
	check(t, err)
	x.market.sign(func(root *format.Root) { root.Files = theirs.Files })
	for path := range theirs.Files {
		content, err := os.ReadFile(filepath.Join(stolen.dir, path))
		check(t, err)
		x.market.answer("/"+path, text(content))
	}
	content, err = os.ReadFile(filepath.Join(stolen.dir, format.BlobPath(r.SHA256)))
	check(t, err)
	x.market.answer("/"+format.BlobPath(r.SHA256), text(content))
	status, p := x.host.call("POST", "/api/v1/plugins/echo/upgrade", nil, nil)
	if status != http.StatusConflict || !strings.Contains(p.Detail, "the signer has changed") {
		t.Errorf("got %d %+v", status, p)
	}
	x.unchanged(t)
}

func (x *hostile) honestRelease(t *testing.T) {
	x.market.restore()
	if status, p := x.host.call("POST", "/api/v1/plugins/install", wire.Install{Name: "acme/victim"}, nil); status != http.StatusCreated {
		t.Errorf("got %d %+v", status, p)
	}
}
