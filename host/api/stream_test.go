package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// running is a server on a real listener.
type running struct {
	*api.Server
	url  string
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, cfg api.Config) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Server: newServer(t, cfg), url: "http://" + ln.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { r.done <- r.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		if err := <-r.done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r
}

func (r *running) get(t *testing.T, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// block reads the stream up to the next empty line.
func block(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %q: %v", b.String(), err)
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func published(n int) wire.Activity {
	return wire.Activity{Kind: "published", Event: &wire.Event{Seq: uint64(n), EventType: "t", Data: json.RawMessage("{\"text\":\"<a>\"}")}}
}

func TestStream(t *testing.T) {
	feed := api.NewFeed(0)
	cfg := config(seeded(t))
	cfg.Activities, cfg.MaxStreams = feed, 1
	s := serve(t, cfg)
	resp := s.get(t, "/api/v1/events/stream")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	r := bufio.NewReader(resp.Body)
	if got := block(t, r); !strings.HasPrefix(got, ": ") {
		t.Errorf("the greeting is %q", got)
	}
	for n := range 3 {
		feed.Publish(published(n))
		want := fmt.Sprintf("event: published\ndata: {\"kind\":\"published\",\"event\":{\"seq\":%d,\"event_type\":\"t\",\"data\":{\"text\":\"<a>\"},\"metadata\":null}}\n", n)
		if got := block(t, r); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	if resp := s.get(t, "/api/v1/events/stream"); resp.StatusCode != 503 {
		t.Errorf("one stream too many: got %s", resp.Status)
	}
	// The end of the host ends the stream, with a word.
	s.stop()
	if got := block(t, r); !strings.HasPrefix(got, "event: closing\n") {
		t.Errorf("got %q", got)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the end: got %v, want EOF", err)
	}
}

func TestStreamHeartbeat(t *testing.T) {
	cfg := config(seeded(t))
	cfg.Heartbeat = time.Millisecond
	r := bufio.NewReader(serve(t, cfg).get(t, "/api/v1/events/stream").Body)
	block(t, r)
	for range 3 {
		if got := block(t, r); got != ": \n" {
			t.Errorf("got %q", got)
		}
	}
}

// closedFeed is a feed whose subscriber was too slow after one activity.
type closedFeed struct{}

func (closedFeed) Subscribe(context.Context) <-chan wire.Activity {
	ch := make(chan wire.Activity, 1)
	ch <- published(1)
	close(ch)
	return ch
}

func TestStreamLagged(t *testing.T) {
	cfg := config(seeded(t))
	cfg.Activities = closedFeed{}
	body, err := io.ReadAll(serve(t, cfg).get(t, "/api/v1/events/stream").Body)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(body)), "\n\n")
	if len(blocks) != 3 || !strings.HasPrefix(blocks[1], "event: published\n") || !strings.HasPrefix(blocks[2], "event: lagged\n") {
		t.Errorf("got %q", blocks)
	}
}

func TestStreamReaderLeaves(t *testing.T) {
	feed := api.NewFeed(0)
	cfg := config(seeded(t))
	cfg.Activities, cfg.MaxStreams = feed, 1
	s := serve(t, cfg)
	for range 3 { // each finds the one place free again
		for {
			resp := s.get(t, "/api/v1/events/stream")
			if resp.StatusCode != 200 {
				resp.Body.Close()
				continue
			}
			block(t, bufio.NewReader(resp.Body))
			if !feed.Watched() {
				t.Error("the feed does not know its reader")
			}
			resp.Body.Close()
			break
		}
	}
}

func TestFeed(t *testing.T) {
	feed := api.NewFeed(2)
	feed.Publish(published(0)) // nobody listens
	ctx, cancel := context.WithCancel(t.Context())
	slow, quick := feed.Subscribe(t.Context()), feed.Subscribe(ctx)
	for n := range 4 {
		feed.Publish(published(n))
		if a, open := <-quick; !open || a.Event.Seq != uint64(n) {
			t.Fatalf("the quick one got %+v, %v", a, open)
		}
	}
	var got []uint64
	for a := range slow {
		got = append(got, a.Event.Seq)
	}
	if len(got) != 2 || got[1] != 1 {
		t.Errorf("the slow one got %v, want 0 and 1", got)
	}
	cancel()
	if _, open := <-quick; open {
		t.Error("the channel is open after its context ended")
	}
	if feed.Watched() {
		t.Error("the feed is watched by nobody")
	}
}

func TestFeedHammer(t *testing.T) {
	feed := api.NewFeed(4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 500 {
				feed.Publish(published(n))
			}
		})
		wg.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				ch := feed.Subscribe(ctx)
				if n%2 == 0 {
					cancel()
				}
				feed.Publish(published(n))
				<-ch
				cancel()
				for range ch { // until it is closed
				}
			}
		})
	}
	wg.Wait()
	if feed.Watched() {
		t.Error("subscribers are left")
	}
}

// A request that is under way when the host stops is answered; a later one is not taken.
func TestShutdownFinishesRequests(t *testing.T) {
	p := seeded(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	p.before = func() { entered <- struct{}{}; <-leave }
	s := serve(t, config(p))
	answered := make(chan *http.Response)
	go func() { answered <- s.get(t, "/api/v1/orders/A-1") }()
	<-entered
	s.stop()
	h := s.Handler()
	for {
		w := call(h, "GET", "/readyz", "")
		if w.Code == 503 {
			break
		}
	}
	if w := call(h, "GET", "/api/v1/orders/A-1", ""); problemIn(t, w).Status != 503 {
		t.Errorf("got %s", w.Body)
	}
	close(leave)
	if resp := <-answered; resp.StatusCode != 200 {
		t.Errorf("got %s", resp.Status)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	p := seeded(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	p.before = func() { entered <- struct{}{}; <-leave }
	s := newServer(t, config(p))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln) }()
	failed := make(chan error, 1)
	go func() {
		req, err := http.NewRequest("GET", "http://"+ln.Addr().String()+"/api/v1/orders/A-1", nil)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+secret)
			_, err = http.DefaultClient.Do(req)
		}
		failed <- err
	}()
	<-entered
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(over); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v, want a timeout", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	close(leave)
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := newServer(t, config(seeded(t))).Serve(t.Context(), ln); err == nil {
		t.Error("no error")
	}
}

// The address a connection came to may be named, without configuration.
func TestHostOfTheConnection(t *testing.T) {
	h := newServer(t, config(seeded(t))).Handler()
	for _, tt := range []struct {
		local, host string
		status      int
	}{
		{"192.0.2.7:80", "192.0.2.7:80", 200},
		{"192.0.2.7:80", "192.0.2.8:80", 403},
		{"[2001:db8::1]:80", "[2001:db8::1]", 200},
	} {
		local, err := net.ResolveTCPAddr("tcp", tt.local)
		if err != nil {
			t.Fatal(err)
		}
		w := call(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local))))
		}), "GET", "/api/v1/orders", "", "Host: "+tt.host)
		if w.Code != tt.status {
			t.Errorf("%s at %s: got %d, want %d", tt.host, tt.local, w.Code, tt.status)
		}
	}
}
