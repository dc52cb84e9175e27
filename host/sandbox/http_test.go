package sandbox_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/guestnet"
)

// answering is an HTTP that returns the request, or fails.
type answering struct{ err error }

func (a answering) Send(_ context.Context, request []byte) (string, error) {
	return string(request), a.err
}

func TestHTTPCodes(t *testing.T) {
	m := load(t, guest(t, "any_call"))
	for _, tt := range []struct {
		err  error
		want answered
	}{
		{nil, answered{Code: 2, Yielded: "{}"}},
		{fault.New(fault.Invalid, "i"), answered{Code: abi.Invalid, Error: "i"}},
		{fault.New(fault.Denied, "d"), answered{Code: abi.Denied, Error: "d"}},
		{fault.New(fault.Unavailable, "u"), answered{Code: abi.Unavailable, Error: "u"}},
		{fault.New(fault.Timeout, "t"), answered{Code: abi.Timeout, Error: "t"}},
		{&fault.Error{Code: fault.Exhausted, Field: "request", Reason: "r"}, answered{Code: abi.TooLarge, Error: "request: r"}},
	} {
		_, q := start(t, m, sandbox.PoolConfig{Capabilities: sandbox.Capabilities{HTTP: answering{tt.err}}})
		q.push(call(t, "http", "{}", "text", "len", "buf", "cap"))
		if got := answerOf(t, q.await(t)); got != tt.want {
			t.Errorf("%v: got %+v, want %+v", tt.err, got, tt.want)
		}
	}
}

// TestHTTP sends requests to a server on the loopback, which the grant names.
func TestHTTP(t *testing.T) {
	release, waits := make(chan struct{}), make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			waits <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, `{"score":7}`)
	}))
	defer server.Close()
	defer close(release)
	network := guestnet.New(guestnet.Config{})
	defer network.Close()
	client, err := network.Client([]string{server.Listener.Addr().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, guest(t, "http_fetch"))
	get := func(url string) event.Attempt {
		return attempt(t, 1, fmt.Sprintf(`{"request":{"method":"GET","url":%q}}`, url))
	}
	cfg := sandbox.PoolConfig{Capabilities: sandbox.Capabilities{HTTP: client}}

	_, q := start(t, m, cfg)
	q.push(get(server.URL + "/"))
	if d := q.await(t); !strings.HasPrefix(d.result, `{"status":200,"headers":{`) || !strings.HasSuffix(d.result, `"body":"{\"score\":7}"}`) {
		t.Errorf("got %s %+v", d.result, d.outcome)
	}
	q.push(get("http://api.example.com/"))
	if got := answerOf(t, q.await(t)); got.Code != abi.Denied || got.Error != "the host api.example.com is not granted to this plugin" {
		t.Errorf("got %+v", got)
	}

	cfg.Timeout = 50 * time.Millisecond
	_, q = start(t, m, cfg)
	q.push(get(server.URL + "/slow"))
	if got := answerOf(t, q.await(t)); got.Code != abi.Timeout {
		t.Errorf("got %+v, want TIMEOUT", got)
	}
	<-waits

	cfg.Timeout = time.Hour
	q = newQueue()
	cfg.Source = q
	p, err := m.NewPool(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	q.push(get(server.URL + "/slow"))
	<-waits
	now, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.Drain(now)
	if d := q.await(t); d.outcome.Class != event.ClassCancelled {
		t.Errorf("got %+v, want it cancelled", d.outcome)
	}
}
