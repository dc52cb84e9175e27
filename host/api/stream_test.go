package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/event"
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

func (r *running) get(t *testing.T, path string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
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

// emit publishes an event and returns its frame.
func emit(t *testing.T, p *parts, key string) string {
	t.Helper()
	receipt, err := p.Publish(t.Context(), event.Draft{Type: "t", Data: []byte("{\"text\":\"<a>\"}"), IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return frame(t, p, receipt.Seq)
}

// frame is how an event is shown.
func frame(t *testing.T, p *parts, seq uint64) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	shown, err := api.EventOf(p.log[seq-1])
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(wire.Activity{Kind: "published", Event: &shown}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("id: %d\nevent: published\ndata: %s", seq, text.String())
}

func delivered(seq uint64) wire.Activity {
	return wire.Activity{Kind: "delivery", Delivery: &wire.DeliveryOfEvent{Seq: seq, Delivery: wire.Delivery{Plugin: "p", Status: "ok"}}}
}

func deliveryFrame(t *testing.T, seq uint64) string {
	t.Helper()
	text, err := json.Marshal(delivered(seq))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("event: delivery\ndata: %s\n", text)
}

func TestStream(t *testing.T) {
	b := setup(t)
	p, cfg := b.parts, b.cfg
	cfg.MaxStreams = 1
	s := serve(t, cfg)
	resp := s.get(t, "/api/v1/events/stream")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	r := bufio.NewReader(resp.Body)
	if got := block(t, r); !strings.HasPrefix(got, ": ") || !strings.HasSuffix(got, "\nid: 1\nevent: hello\ndata: {\"after\":1}\n") {
		t.Errorf("the greeting is %q", got)
	}
	for n := range 3 {
		want := emit(t, p, fmt.Sprint(n))
		if got := block(t, r); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	if resp := s.get(t, "/api/v1/events/stream"); resp.StatusCode != 503 {
		t.Errorf("one stream too many: got %s", resp.Status)
	}
	// The end of the host ends the stream, with a word.
	s.stop()
	if got := block(t, r); !strings.HasPrefix(got, "event: closing\n") || !strings.Contains(got, "shutting down") {
		t.Errorf("got %q", got)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the end: got %v, want EOF", err)
	}
}

// A reader that comes again gets what it has missed, each event once and in
// order, and continues with later events.
func TestStreamResumes(t *testing.T) {
	for _, tt := range []struct {
		name, path, id string
		after          uint64
	}{
		{"by the header", "/api/v1/events/stream", "3", 3},
		{"by the query", "/api/v1/events/stream?since=0", "", 0},
		{"the header goes first", "/api/v1/events/stream?since=1", "150", 150},
		{"at the end", "/api/v1/events/stream?since=200", "", 200},
		{"beyond the end", "/api/v1/events/stream?since=100000", "", 200},
		{"an empty header", "/api/v1/events/stream?since=190", "-", 190},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := seeded(t)
			for n := range 199 { // more than two pages
				emit(t, p, fmt.Sprint(n))
			}
			feed := stream.NewFeed(0)
			cfg := config(p)
			cfg.Events.Activities = feed
			var header []string
			if tt.id != "" {
				header = append(header, "Last-Event-ID: "+strings.Trim(tt.id, "-"))
			}
			r := bufio.NewReader(serve(t, cfg).get(t, tt.path, header...).Body)
			if got := block(t, r); !strings.HasSuffix(got, fmt.Sprintf("\nid: %d\nevent: hello\ndata: {\"after\":%[1]d}\n", tt.after)) {
				t.Errorf("the greeting is %q", got)
			}
			var more sync.WaitGroup
			more.Go(func() {
				for n := range 100 {
					emit(t, p, fmt.Sprint("more", n))
				}
			})
			for seq := tt.after + 1; seq <= 300; seq++ {
				got := block(t, r)
				if want := fmt.Sprintf("id: %d\nevent: published\n", seq); !strings.HasPrefix(got, want) {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			more.Wait()
			// It is live now.
			for !feed.Watched() {
				runtime.Gosched()
			}
			feed.Publish(delivered(7))
			if got := block(t, r); got != deliveryFrame(t, 7) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A delivery is never shown before its event, though it may be known first.
func TestStreamOrder(t *testing.T) {
	p := seeded(t)
	feed := stream.NewFeed(0)
	cfg := config(p)
	cfg.Events.Activities = feed
	r := bufio.NewReader(serve(t, cfg).get(t, "/api/v1/events/stream").Body)
	block(t, r)
	feed.Publish(delivered(3))
	feed.Publish(delivered(2))
	feed.Publish(delivered(3))
	feed.Publish(delivered(1)) // older than the stream
	if got := block(t, r); got != deliveryFrame(t, 1) {
		t.Errorf("got %q", got)
	}
	second := emit(t, p, "second")
	for i, want := range []string{second, deliveryFrame(t, 2)} {
		if got := block(t, r); got != want {
			t.Errorf("%d: got %q, want %q", i, got, want)
		}
	}
	third := emit(t, p, "third")
	for i, want := range []string{third, deliveryFrame(t, 3), deliveryFrame(t, 3)} {
		if got := block(t, r); got != want {
			t.Errorf("%d: got %q, want %q", i, got, want)
		}
	}
}

// Deliveries of events that never come do not pile up.
func TestStreamBuffersABoundedNumberOfDeliveries(t *testing.T) {
	feed := stream.NewFeed(1000)
	cfg := setup(t).cfg
	cfg.Events.Activities = feed
	r := bufio.NewReader(serve(t, cfg).get(t, "/api/v1/events/stream").Body)
	block(t, r)
	for range 300 {
		feed.Publish(delivered(9))
	}
	if got := block(t, r); !strings.HasPrefix(got, "event: lagged\n") {
		t.Errorf("got %q", got)
	}
}

func TestStreamRefusals(t *testing.T) {
	s := serve(t, setup(t).cfg)
	for _, tt := range []struct{ path, header, field string }{
		{"/api/v1/events/stream?since=x", "", "since"},
		{"/api/v1/events/stream?since=-1", "", "since"},
		{"/api/v1/events/stream?from=1", "", "from"},
		{"/api/v1/events/stream?since=1&since=2", "", "since"},
		{"/api/v1/events/stream", "Last-Event-ID: 1.5", "Last-Event-ID"},
	} {
		var header []string
		if tt.header != "" {
			header = append(header, tt.header)
		}
		resp := s.get(t, tt.path, header...)
		var got wire.Problem
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != 400 || got.Field != tt.field {
			t.Errorf("%s %s: got %s, %+v, %v", tt.path, tt.header, resp.Status, got, err)
		}
	}
}

// A log that cannot be read ends the stream with the way to continue.
func TestStreamOfABrokenLog(t *testing.T) {
	p := seeded(t)
	p.broken = fault.New(fault.Internal, "the secret")
	var log bytes.Buffer
	cfg := config(p)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	body, err := io.ReadAll(serve(t, cfg).get(t, "/api/v1/events/stream").Body)
	if err != nil || !strings.Contains(string(body), "event: closing\n") || strings.Contains(string(body), "shutting") || strings.Contains(string(body), "secret") {
		t.Errorf("got %q, %v", body, err)
	}
	if !strings.Contains(log.String(), "the secret") {
		t.Errorf("the log has %s", &log)
	}
}

func TestStreamHeartbeat(t *testing.T) {
	cfg := setup(t).cfg
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
	ch <- delivered(1)
	close(ch)
	return ch
}

func TestStreamLagged(t *testing.T) {
	cfg := setup(t).cfg
	cfg.Events.Activities = closedFeed{}
	body, err := io.ReadAll(serve(t, cfg).get(t, "/api/v1/events/stream").Body)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(body)), "\n\n")
	if len(blocks) != 3 || !strings.HasPrefix(blocks[1], "event: delivery\n") || !strings.HasPrefix(blocks[2], "event: lagged\n") {
		t.Errorf("got %q", blocks)
	}
}

func TestStreamReaderLeaves(t *testing.T) {
	feed := stream.NewFeed(0)
	cfg := setup(t).cfg
	cfg.Events.Activities, cfg.MaxStreams = feed, 1
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
	if err := newServer(t, setup(t).cfg).Serve(t.Context(), ln); err == nil {
		t.Error("no error")
	}
}

// The address a connection came to may be named, without configuration.
func TestHostOfTheConnection(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
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

// lastID is the id that a client remembers which dispatches frames with data only,
// and takes the id of those alone, as many do.
func lastID(frame string) (id string) {
	data := false
	for line := range strings.Lines(frame) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			data = true
		}
	}
	if !data {
		return ""
	}
	return id
}

// A reader that has seen no event before the host went away misses none that was
// published meanwhile.
func TestQuietReaderMissesNothing(t *testing.T) {
	p := seeded(t)
	first := serve(t, config(p))
	r := bufio.NewReader(first.get(t, "/api/v1/events/stream").Body)
	id := lastID(block(t, r))
	if id != "1" {
		t.Fatalf("the client remembers %q, want 1", id)
	}
	first.stop()
	emit(t, p, "meanwhile")
	again := bufio.NewReader(serve(t, config(p)).get(t, "/api/v1/events/stream", "Last-Event-ID: "+id).Body)
	if got := lastID(block(t, again)); got != "1" {
		t.Errorf("after the second start the client remembers %q, want 1", got)
	}
	if got := block(t, again); lastID(got) != "2" || !strings.Contains(got, "meanwhile") {
		t.Errorf("got %q, want the event 2", got)
	}
}
