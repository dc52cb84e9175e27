package guestnet_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/guestnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type response struct {
	Status  int
	Headers map[string]string
	Body    *string
	Base64  string `json:"body_base64"`
}

// serve starts a server on the loopback and returns its host:port.
func serve(t *testing.T, handler http.HandlerFunc) string {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func client(t *testing.T, cfg guestnet.Config, hosts ...string) *guestnet.Client {
	t.Helper()
	n := guestnet.New(cfg)
	t.Cleanup(n.Close)
	c, err := n.Client(hosts, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c *guestnet.Client, request string) (response, error) {
	t.Helper()
	text, err := c.Send(t.Context(), []byte(request))
	var r response
	if err == nil {
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return r, err
}

func TestExchange(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		w.Header().Set("Set-Cookie", "s=1")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s|%s|%s|%s|%s", r.Method, r.URL, body, r.Header.Get("X-Mine"), r.Header.Get("Accept-Encoding"), r.Header.Get("User-Agent"), r.Header.Get("Cookie"))
	})
	c := client(t, guestnet.Config{}, host)
	for range 2 { // the second time there could be a cookie
		got, err := send(t, c, `{"method":"POST","url":"http://`+host+`/a?b=%20c#d","headers":{"x-mine":"é"},"body":"hi"}`)
		if err != nil {
			t.Fatal(err)
		}
		if want := "POST /a?b=%20c hi|é|identity|berth|"; got.Status != 418 || got.Body == nil || *got.Body != want || got.Base64 != "" {
			t.Errorf("got %+v %q, want %q", got, *got.Body, want)
		}
		if got.Headers["x-two"] != "a, b" || got.Headers["content-type"] == "" || got.Headers["X-Two"] != "" {
			t.Errorf("headers: got %v", got.Headers)
		}
	}
	got, err := send(t, c, `{"method":"PUT","url":"http://`+host+`/","body_base64":"/w=="}`)
	if err != nil || got.Body != nil || got.Base64 == "" {
		t.Errorf("bytes that are no text: got %+v, %v", got, err)
	}
	if got, err := send(t, c, `{"method":"HEAD","url":"http://`+host+`/"}`); err != nil || got.Body == nil || *got.Body != "" {
		t.Errorf("HEAD: got %+v, %v", got, err)
	}
}

func TestInvalidRequestsAreRefused(t *testing.T) {
	c := client(t, guestnet.Config{}, "127.0.0.1", "127.0.0.1:1", "api.example.com")
	with := func(members string) string { return `{"method":"GET","url":"http://127.0.0.1:1/",` + members + `}` }
	for _, tt := range []struct {
		request string
		code    fault.Code
		text    string
	}{
		{``, fault.Invalid, "the text is empty"},
		{`[]`, fault.Invalid, "must be an object"},
		{`{}`, fault.Invalid, "method: is required"},
		{`{"method":"GET"}`, fault.Invalid, "url: is required"},
		{`{"method":"","url":"http://127.0.0.1/"}`, fault.Invalid, "method: is not a method"},
		{`{"method":"G ET","url":"http://127.0.0.1/"}`, fault.Invalid, "method: is not a method"},
		{`{"method":"CONNECT","url":"http://127.0.0.1/"}`, fault.Denied, "method: CONNECT is not let through"},
		{`{"method":"Trace","url":"http://127.0.0.1/"}`, fault.Denied, "not let through"},
		{`{"method":"GET","url":"/a"}`, fault.Invalid, "url: is not an absolute URL"},
		{`{"method":"GET","url":"http:///a"}`, fault.Invalid, "url: is not an absolute URL"},
		{`{"method":"GET","url":"http:127.0.0.1"}`, fault.Invalid, "url: is not an absolute URL"},
		{`{"method":"GET","url":"http://127.0.0.1:x/"}`, fault.Invalid, "url: is not an absolute URL"},
		{`{"method":"GET","url":"ftp://127.0.0.1/"}`, fault.Denied, "neither http nor https"},
		{`{"method":"GET","url":"http://u:p@127.0.0.1/"}`, fault.Denied, "user and password"},
		{`{"method":"GET","url":"http://other.example.com/"}`, fault.Denied, "other.example.com is not granted"},
		{`{"method":"GET","url":"http://127.0.0.1:2/"}`, fault.Denied, "127.0.0.1:2 is not granted"},
		{`{"method":"GET","url":"https://api.example.com:8443/"}`, fault.Denied, "not granted"},
		{`{"method":"GET","url":"https://api.example.com./"}`, fault.Denied, "not granted"},
		{`{"method":"GET","url":"https://api.example.com:80/"}`, fault.Denied, "not granted"},
		{with(`"x":1`), fault.Invalid, "x: unknown key"},
		{with(`"Body":"x"`), fault.Invalid, "Body: unknown key"},
		{with(`"body":"x","body_base64":"eA=="`), fault.Invalid, "exclude each other"},
		{with(`"body_base64":"x"`), fault.Invalid, "body_base64: is not base64"},
		{with(`"body":7`), fault.Invalid, "body: must be a string"},
		{with(`"headers":[]`), fault.Invalid, "headers: must be an object"},
		{with(`"headers":{"a b":""}`), fault.Invalid, "is not the name of a header"},
		{with(`"headers":{"":""}`), fault.Invalid, "is not the name of a header"},
		{with(`"headers":{"a":"x\r\ny"}`), fault.Invalid, "control character"},
		{with(`"headers":{"a":["x"]}`), fault.Invalid, "headers.a: must be a string"},
		{with(`"headers":{"a":"x","A":"y"}`), fault.Invalid, "headers.a: is set twice"},
		{with(`"headers":{"host":"x"}`), fault.Denied, "headers.host: is set by the host"},
		{with(`"headers":{"Transfer-Encoding":"chunked"}`), fault.Denied, "is set by the host"},
		{with(`"headers":{"proxy-authorization":"x"}`), fault.Denied, "is set by the host"},
		{with(`"headers":{"upgrade":"websocket"}`), fault.Denied, "is set by the host"},
		{with(`"body":"` + strings.Repeat("x", 1<<20) + `"`), fault.Exhausted, "request: is"},
		{with(`"body":""`), fault.Unavailable, "no answer came"}, // no server listens
	} {
		_, err := send(t, c, tt.request)
		if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%.200s: got %v, want %s %q", tt.request, err, tt.code, tt.text)
		}
	}
}

func TestAskedAndGranted(t *testing.T) {
	n := guestnet.New(guestnet.Config{Resolver: resolver("127.0.0.1")})
	defer n.Close()
	for _, tt := range []struct {
		asked, granted []string
		url            string
		want           bool // let through to the address check, which refuses it
	}{
		{[]string{"a.test"}, nil, "https://a.test/", true},
		{[]string{"a.test"}, nil, "https://A.TEST/", true},
		{[]string{"a.test"}, nil, "https://b.a.test/", false},
		{nil, []string{"a.test"}, "https://a.test/", false},
		{[]string{"a.test"}, []string{"b.test"}, "https://a.test/", false},
		{[]string{"a.test", "b.test"}, []string{"b.test"}, "https://b.test/", true},
		{[]string{"b.a.test"}, []string{"*.a.test"}, "https://b.a.test/", true},
		{[]string{"a.test"}, []string{"*.a.test"}, "https://a.test/", false},
		{[]string{"xa.test"}, []string{"*.a.test"}, "https://xa.test/", false},
		{[]string{"a.test:8443"}, []string{"a.test"}, "https://a.test:8443/", false},
		{[]string{"a.test:8443"}, []string{"a.test:8443"}, "https://a.test:8443/", true},
		{[]string{"a.test:443"}, []string{"a.test"}, "https://a.test/", true},
		{[]string{"a.test:443"}, []string{"a.test"}, "http://a.test/", false},
		{[]string{"a.test"}, nil, "http://a.test:80/", true},
	} {
		c, err := n.Client(tt.asked, tt.granted)
		if err != nil {
			t.Fatal(err)
		}
		_, err = send(t, c, `{"method":"GET","url":"`+tt.url+`"}`)
		if got := err != nil && strings.Contains(err.Error(), "not a public one"); got != tt.want || !fault.Is(err, fault.Denied) {
			t.Errorf("asked %v, granted %v, %s: got %v", tt.asked, tt.granted, tt.url, err)
		}
	}
	for _, wrong := range []string{"", "*", "a.test:0", "a.test:x", "a/b", "[::1", "a@b"} {
		if _, err := n.Client([]string{wrong}, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("the host %q: got %v, want %s", wrong, err, fault.Invalid)
		}
	}
}

// TestAddresses resolves a granted name to addresses that are not public, and connects to
// the loopback by grants that name it.
func TestAddresses(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	_, port, _ := net.SplitHostPort(host)
	for _, tt := range []struct {
		grant, url string
		want       fault.Code
	}{
		{"api.test:" + port, "http://api.test:" + port, fault.Denied}, // resolves to the loopback
		{"127.0.0.1:" + port, "http://127.0.0.1:" + port, ""},
		{"127.0.0.1:" + port, "http://[::ffff:127.0.0.1]:" + port, ""},
		{"[::ffff:127.0.0.1]:" + port, "http://127.0.0.1:" + port, ""},
		{"localhost:" + port, "http://LocalHost:" + port, ""},
		{"localhost:" + port, "http://127.0.0.1:" + port, fault.Denied},
		{"127.0.0.1:" + port, "http://localhost:" + port, fault.Denied},
		{"127.0.0.1", "http://127.0.0.1:" + port, fault.Denied},
		{"127.0.0.1:" + port, "http://2130706433:" + port, fault.Denied},
	} {
		_, err := send(t, client(t, guestnet.Config{Resolver: resolver("127.0.0.1")}, tt.grant), `{"method":"GET","url":"`+tt.url+`/"}`)
		if fault.CodeOf(err) != tt.want {
			t.Errorf("grant %s, %s: got %v, want %q", tt.grant, tt.url, err, tt.want)
		}
	}
	for _, addr := range []string{"10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "192.168.1.1"} {
		_, err := send(t, client(t, guestnet.Config{Resolver: resolver(addr)}, "api.test"), `{"method":"GET","url":"http://api.test/"}`)
		if !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), addr) {
			t.Errorf("a name for %s: got %v", addr, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "other %q %q %q", r.Header.Get("X-Api-Key"), r.Header.Get("Accept"), r.Header.Get("Referer"))
	})
	ungranted := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a host was reached that is not granted") })
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := 0
		switch _, err := fmt.Sscanf(r.URL.Path, "/left/%d", &n); {
		case r.URL.Path == "/other":
			http.Redirect(w, r, "http://"+other+"/", http.StatusFound)
		case r.URL.Path == "/ungranted":
			http.Redirect(w, r, "http://"+ungranted+"/", http.StatusFound)
		case r.URL.Path == "/scheme":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case err == nil && n > 0:
			http.Redirect(w, r, fmt.Sprintf("/left/%d", n-1), http.StatusTemporaryRedirect)
		default:
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %q %s", r.Method, r.Header.Get("X-Api-Key"), body)
		}
	})
	c := client(t, guestnet.Config{}, host, other)
	for _, tt := range []struct {
		path, want string
		code       fault.Code
	}{
		{"/left/3", `POST "key" hi`, ""},
		{"/left/4", "", fault.Denied},
		{"/other", `other "" "text/plain" ""`, ""},
		{"/ungranted", "", fault.Denied},
		{"/scheme", "", fault.Denied},
	} {
		got, err := send(t, c, `{"method":"POST","url":"http://`+host+tt.path+`","headers":{"x-api-key":"key","accept":"text/plain"},"body":"hi"}`)
		if fault.CodeOf(err) != tt.code || err == nil && *got.Body != tt.want {
			t.Errorf("%s: got %+v, %v, want %q %q", tt.path, got, err, tt.want, tt.code)
		}
	}
}

func TestLargeResponsesAreRefused(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			io.WriteString(w, strings.Repeat("x", 1<<20)) //nolint:errcheck // the client looks
		case "/body":
			io.WriteString(w, strings.Repeat("x", 1<<20+1)) //nolint:errcheck // the client hangs up
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 128<<10))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "x") //nolint:errcheck // the point
		}
	})
	c := client(t, guestnet.Config{}, host)
	for path, want := range map[string]fault.Code{"/fits": "", "/body": fault.Exhausted, "/header": fault.Exhausted, "/cut": fault.Unavailable} {
		if _, err := send(t, c, `{"method":"GET","url":"http://`+host+path+`"}`); fault.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestLateResponseIsTimeout(t *testing.T) {
	release := make(chan struct{})
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		<-release
	})
	defer close(release)
	c := client(t, guestnet.Config{}, host)
	for _, path := range []string{"/header", "/body"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := c.Send(ctx, []byte(`{"method":"GET","url":"http://`+host+path+`"}`))
		cancel()
		if !fault.Is(err, fault.Timeout) {
			t.Errorf("%s: got %v, want %s", path, err, fault.Timeout)
		}
	}
}

// TestSwitchedProtocol: a response that never ends is an error.
func TestSwitchedProtocol(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()
	c := client(t, guestnet.Config{}, ln.Addr().String())
	if _, err := send(t, c, `{"method":"GET","url":"http://`+ln.Addr().String()+`/"}`); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want %s", err, fault.Unavailable)
	}
}

// resolver resolves every name to one IPv4 address, or to none.
func resolver(addr string) *net.Resolver {
	ip := net.ParseIP(addr).To4() // nil for ""
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			var length [2]byte
			if _, err := io.ReadFull(far, length[:]); err != nil {
				return
			}
			q := make([]byte, int(length[0])<<8|int(length[1]))
			if _, err := io.ReadFull(far, q); err != nil {
				return
			}
			end := 12 // RFC 1035: header, then the name, type and class asked for
			for q[end] != 0 {
				end += 1 + int(q[end])
			}
			end += 5
			a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
			if ip == nil {
				a[3] |= 3 // NXDOMAIN
			} else if q[end-3] == 1 { // type A
				a[7] = 1
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				a = append(a, ip...)
			}
			_, _ = far.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...))
		}()
		return near, nil
	}}
}
