package main

import (
	"encoding/json"
	"strings"
	"testing"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
)

const shipped = `{"order_id":"o-1","customer_id":"c-7","status":"shipped","previous_status":"processing"}`

// sent is a request as the host gets it.
type sent struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// deliver delivers an order to the handler, with a webhook that gives this answer.
func deliver(t *testing.T, h *berthtest.Host, data, answer string, code berth.Code) (berthtest.Outcome, []sent) {
	t.Helper()
	var requests []sent
	h.HTTP = func(request string) (string, berth.Code) {
		var r sent
		if err := json.Unmarshal([]byte(request), &r); err != nil {
			t.Error(err)
		}
		requests = append(requests, r)
		return answer, code
	}
	var hook *webhook
	h.Do(func() {
		var err error
		if hook, err = newWebhook(); err != nil {
			t.Fatal(err)
		}
	})
	return h.Deliver(t, hook.handle, berthtest.Event("order_status_changed", data)), requests
}

func TestPosts(t *testing.T) {
	out, requests := deliver(t, &berthtest.Host{}, shipped, `{"status":202,"headers":{},"body":""}`, 0)
	if want := `{"sent":true,"order":"o-1","status":202,"signed":false}`; out.Result != want {
		t.Errorf("got %+v, want %s", out, want)
	}
	if len(requests) != 1 {
		t.Fatalf("got %+v", requests)
	}
	r := requests[0]
	if r.Method != "POST" || r.URL != standardURL || r.Headers["idempotency-key"] != "test-1" || r.Headers["x-signature"] != "" ||
		r.Body != `{"order":"o-1","customer":"c-7","status":"shipped","event_id":"0197a3c5-7b1e-7000-8000-000000000001"}` {
		t.Errorf("got %+v", r)
	}
}

func TestSigns(t *testing.T) {
	h := &berthtest.Host{Config: `{"url":"http://hooks.example.com/x"}`, Secrets: map[string]string{keyName: "k"}}
	out, requests := deliver(t, h, shipped, `{"status":200,"headers":{},"body":""}`, 0)
	if !strings.Contains(out.Result, `"signed":true`) || len(requests) != 1 || requests[0].URL != "http://hooks.example.com/x" {
		t.Fatalf("got %+v, %+v", out, requests)
	}
	// echo -n BODY | openssl dgst -sha256 -hmac k
	if got := requests[0].Headers["x-signature"]; !strings.HasPrefix(got, "sha256=") || len(got) != len("sha256=")+64 {
		t.Errorf("got %s", got)
	}
}

func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name, data, answer string
		code               berth.Code
		status             berthtest.Status
		want               string // the result or the reason
		requests           int
	}{
		{name: "another status", data: `{"order_id":"o-1","status":"pending"}`, status: berthtest.OK, want: `{"sent":false,"reason":"status pending is not reported"}`},
		{name: "no order", data: `{"status":"shipped"}`, status: berthtest.Rejected, want: "the event is about no order"},
		{name: "not granted", data: shipped, code: berth.ErrDenied, status: berthtest.OK, want: `{"sent":false,"reason":"http is not granted for ` + standardURL + `"}`, requests: 1},
		{name: "does not answer", data: shipped, code: berth.ErrUnavailable, status: berthtest.Retry, want: "berth: http: unavailable", requests: 1},
		{name: "busy", data: shipped, answer: `{"status":429,"headers":{},"body":""}`, status: berthtest.Retry, want: "the webhook answered 429", requests: 1},
		{name: "broken", data: shipped, answer: `{"status":503,"headers":{},"body":""}`, status: berthtest.Retry, want: "the webhook answered 503", requests: 1},
		{name: "refused", data: shipped, answer: `{"status":410,"headers":{},"body":""}`, status: berthtest.Rejected, want: "the webhook answered 410", requests: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, requests := deliver(t, &berthtest.Host{}, tt.data, tt.answer, tt.code)
			if out.Status != tt.status || !strings.HasPrefix(out.Result+out.Reason, tt.want) || len(requests) != tt.requests {
				t.Errorf("got %+v and %d requests, want %s %s and %d", out, len(requests), tt.status, tt.want, tt.requests)
			}
		})
	}
}

func TestConfigurationIsRead(t *testing.T) {
	h := &berthtest.Host{Config: `{"url":7}`}
	h.Do(func() {
		if _, err := newWebhook(); err == nil {
			t.Error("no error")
		}
	})
}
