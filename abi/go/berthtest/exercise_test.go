package berthtest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/internal/exercise"
)

// exercises are deliveries to package exercise and what must come of them.
type exerciseCase struct {
	name string
	data string // the event's data
	want Outcome
	kv   map[string][]byte // the host's afterwards
	trap string            // part of the panic's text instead of an outcome
}

func exercises() []exerciseCase {
	large := strings.Repeat("é", 10_000)
	do := func(what string) string { return fmt.Sprintf(`{"do":%q}`, what) }
	ok := func(result string) Outcome { return Outcome{Status: OK, Result: result} }
	retry := func(reason string) Outcome { return Outcome{Status: Retry, Reason: reason} }
	reject := func(reason string) Outcome { return Outcome{Status: Rejected, Reason: reason} }
	return []exerciseCase{
		{name: "metadata", data: `{"id":"o-1"}`, want: ok(`{"id":"0197a3c5-7b1e-7000-8000-000000000001","key":"test-1","subject":"o-1","type":"order_status_changed"}`)},
		{name: "raw", data: do("raw"), want: ok(Event("order_status_changed", do("raw")))},
		{name: "large field", data: `{"do":"large field","large":"` + large + `"}`, want: ok("20000")},
		{name: "numbers", data: `{"do":"numbers","int":12,"negative":-9223372036854775808,"fraction":1.5,"text":"7","yes":true}`,
			want: ok(`{"int":12,"negative":-9223372036854775808,"text":7,"yes":true}`)},
		{name: "decode", data: `{"do":"decode","large":"` + large + `"}`, want: ok("20000")},
		{name: "time", data: do("time"), want: ok("[3,1500]")},
		{name: "config", data: do("config"), want: ok(`{"a":1}`)},
		{name: "log", data: do("log"), want: Outcome{Status: OK, Logs: []string{"debug d", "info i", "warn w", "error e", "info "}}},
		{name: "emit", data: do("emit"), want: Outcome{Status: OK, Children: []string{
			`{"event_type":"order_noted","data":null}`,
			`{"event_type":"order_noted","data":{"a":1},"metadata":{"idempotency_key":"k","subject":"\"s\""}}`}}},
		{name: "emit nonsense", data: do("emit nonsense"), want: retry("berth: emit: invalid: unexpected EOF")},
		{name: "secret", data: do("secret"), want: ok(`"s3cret"`)},
		{name: "no secret", data: do("no secret"), want: retry("berth: secret: not found: no secret is called nope")},
		{name: "kv", data: do("kv"), want: ok(`{"k":"two"}`), kv: map[string][]byte{"k": []byte("two")}},
		{name: "http", data: do("http"), want: ok(`[201,"2","{\"method\":\"POST\",\"url\":\"https://api.example.com/\",\"headers\":{\"x-a\":\"1\"},\"body\":\"hi\"}"]`)},
		{name: "http bytes", data: do("http bytes"), want: ok(`"/wA="`)},
		{name: "retry", data: do("retry"), want: retry("try later")},
		{name: "error", data: do("error"), want: retry("an ordinary error")},
		{name: "reject", data: do("reject"), want: reject("wrapped: never")},
		{name: "not JSON", data: do("not JSON"), want: reject("the host refused the result: berth: finish: invalid: the result is not JSON")},
		{name: "cannot encode", data: do("cannot encode"), want: retry("json: unsupported type: func()")},
		{name: "nothing", data: do("x"), want: reject(`nothing to do for "x"`)},
		{name: "bad pointer", data: do("bad pointer"), trap: "berth: field no slash: invalid"},
		{name: "panic", data: do("panic"), trap: "the handler panics"},
	}
}

// exerciseHost is what the exercises run on.
func exerciseHost() *Host {
	return &Host{
		Config:    `{"a":1}`,
		Secrets:   map[string]string{"token": "s3cret"},
		Attempt:   3,
		Remaining: 1500 * time.Millisecond,
		HTTP: func(request string) (string, berth.Code) {
			if strings.Contains(request, `"body_base64":"/wA="`) {
				return `{"status":200,"headers":{},"body_base64":"/wA="}`, 0
			}
			var body berth.Object
			return `{"status":201,"headers":{"x-b":"2"},` + body.Str("body", request).Text()[1:], 0
		},
	}
}

func (tt exerciseCase) check(t *testing.T, h *Host, got Outcome) {
	t.Helper()
	if !reflect.DeepEqual(got, tt.want) {
		t.Errorf("outcome\n got %+v\nwant %+v", got, tt.want)
	}
	if len(h.KV) > 0 && !reflect.DeepEqual(h.KV, tt.kv) {
		t.Errorf("kv: got %q, want %q", h.KV, tt.kv)
	}
}

func TestNative(t *testing.T) {
	for _, tt := range exercises() {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if r := recover(); tt.trap != "" && !strings.Contains(fmt.Sprint(r), tt.trap) {
					t.Errorf("panic %v, want %q", r, tt.trap)
				} else if tt.trap == "" && r != nil {
					panic(r)
				}
			}()
			h := exerciseHost()
			tt.check(t, h, h.Deliver(t, exercise.Handle, Event("order_status_changed", tt.data)))
		})
	}
}

func TestNoHost(t *testing.T) {
	defer func() {
		if r := recover(); !strings.Contains(fmt.Sprint(r), "there is no host") {
			t.Errorf("panic %v, want one about the missing host", r)
		}
	}()
	berth.Info("into the void")
}

// TestCapabilitiesDenied proves that what is not granted is an error to the
// handler and nothing more.
func TestCapabilitiesDenied(t *testing.T) {
	h := &Host{Denied: []string{"kv", "emit"}}
	for do, want := range map[string]string{
		"emit": "berth: emit: denied: emit is not granted",
		"http": "berth: http: denied: http is not granted",
		"kv":   "get before set",
	} {
		out := h.Deliver(t, exercise.Handle, Event("x", fmt.Sprintf(`{"do":%q}`, do)))
		if out.Status != Retry || !strings.Contains(out.Reason, want) {
			t.Errorf("%s: got %s %q, want retry and %q", do, out.Status, out.Reason, want)
		}
	}
}
