package api_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api/inflight"
)

// Large batches under way take what is theirs, and no more: another one is refused
// with a time to come again, while small events and lists are served.
func TestLargeBatchesLeaveTheOthersTheirShare(t *testing.T) {
	p := &parts{}
	cfg := config(p)
	cfg.MaxInflight, cfg.QuotaWait = inflight.MinBytes, time.Nanosecond
	s := newServer(t, cfg)
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	p.before = func() {
		if calls.Add(1) == 1 {
			entered <- struct{}{}
			<-leave
		}
	}
	batch := "[" + strings.Repeat(`{"event_type":"t","data":{"p":"`+strings.Repeat("x", 100<<10)+`"}},`, 99) + `{"event_type":"t"}]`
	done := make(chan int)
	go func() { done <- call(s.Handler(), "POST", "/api/v1/events", batch).Code }()
	<-entered
	for _, tt := range []struct {
		what, method, path, body string
		status                   int
	}{
		{"another batch", "POST", "/api/v1/events", batch, http.StatusServiceUnavailable},
		{"a body of 64 KiB", "POST", "/api/v1/events", padded(64 << 10), http.StatusAccepted},
		{"a body of 64 KiB and a byte, at half", "POST", "/api/v1/events", padded(64<<10 + 1), http.StatusServiceUnavailable},
		{"a small event", "POST", "/api/v1/events", `{"event_type":"t"}`, http.StatusAccepted},
		{"a list", "GET", "/api/v1/events", "", http.StatusOK},
	} {
		w := call(s.Handler(), tt.method, tt.path, tt.body)
		if w.Code != tt.status {
			t.Errorf("%s: got %d, want %d: %s", tt.what, w.Code, tt.status, w.Body)
		}
		if tt.status == http.StatusServiceUnavailable {
			if pr := problemIn(t, w); w.Header().Get("Retry-After") != "1" || !strings.Contains(pr.Detail, "server.max_inflight_bytes") {
				t.Errorf("%s: Retry-After %q, %s", tt.what, w.Header().Get("Retry-After"), pr.Detail)
			}
		}
	}
	close(leave)
	if code := <-done; code != http.StatusAccepted {
		t.Errorf("the first batch: got %d", code)
	}
	if w := call(s.Handler(), "POST", "/api/v1/events", batch); w.Code != http.StatusAccepted {
		t.Errorf("a batch after it: got %d", w.Code)
	}
}

// padded is an event of so many bytes.
func padded(size int) string {
	const head, tail = `{"event_type":"t","data":{"p":"`, `"}}`
	return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
}

// A body that does not come loses its place.
func TestStalledBody(t *testing.T) {
	cfg := config(&parts{})
	cfg.BodyStall = 20 * time.Millisecond
	s := serve(t, cfg)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", secret)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
		t.Errorf("got %s, close: %v", resp.Status, resp.Close)
	}
}

// TestAnswersWithEventsAreBounded: lists and single events reserve for their answers. Those
// that are being made are counted, and one more is refused.
func TestAnswersWithEventsAreBounded(t *testing.T) {
	p := &parts{}
	cfg := config(p)
	cfg.MaxInflight, cfg.QuotaWait = inflight.MinBytes, time.Nanosecond
	s := newServer(t, cfg)
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan int)
	p.before = func() {
		entered <- struct{}{}
		<-leave
	}
	started := 0
	// fill calls until one is refused, and returns how many were not.
	fill := func(path string) (admitted int) {
		for range 64 {
			go func() { done <- call(s.Handler(), "GET", path, "").Code }()
			select {
			case <-entered:
				admitted++
				started++
			case code := <-done:
				if code != http.StatusServiceUnavailable {
					t.Errorf("%s: got %d", path, code)
				}
				return admitted
			}
		}
		return admitted
	}
	if n := fill("/api/v1/events"); n < 1 || n > 4 {
		t.Errorf("%d lists of 8 MiB at once, of 32 MiB for everything", n)
	}
	if n := fill("/api/v1/events/unknown"); n > 31 {
		t.Errorf("%d events of 1 MiB at once besides", n)
	}
	close(leave)
	for range started {
		<-done
	}
	go func() { <-entered }()
	if w := call(s.Handler(), "GET", "/api/v1/events", ""); w.Code != http.StatusOK {
		t.Errorf("afterwards: got %d", w.Code)
	}
}
