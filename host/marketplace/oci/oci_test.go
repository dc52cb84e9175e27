package oci_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/oci"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	imageManifest = "application/vnd.oci.image.manifest.v1+json"
	wasmConfig    = "application/vnd.wasm.config.v0+json"
	wasmLayer     = "application/wasm"
)

var module = []byte("\x00asm\x01\x00\x00\x00 the rest of a module")

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// harbour is a registry in this process.
type harbour struct {
	t      testing.TB
	server *httptest.Server
	files  http.Handler
	guard  atomic.Pointer[http.HandlerFunc] // asked first; it passes on to files
}

func open(t testing.TB, secure bool) *harbour {
	t.Helper()
	h := &harbour{t: t, files: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := h.guard.Load(); g != nil {
			(*g)(w, r)
			return
		}
		h.files.ServeHTTP(w, r)
	}))
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		h.server.StartTLS()
	} else {
		h.server.Start()
	}
	t.Cleanup(h.server.Close)
	return h
}

func (h *harbour) host() string { return h.server.Listener.Addr().String() }

func (h *harbour) answer(g http.HandlerFunc) { h.guard.Store(&g) }

// put sends something to the registry itself, past the guard.
func (h *harbour) put(method, path, kind string, body []byte) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.files.ServeHTTP(w, r)
	if w.Code >= 300 {
		h.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func describe(kind string, b []byte) descriptor { return descriptor{kind, "sha256:" + sum(b), len(b)} }

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// push stores an artifact under a tag, changed by change, and returns its manifest's digest.
func (h *harbour) push(tag string, change func(*manifest)) string {
	h.t.Helper()
	config := []byte(`{"os":"wasip1","architecture":"wasm"}`)
	m := manifest{2, imageManifest, describe(wasmConfig, config), []descriptor{describe(wasmLayer, module)}, map[string]string{"org.opencontainers.image.version": "1.0.0"}}
	if change != nil {
		change(&m)
	}
	for _, blob := range [][]byte{config, module} {
		h.put("POST", "/v2/team/echo/blobs/uploads/?digest=sha256:"+sum(blob), "application/octet-stream", blob)
	}
	text, err := json.Marshal(m)
	check(h.t, err)
	h.put("PUT", "/v2/team/echo/manifests/"+tag, m.MediaType, text)
	return "sha256:" + sum(text)
}

func (h *harbour) source(cfg oci.Config, m marketplace.Config) *oci.Source {
	h.t.Helper()
	m.AllowPrivateHosts = append(m.AllowPrivateHosts, "127.0.0.1")
	m.RootCAs = x509.NewCertPool()
	if c := h.server.Certificate(); c != nil {
		m.RootCAs.AddCert(c)
	}
	f, err := marketplace.New(m)
	check(h.t, err)
	cfg.Fetcher = f
	s, err := oci.New(cfg)
	check(h.t, err)
	return s
}

// read opens an artifact's module and reads it to its end.
func read(t *testing.T, s *oci.Source, a oci.Artifact, offset int64) ([]byte, error) {
	t.Helper()
	body, err := s.Open(t.Context(), a, offset)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	if closed := body.Close(); closed != nil {
		t.Error(closed)
	}
	return content, err
}

// A download is gone on with where it broke off; of a registry that cannot, or says
// that it can and does something else, from the beginning.
func TestResume(t *testing.T) {
	h := open(t, true)
	h.push("x", nil)
	s := h.source(oci.Config{}, marketplace.Config{})
	a, err := s.Resolve(t.Context(), "oci://"+h.host()+"/team/echo:x")
	check(t, err)
	for name, answer := range map[string]func(w http.ResponseWriter, ranged string){
		"parts": func(w http.ResponseWriter, ranged string) {
			w.Header().Set("Accept-Ranges", "bytes")
			if ranged != "" {
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(module[10:])
				return
			}
			_, _ = w.Write(module)
		},
		"no parts": func(w http.ResponseWriter, _ string) { _, _ = w.Write(module) },
		"a lie": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Accept-Ranges", "bytes")
			_, _ = w.Write(module)
		},
		"parts, once": func(w http.ResponseWriter, ranged string) {
			w.Header().Set("Accept-Ranges", "bytes")
			if ranged != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			_, _ = w.Write(module)
		},
	} {
		h.answer(func(w http.ResponseWriter, r *http.Request) { answer(w, r.Header.Get("Range")) })
		if got, err := read(t, s, a, 10); err != nil || !bytes.Equal(got, module[10:]) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	h.answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(module[:5]) })
	if got, err := read(t, s, a, 10); err == nil {
		t.Errorf("a shorter one: got %q", got)
	}
	for _, offset := range []int64{-1, a.Size + 1} {
		if _, err := s.Open(t.Context(), a, offset); !fault.Is(err, fault.Internal) {
			t.Errorf("from %d on: %v", offset, err)
		}
	}
}

func TestInstallFromRegistry(t *testing.T) {
	for _, secure := range []bool{true, false} {
		h := open(t, secure)
		sumOf := h.push("1.0.0", nil)
		s := h.source(oci.Config{}, marketplace.Config{})
		pinned := "oci://" + h.host() + "/team/echo@" + sumOf
		for _, ref := range []string{"oci://" + h.host() + "/team/echo:1.0.0", pinned, "oci://" + h.host() + "/team/echo:other@" + sumOf} {
			a, err := s.Resolve(t.Context(), ref)
			if err != nil || a.Reference != pinned || a.ManifestDigest != sumOf || a.SHA256 != sum(module) || a.Size != int64(len(module)) ||
				a.Annotations["org.opencontainers.image.version"] != "1.0.0" {
				t.Fatalf("%s: got %+v, %v", ref, a, err)
			}
			for _, offset := range []int64{0, 1, a.Size - 1, a.Size} {
				if got, err := read(t, s, a, offset); err != nil || !bytes.Equal(got, module[offset:]) {
					t.Errorf("%s from %d on: got %q, %v", ref, offset, got, err)
				}
			}
		}
	}
}

// A tag that is moved between finding out and fetching changes nothing.
func TestMovedTag(t *testing.T) {
	h := open(t, true)
	h.push("latest", nil)
	s := h.source(oci.Config{}, marketplace.Config{})
	a, err := s.Resolve(t.Context(), "oci://"+h.host()+"/team/echo:latest")
	check(t, err)
	h.push("latest", func(m *manifest) { m.Annotations = nil })
	if got, err := read(t, s, a, 0); err != nil || !bytes.Equal(got, module) {
		t.Errorf("got %q, %v", got, err)
	}
	if b, err := s.Resolve(t.Context(), a.Reference); err != nil || b.ManifestDigest != a.ManifestDigest {
		t.Errorf("got %+v, %v", b, err)
	}
}

// refused checks an error's code, and that it names the field and shows no secret.
func refused(t *testing.T, err error, code fault.Code, text string) {
	t.Helper()
	if !fault.Is(err, code) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %s %v, want %s: %s", fault.CodeOf(err), err, code, text)
	}
}

func TestReferences(t *testing.T) {
	h := open(t, true)
	s := h.source(oci.Config{}, marketplace.Config{})
	for _, tt := range []struct{ ref, text string }{
		{"", "must begin with oci://"},
		{"https://a.example/x", "must begin with oci://"},
		{"oci://", "is not a reference"},
		{"oci://a.example", "is not a reference"},
		{"oci://a.example/x", "names no version"},
		{"oci://a.example/../x:1", "is not a reference"},
		{"oci://a.example/X:1", "is not a reference"},
		{"oci://a.example/x@sha256:12", "is not a reference"},
		{"oci://u:s3cret@a.example/x:1", ""},
		{"oci://a.example/" + strings.Repeat("x", 1100) + ":1", "limit is 1024"},
		{"oci://10.0.0.1/x:1", "10.0.0.1 is not an address of the public internet"},
		{"oci://127.0.0.2:1/x:1", "127.0.0.2 is not an address of the public internet"},
		{"oci://[::ffff:10.0.0.1]:443/x:1", ""},
	} {
		_, err := s.Resolve(t.Context(), tt.ref)
		refused(t, err, fault.Invalid, tt.text)
	}
}

func TestLayouts(t *testing.T) {
	h := open(t, true)
	ref := "oci://" + h.host() + "/team/echo:x"
	for _, tt := range []struct {
		name   string
		change func(*manifest)
		code   fault.Code
		text   string
	}{
		{"an image", func(m *manifest) { m.Config.MediaType = "application/vnd.oci.image.config.v1+json" }, fault.Invalid, "its config is"},
		{"no layer", func(m *manifest) { m.Layers = []descriptor{} }, fault.Invalid, "it has 0 layers"},
		{"two layers", func(m *manifest) { m.Layers = append(m.Layers, m.Layers[0]) }, fault.Invalid, "it has 2 layers"},
		{"a tar", func(m *manifest) { m.Layers[0].MediaType = "application/vnd.oci.image.layer.v1.tar+gzip" }, fault.Invalid, "its layer is"},
		{"a large module", func(m *manifest) { m.Layers[0].Size = 1001 }, fault.Exhausted, "the limit is 1000"},
		{"nothing", func(m *manifest) { m.Layers[0].Size = 0 }, fault.Invalid, "its layer has 0 bytes"},
		{"another manifest", func(m *manifest) { m.MediaType = "application/vnd.docker.distribution.manifest.v2+json" }, fault.Invalid, "not an image manifest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.push("x", tt.change)
			_, err := h.source(oci.Config{MaxSize: 1000}, marketplace.Config{}).Resolve(t.Context(), ref)
			refused(t, err, tt.code, tt.text)
		})
	}
}

// TestManifestReadInTwoWaysIsRefused: a manifest in which another tool would find
// another module is refused.
func TestManifestReadInTwoWaysIsRefused(t *testing.T) {
	h := open(t, true)
	h.push("x", nil)
	text := h.put("GET", "/v2/team/echo/manifests/x", "", nil).Body.String()
	for _, key := range []string{"layers", "Layers", "LAYER\u017f"} {
		twice := strings.Replace(text, `{"schemaVersion"`, `{"`+key+`":[],"schemaVersion"`, 1)
		h.put("PUT", "/v2/team/echo/manifests/twice", imageManifest, []byte(twice))
		_, err := h.source(oci.Config{}, marketplace.Config{}).Resolve(t.Context(), "oci://"+h.host()+"/team/echo:twice")
		refused(t, err, fault.Invalid, "twice, perhaps in other case")
	}
}

// A registry that lies, or is slow, or leads elsewhere.
func TestBadRegistry(t *testing.T) {
	h := open(t, true)
	h.push("x", nil)
	ref := "oci://" + h.host() + "/team/echo:x"
	artifact, err := h.source(oci.Config{}, marketplace.Config{}).Resolve(t.Context(), ref)
	check(t, err)
	blob := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b)
		}
	}
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		code fault.Code
		text string
	}{
		{"a longer module", blob(append(bytes.Clone(module), 'x')), fault.Unavailable, "cannot fetch from"},
		{"a cut one", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(module)))
			_, _ = w.Write(module[:10])
		}, fault.Unavailable, ""},
		{"a redirect to loopback", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.2/", http.StatusTemporaryRedirect)
		}, fault.Invalid, "127.0.0.2 is not"},
		{"a redirect to a file", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, fault.Invalid, "must begin with https"},
		{"failing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, fault.Unavailable, "503"},
		{"refusing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }, fault.Denied, "wants other credentials"},
		{"gone", http.NotFound, fault.NotFound, "has no"},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, fault.Timeout, "in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.answer(tt.h)
			_, err := read(t, h.source(oci.Config{Timeout: 300 * time.Millisecond}, marketplace.Config{}), artifact, 0)
			refused(t, err, tt.code, tt.text)
		})
	}
	h.answer(func(w http.ResponseWriter, r *http.Request) { // another manifest than the one the tag was resolved to
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", imageManifest)
			fmt.Fprint(w, `{"schemaVersion":2}`)
			return
		}
		h.files.ServeHTTP(w, r)
	})
	if _, err := h.source(oci.Config{}, marketplace.Config{}).Resolve(t.Context(), ref); err == nil {
		t.Error("another manifest was taken")
	}
}

func TestCredentials(t *testing.T) {
	secrets := func(name string) (string, error) {
		return map[string]string{"pair": "ada:s3cret", "token": "s3cret-token"}[name], nil
	}
	guard := func(h *harbour, want string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			scheme, _, _ := strings.Cut(want, " ")
			if r.Header.Get("Authorization") != want {
				w.Header().Set("WWW-Authenticate", scheme+` realm="https://`+h.host()+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.files.ServeHTTP(w, r)
		}
	}
	h := open(t, true)
	h.push("x", nil)
	ref := "oci://" + h.host() + "/team/echo:x"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:s3cret"))
	docker := filepath.Join(t.TempDir(), "config.json")
	put := func(text string) {
		t.Helper()
		check(t, os.WriteFile(docker, []byte(text), 0o600))
	}
	own := func(kind marketplace.CredentialType, secret string) marketplace.Config {
		return marketplace.Config{Secret: secrets, Credentials: []marketplace.Credential{{Host: h.host(), Secret: secret, Type: kind}}}
	}

	h.answer(guard(h, basic))
	_, err := h.source(oci.Config{}, marketplace.Config{}).Resolve(t.Context(), ref)
	refused(t, err, fault.Denied, "wants credentials")
	fetch := func(cfg oci.Config, m marketplace.Config) {
		t.Helper()
		s := h.source(cfg, m)
		a, err := s.Resolve(t.Context(), ref)
		if err == nil {
			_, err = read(t, s, a, 0)
		}
		if err != nil {
			t.Error(err)
		}
	}
	fetch(oci.Config{}, own(marketplace.Basic, "pair"))
	put(`{"auths":{"` + h.host() + `":{"auth":"` + strings.TrimPrefix(basic, "Basic ") + `"}}}`)
	fetch(oci.Config{DockerConfig: docker}, marketplace.Config{})
	h.answer(guard(h, "Bearer s3cret-token"))
	fetch(oci.Config{}, own(marketplace.Bearer, "token"))

	for text, want := range map[string]string{"": "is not a docker config file", "{": "is not a docker config file", strings.Repeat(" ", 2<<20): "is not a docker config file"} {
		put(text)
		_, err := h.source(oci.Config{DockerConfig: docker}, marketplace.Config{}).Resolve(t.Context(), ref)
		refused(t, err, fault.Unavailable, want)
	}
	_, err = h.source(oci.Config{DockerConfig: filepath.Dir(docker)}, marketplace.Config{}).Resolve(t.Context(), ref)
	refused(t, err, fault.Unavailable, "is not a regular file")

	// A credential of the configuration goes to its host only: neither to a token
	// server elsewhere, nor over plain http, nor to where the registry keeps its blobs.
	other := open(t, true)
	var leaked atomic.Value
	other.answer(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			leaked.Store(a)
		}
		_, _ = w.Write(module)
	})
	h.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+other.server.URL+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	_, err = h.source(oci.Config{}, own(marketplace.Basic, "pair")).Resolve(t.Context(), ref)
	refused(t, err, fault.Invalid, "use marketplace.docker_config")
	h.answer(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") && r.Header.Get("Authorization") == basic {
			http.Redirect(w, r, other.server.URL+"/blob", http.StatusTemporaryRedirect)
			return
		}
		guard(h, basic)(w, r)
	})
	m := own(marketplace.Basic, "pair")
	s := h.source(oci.Config{}, m)
	a, err := s.Resolve(t.Context(), ref)
	check(t, err)
	if _, err := read(t, s, a, 0); err != nil {
		// The other server's certificate is the same test certificate: it is reached.
		t.Errorf("the blob elsewhere: %v", err)
	}
	if got := leaked.Load(); got != nil {
		t.Errorf("another host was sent %v", got)
	}
	plain := open(t, false)
	plain.push("x", nil)
	m.Credentials[0].Host = plain.host()
	_, err = plain.source(oci.Config{}, m).Resolve(t.Context(), "oci://"+plain.host()+"/team/echo:x")
	refused(t, err, fault.Invalid, "credentials are not sent that way")
}
