package guestnet_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/guestnet"
)

// TestHeaderValues sends every byte that a header may contain.
func TestHeaderValues(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, base64.StdEncoding.EncodeToString([]byte(r.Header.Get("X-Value")))) //nolint:errcheck // the client looks
	})
	c := client(t, guestnet.Config{}, host)
	for value, ok := range map[string]bool{
		"two words": true, "a\tb": true, "~!@#$%^&*()": true, "": true, "é ü": true, "Bearer a b c": true, " !": true,
		"\x00": false, "a\nb": false, "a\rb": false, "\x1f": false, "\x7f": false, "\x08": false,
	} {
		escaped := fmt.Sprintf("%q", value)
		escaped = strings.NewReplacer(`\x00`, `\u0000`, `\x1f`, `\u001f`, `\x7f`, `\u007f`, `\b`, `\b`).Replace(escaped)
		got, err := send(t, c, `{"method":"GET","url":"http://`+host+`/","headers":{"x-value":`+escaped+`}}`)
		if !ok {
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "headers.x-value: has a control character") {
				t.Errorf("%q: got %v", value, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		there, err := base64.StdEncoding.DecodeString(*got.Body)
		if err != nil || string(there) != strings.TrimSpace(value) {
			t.Errorf("%q: the server has %q, %v", value, there, err)
		}
	}
}

// TestGuestCannotSetHostHeaders, in any notation.
func TestGuestCannotSetHostHeaders(t *testing.T) {
	c := client(t, guestnet.Config{}, "127.0.0.1:1")
	for _, name := range []string{"host", "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
		"content-length", "accept-encoding", "expect", "http2-settings", "proxy-authorization", "Proxy-Anything", "HOST"} {
		_, err := send(t, c, `{"method":"GET","url":"http://127.0.0.1:1/","headers":{"`+name+`":"x"}}`)
		if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "is set by the host") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, name := range []string{"a b", "a:b", "a(b", "a\u007f", "é", "", `a\"b`, "a/b", "a{b", "a@b"} {
		_, err := send(t, c, `{"method":"GET","url":"http://127.0.0.1:1/","headers":{"`+name+`":"x"}}`)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "is not the name of a header") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	for _, name := range []string{"a!b", "x-1", "a~b", "a|b", "proxy"} {
		if _, err := send(t, c, `{"method":"GET","url":"http://127.0.0.1:1/","headers":{"`+name+`":"x"}}`); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%q: got %v, want it sent", name, err)
		}
	}
}

// TestPatterns parses the hosts of grants and manifests, and matches URLs.
func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no string // URLs, separated by spaces
	}{
		{"a.test", "http://a.test https://a.test https://A.Test:443 http://a.test:80", "http://a.test:81 https://a.test:80 http://b.a.test http://xa.test http://a.test."},
		{"A.Test", "http://a.test", ""},
		{"a.test:8080", "http://a.test:8080 https://a.test:8080", "http://a.test http://a.test:80 http://a.test:8081"},
		{"a.test:1", "http://a.test:1", ""},
		{"a.test:65535", "http://a.test:65535", ""},
		{"*.a.test", "http://b.a.test http://c.b.a.test", "http://a.test http://xa.test http://.a.testx"},
		{"*.a.test:8443", "https://b.a.test:8443", "https://b.a.test https://a.test:8443"},
		{"192.0.2.7", "http://192.0.2.7 http://[::ffff:192.0.2.7]", "http://192.0.2.8 http://192.0.2.7:81 http://a.test"},
		{"192.0.2.7:81", "http://192.0.2.7:81", "http://192.0.2.7"},
		{"2001:db8::1", "http://[2001:db8::1] http://[2001:db8:0::1]:80 https://[2001:DB8::1]", "http://[2001:db8::2] http://[2001:db8::1]:81"},
		{"[2001:db8::1]", "http://[2001:db8::1] https://[2001:db8::1]", "http://[2001:db8::2] http://[2001:db8::1]:8080"},
		{"[2001:db8::1]:8080", "http://[2001:db8::1]:8080", "http://[2001:db8::1] http://[2001:db8::2]:8080"},
		{"[::ffff:192.0.2.7]", "http://192.0.2.7", "http://192.0.2.8"},
		{"localhost", "http://localhost", "http://127.0.0.1"},
	} {
		n := guestnet.New(guestnet.Config{})
		c, err := n.Client([]string{tt.pattern}, nil)
		n.Close()
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for list, want := range map[string]bool{tt.yes: true, tt.no: false} {
			for _, raw := range strings.Fields(list) {
				u, err := url.Parse(raw)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Allows(u); got != want {
					t.Errorf("%s reaches %s: %v", tt.pattern, raw, got)
				}
			}
		}
	}
	for _, wrong := range []string{"", "*", "*.", "a.test:0", "a.test:65536", "a.test:", "a.test:-1", "a.test:x", "a/b", "[::1", "::1]", "[::1]:0", "[a.test]", "a@b", "a b", "a%b", "*.*.a", "a.*", "[]", "[]:80"} {
		if _, err := guestnet.ParsePattern(wrong); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), fmt.Sprintf("%q", wrong)) {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}

// TestRequestIsBoundedToTheByte: 1 MiB of JSON.
func TestRequestIsBoundedToTheByte(t *testing.T) {
	c := client(t, guestnet.Config{}, "127.0.0.1:1")
	request := func(size int) string {
		begin, end := `{"method":"GET","url":"http://127.0.0.1:1/","body":"`, `"}`
		return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
	}
	if _, err := send(t, c, request(1048576)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("at the limit: got %v, want it sent", err)
	}
	if _, err := send(t, c, request(1048577)); !fault.Is(err, fault.Exhausted) || err.Error() != "request: is 1048577 bytes; the limit is 1048576 bytes" {
		t.Errorf("over the limit: got %v", err)
	}
}

// TestAgentAndEncoding: the guest's agent is kept; the default is berth.
func TestAgentAndEncoding(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s", r.UserAgent(), r.Header.Get("Accept-Encoding"))
	})
	c := client(t, guestnet.Config{}, host)
	for headers, want := range map[string]string{`{}`: "berth|identity", `{"user-agent":"mine"}`: "mine|identity", `{"user-agent":""}`: "berth|identity"} {
		if got, err := send(t, c, `{"method":"GET","url":"http://`+host+`/","headers":`+headers+`}`); err != nil || *got.Body != want {
			t.Errorf("%s: got %+v, %v, want %s", headers, got, err, want)
		}
	}
}

// TestCloseEndsIdleConnections of guests' requests.
func TestCloseEndsIdleConnections(t *testing.T) {
	closed := make(chan struct{}, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	defer s.Close()
	n := guestnet.New(guestnet.Config{})
	host := s.Listener.Addr().String()
	c, err := n.Client([]string{host}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send(t, c, `{"method":"GET","url":"http://`+host+`/"}`); err != nil {
		t.Fatal(err)
	}
	n.Close()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the connection is still there")
	}
}

// TestGuestsSpeakHTTP2 where the server does, with the roots that are trusted.
func TestGuestsSpeakHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := client(t, guestnet.Config{TLS: &tls.Config{RootCAs: roots}}, s.Listener.Addr().String())
	if got, err := send(t, c, `{"method":"GET","url":"`+s.URL+`/"}`); err != nil || *got.Body != "HTTP/2.0" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestResponseIsBoundedToTheByte: 1 MiB of its body, and 64 KiB of its headers.
func TestResponseIsBoundedToTheByte(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Query().Get("body"))
		if header, _ := strconv.Atoi(r.URL.Query().Get("header")); header > 0 {
			w.Header().Set("X", strings.Repeat("x", header))
		}
		io.WriteString(w, strings.Repeat("x", size)) //nolint:errcheck // the client looks
	})
	c := client(t, guestnet.Config{}, host)
	for query, want := range map[string]string{"body=1048576": "", "body=1048577": "response: is larger than 1048576 bytes",
		"header=60000": "", "header=80000": "response headers: is larger than 65536 bytes"} {
		got, err := send(t, c, `{"method":"GET","url":"http://`+host+`/?`+query+`"}`)
		if want == "" && (err != nil || got.Status != http.StatusOK) || want != "" && (!fault.Is(err, fault.Exhausted) || err.Error() != want) {
			t.Errorf("%s: got %v, want %q", query, err, want)
		}
	}
}
