package marketplace_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var module = []byte("\x00asm\x01\x00\x00\x00 the rest of a module")

// shop is a server of plugins on a loopback address.
func shop(t *testing.T, secure bool, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are refused
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func fetcher(t *testing.T, cfg marketplace.Config, servers ...*httptest.Server) *marketplace.Fetcher {
	t.Helper()
	cfg.RootCAs = x509.NewCertPool()
	for _, s := range servers {
		if c := s.Certificate(); c != nil {
			cfg.RootCAs.AddCert(c)
		}
	}
	f, err := marketplace.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// refused checks an error's code and field, and what its text contains and hides.
func refused(t *testing.T, content []byte, err error, code fault.Code, field, text string) {
	t.Helper()
	if content != nil {
		t.Errorf("got %d bytes with the error %v", len(content), err)
	}
	f, ok := err.(*fault.Error)
	if !ok || f.Code != code || f.Field != field || !strings.Contains(f.Reason, text) {
		t.Errorf("got %#v, want %s about %s: %s", err, code, field, text)
	}
	if ok && strings.Contains(f.Error(), "s3cret") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

func TestGetPlainly(t *testing.T) {
	var asked *http.Request
	handle := func(w http.ResponseWriter, r *http.Request) {
		asked = r
		if r.URL.Path != "/a.wasm" {
			http.Redirect(w, r, r.URL.Path[:len(r.URL.Path)-1], http.StatusFound)
			return
		}
		_, _ = w.Write(module)
	}
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // an ambient proxy is not asked
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	for _, secure := range []bool{true, false} {
		s := shop(t, secure, handle)
		f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.0/8"}}, s)
		for _, path := range []string{"/a.wasm", "/a.wasm+++"} {
			got, err := f.Get(t.Context(), s.URL+path+"?token=s3cret")
			if err != nil || string(got) != string(module) {
				t.Errorf("%s%s: got %q, %v", s.URL, path, got, err)
			}
		}
		for name, want := range map[string]string{"Accept-Encoding": "identity", "Referer": "", "Cookie": "", "Authorization": ""} {
			if got := asked.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
}

// By its name a host may be reached wherever it is; its address alone will do, too.
func TestAllowedByName(t *testing.T) {
	s := shop(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(module) })
	url := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"LOCALHOST"}})
	if _, err := f.Get(t.Context(), url); err != nil {
		t.Error(err)
	}
	got, err := f.Get(t.Context(), s.URL)
	refused(t, got, err, fault.Invalid, "url", "must be https")
	got, err = f.Get(t.Context(), strings.Replace(s.URL, "http", "https", 1))
	refused(t, got, err, fault.Invalid, "url", "127.0.0.1 is not an address of the public internet")
}

// TestPrivateName: a name is refused for its address, and an allowed name does not allow
// the address of a redirect, without a connection.
func TestPrivateName(t *testing.T) {
	var asked atomic.Bool
	target := httptest.NewUnstartedServer(nil)
	target.Config.ConnState = func(net.Conn, http.ConnState) { asked.Store(true) }
	target.StartTLS()
	defer target.Close()
	name := strings.Replace(target.URL, "127.0.0.1", "localhost", 1)
	got, err := fetcher(t, marketplace.Config{}, target).Get(t.Context(), name)
	refused(t, got, err, fault.Invalid, "url", "localhost is at ")

	s := shop(t, false, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, http.StatusFound) })
	f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"localhost"}}, target)
	got, err = f.Get(t.Context(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	refused(t, got, err, fault.Invalid, "url", "redirects to another URL: 127.0.0.1 is not")
	if asked.Load() {
		t.Error("a private host was connected to")
	}
}

func TestRefusals(t *testing.T) {
	answer := map[string]func(w http.ResponseWriter, r *http.Request){
		"/ok":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(module) },
		"/none":   http.NotFound,
		"/broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"/busy":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"/gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(module)
			_ = z.Close()
		},
		"/large": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(module)
		},
		"/bomb": func(w http.ResponseWriter, _ *http.Request) { // never ends, and does not say how long it is
			_, _ = w.Write(module)
			for chunk := make([]byte, 4096); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"/short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write(module)
		},
		"/header": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 200 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
			}
		},
	}
	var s *httptest.Server
	leads := map[string]string{
		"/to-metadata": "https://169.254.169.254/latest/meta-data?s3cret",
		"/to-ipv6":     "https://[::1]:443/",
		"/to-http":     "http://plugins.example/a.wasm",
		"/to-file":     "file:///etc/passwd",
		"/to-user":     "https://a:s3cret@plugins.example/",
		"/1":           "/2", "/2": "/3", "/3": "/4", "/4": "/ok",
	}
	s = shop(t, true, func(w http.ResponseWriter, r *http.Request) {
		if to := leads[r.URL.Path]; to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		answer[r.URL.Path](w, r)
	})
	f := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}}, s)
	for _, tt := range []struct {
		name, url   string
		code        fault.Code
		field, text string
	}{

		{"no URL", "", fault.Invalid, "url", "required"},
		{"no scheme", "plugins.example/a.wasm", fault.Invalid, "url", "https://"},
		{"http", "http://plugins.example/a.wasm", fault.Invalid, "url", "must be https"},
		{"a user", "https://u:s3cret@plugins.example/", fault.Invalid, "url", "a user"},
		{"no host", "https:///a.wasm", fault.Invalid, "url", "no host"},
		{"port 0", "https://plugins.example:0/", fault.Invalid, "url", "not a port"},
		{"not a URL", "https://plugins.example/\x7f", fault.Invalid, "url", "not a URL"},
		{"long", "https://plugins.example/" + strings.Repeat("x", 2048), fault.Invalid, "url", "limit is 2048"},
		{"private", "https://10.1.2.3/", fault.Invalid, "url", "10.1.2.3 is not an address of the public internet"},
		{"mapped", "https://[::ffff:10.1.2.3]/", fault.Invalid, "url", "10.1.2.3"},

		{"missing", s.URL + "/none", fault.Invalid, "url", "404 Not Found"},
		{"failing", s.URL + "/broken", fault.Unavailable, "url", "500"},
		{"too busy", s.URL + "/busy", fault.Unavailable, "url", "429"},
		{"compressed", s.URL + "/gzip", fault.Invalid, "url", `encoded as "gzip"`},
		{"said to be large", s.URL + "/large", fault.Exhausted, "url", "limit of 1000 bytes"},
		{"a bomb", s.URL + "/bomb", fault.Exhausted, "url", "limit of 1000 bytes"},
		{"cut off", s.URL + "/short", fault.Unavailable, "url", "EOF"},
		{"a large header", s.URL + "/header?s3cret", fault.Unavailable, "url", "header"},
		{"nobody there", "https://127.0.0.1:1/?s3cret", fault.Unavailable, "url", "cannot fetch from 127.0.0.1:1"},

		{"led to a cloud's metadata", s.URL + "/to-metadata", fault.Invalid, "url", "redirects to another URL: 169.254.169.254 is not"},
		{"led to loopback", s.URL + "/to-ipv6", fault.Invalid, "url", "::1 is not"},
		{"led to http", s.URL + "/to-http", fault.Invalid, "url", "must be https"},
		{"led to a file", s.URL + "/to-file", fault.Invalid, "url", "must begin with https"},
		{"led to a user", s.URL + "/to-user", fault.Invalid, "url", "a user"},
		{"led on four times", s.URL + "/1", fault.Invalid, "url", "more than 3 times"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := f.Get(t.Context(), tt.url)
			refused(t, got, err, tt.code, tt.field, tt.text)
		})
	}
	if _, err := f.Get(t.Context(), s.URL+"/2"); err != nil {
		t.Errorf("led on three times: %v", err)
	}
	t.Run("an unknown authority", func(t *testing.T) {
		got, err := fetcher(t, marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}}).Get(t.Context(), s.URL+"/ok?s3cret")
		refused(t, got, err, fault.Unavailable, "url", "certificate")
	})
}

func TestSlowServer(t *testing.T) {
	for name, first := range map[string][]byte{"silent": nil, "stalls": module} {
		t.Run(name, func(t *testing.T) {
			s := shop(t, true, func(w http.ResponseWriter, r *http.Request) {
				if first != nil {
					_, _ = w.Write(first)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			cfg := marketplace.Config{AllowPrivateHosts: []string{"127.0.0.1"}, Timeout: 200 * time.Millisecond}
			got, err := fetcher(t, cfg, s).Get(t.Context(), s.URL)
			refused(t, got, err, fault.Timeout, "url", "in time (the limit is 200ms)")

			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			cfg.Timeout = 0
			got, err = fetcher(t, cfg, s).Get(ctx, s.URL)
			refused(t, got, err, fault.Timeout, "url", "")
		})
	}
}
