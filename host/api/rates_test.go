package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/guard"
)

// callFrom is call from another address.
func callFrom(h http.Handler, remote, method, path string, headers ...string) *httptest.ResponseRecorder {
	return call(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = remote + ":1"
		h.ServeHTTP(w, r)
	}), method, path, "", headers...)
}

// until429 calls until it is too much, and returns what was answered before.
func until429(t *testing.T, do func() *httptest.ResponseRecorder) map[int]int {
	t.Helper()
	seen := map[int]int{}
	for range 5000 {
		w := do()
		if w.Code == http.StatusTooManyRequests {
			if p := problemIn(t, w); p.Code != "exhausted" || w.Header().Get("Retry-After") == "" {
				t.Errorf("got %+v, Retry-After %q", p, w.Header().Get("Retry-After"))
			}
			return seen
		}
		seen[w.Code]++
	}
	t.Fatalf("it is never too much: %v", seen)
	return nil
}

func TestRates(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Guard.Rate = guard.RateLimit{PerSecond: 0.001, Burst: 3}
	h := newServer(t, cfg).Handler()

	// Each token has its own rate, at every endpoint together.
	if seen := until429(t, func() *httptest.ResponseRecorder {
		return call(h, "GET", "/api/v1/orders", "", "Authorization: Bearer narrow")
	}); seen[200] != 3 {
		t.Errorf("got %v", seen)
	}
	if w := call(h, "GET", "/api/v1/nothing", "", "Authorization: Bearer narrow"); w.Code != 429 {
		t.Errorf("another path: got %d", w.Code)
	}
	if w := call(h, "GET", "/api/v1/orders", ""); w.Code != 200 {
		t.Errorf("another token: got %d", w.Code)
	}

	// Who guesses is slowed down, wherever; who has a token is not kept out by that.
	guess := func() *httptest.ResponseRecorder {
		return callFrom(h, "192.0.2.1", "POST", "/api/v1/events", "Authorization: Bearer wrong")
	}
	if seen := until429(t, guess); len(seen) != 1 || seen[401] < 20 {
		t.Errorf("got %v", seen)
	}
	if w := callFrom(h, "192.0.2.1", "GET", "/api/v1/orders", "Authorization: -"); w.Code != 429 && w.Code != 401 {
		t.Errorf("no token: got %d", w.Code)
	}
	if w := callFrom(h, "192.0.2.1", "GET", "/api/v1/orders"); w.Code != 200 {
		t.Errorf("a good token from the same address: got %d", w.Code)
	}
	if w := callFrom(h, "192.0.2.2", "GET", "/api/v1/orders", "Authorization: Bearer wrong"); w.Code != 401 {
		t.Errorf("another address: got %d", w.Code)
	}

	// What needs no token is bounded by address.
	for i, path := range []string{"/healthz", "/readyz", "/", "/nothing"} {
		remote := fmt.Sprintf("192.0.2.%d", 10+i)
		if seen := until429(t, func() *httptest.ResponseRecorder { return callFrom(h, remote, "GET", path) }); len(seen) != 1 {
			t.Errorf("%s: got %v", path, seen)
		}
	}
	if seen := until429(t, func() *httptest.ResponseRecorder {
		return callFrom(h, "192.0.2.20", "GET", "/api/v1/orders", "Host: evil.example")
	}); len(seen) != 1 || seen[403] == 0 {
		t.Errorf("another host: got %v", seen)
	}
}

// Without a configured rate a token has none.
func TestNoRateByDefault(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	for i := range 2000 {
		if w := call(h, "GET", "/api/v1/orders", ""); w.Code != 200 {
			t.Fatalf("request %d: got %d", i, w.Code)
		}
	}
}

// serving runs a server on a port of its own.
func serving(t *testing.T, cfg api.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s, done := newServer(t, cfg), make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// A caller that sends slowly is cut off: while it sends its header, and while it
// sends a body, at every endpoint that takes one.
func TestSlowCallers(t *testing.T) {
	cfg := setup(t).cfg
	cfg.HeaderTimeout, cfg.ReadTimeout = 100*time.Millisecond, 200*time.Millisecond
	cfg.Admin.Audit = &auditLog{}
	addr := serving(t, cfg)
	slow := func(sent string) (status int) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // reached by a hang only
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(in, nil); err == nil {
			status = resp.StatusCode
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		if _, err := io.Copy(io.Discard, in); err != nil { // until the server closes
			t.Errorf("%.40q: the connection stays: %v", sent, err)
		}
		return status
	}
	if status := slow("GET /api/v1/orders HTTP/1.1\r\nHost: loc"); status >= 200 && status != 408 && status != 400 {
		t.Errorf("a slow header: got %d", status)
	}
	for _, r := range newServer(t, cfg).Routes() {
		if r.Method != http.MethodPost {
			continue
		}
		path := strings.NewReplacer(":name", "order-audit", ":id", "A-1").Replace(r.Path)
		status := slow(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", path, secret))
		if status >= 500 {
			t.Errorf("%s: got %d", r.Path, status)
		}
	}
}

// A body over the limit is refused or not read, at every endpoint.
func TestLargeBodies(t *testing.T) {
	large := `{"x":"` + strings.Repeat("x", 17<<20) + `"}`
	s := newServer(t, setup(t).cfg)
	for _, r := range s.Routes() {
		if r.Method == http.MethodGet {
			continue
		}
		path := strings.NewReplacer(":name", "order-audit", ":id", "A-1").Replace(r.Path)
		body := &counted{Reader: strings.NewReader(large)}
		req := httptest.NewRequest(r.Method, path, body)
		req.Host = "localhost"
		req.ContentLength = -1 // as a chunked body: the limit must not depend on what is said
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code >= 500 || body.n > 2<<20 {
			t.Errorf("%s %s: got %d, %d bytes were read", r.Method, r.Path, w.Code, body.n)
		}
	}
}

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// A stream ends when its token is revoked.
func TestRevokedTokenEndsItsStream(t *testing.T) {
	cfg := setup(t).cfg
	known := &tokens{}
	cfg.Guard.Tokens, cfg.Guard.TokenCheck = known, time.Millisecond
	addr := serving(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/api/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer narrow")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	known.revoked.Store(true)
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Errorf("the stream did not end: %v", err)
	}
}
