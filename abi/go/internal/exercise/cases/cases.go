// Package cases has the deliveries to package exercise, with the outcomes that a
// native test and a test of the WebAssembly build must both see.
package cases

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
)

// Case is one delivery to package exercise.
type Case struct {
	Name string
	Data string // the event's data
	Want berthtest.Outcome
	KV   map[string][]byte // the host's afterwards
	Trap string            // part of the panic's text, where there is no outcome
}

// All returns the cases. Their events have the type order_status_changed.
func All() []Case {
	large := strings.Repeat("é", 10_000)
	do := func(what string) string { return fmt.Sprintf(`{"do":%q}`, what) }
	ok := func(result string) berthtest.Outcome { return berthtest.Outcome{Status: berthtest.OK, Result: result} }
	retry := func(reason string) berthtest.Outcome {
		return berthtest.Outcome{Status: berthtest.Retry, Reason: reason}
	}
	reject := func(reason string) berthtest.Outcome {
		return berthtest.Outcome{Status: berthtest.Rejected, Reason: reason}
	}
	return []Case{
		{Name: "metadata", Data: `{"id":"o-1"}`,
			Want: ok(`{"id":"0197a3c5-7b1e-7000-8000-000000000001","key":"test-1","subject":"o-1","type":"order_status_changed"}`)},
		{Name: "raw", Data: do("raw"), Want: ok(berthtest.Event("order_status_changed", do("raw")))},
		{Name: "large field", Data: `{"do":"large field","large":"` + large + `"}`, Want: ok("20000")},
		{Name: "numbers", Data: `{"do":"numbers","int":12,"negative":-9223372036854775808,"fraction":1.5,"text":"7","yes":true}`,
			Want: ok(`{"int":12,"negative":-9223372036854775808,"text":7,"yes":true}`)},
		{Name: "decode", Data: `{"do":"decode","large":"` + large + `"}`, Want: ok("20000")},
		{Name: "time", Data: do("time"), Want: ok("[3,1500]")},
		{Name: "config", Data: do("config"), Want: ok(`{"a":1}`)},
		{Name: "log", Data: do("log"),
			Want: berthtest.Outcome{Status: berthtest.OK, Logs: []string{"debug d", "info i", "warn w", "error e", "info "}}},
		{Name: "emit", Data: do("emit"), Want: berthtest.Outcome{Status: berthtest.OK, Children: []string{
			`{"event_type":"order_noted","data":null}`,
			`{"event_type":"order_noted","data":{"a":1},"metadata":{"idempotency_key":"k","subject":"\"s\""}}`}}},
		{Name: "emit later", Data: do("emit later"), Want: berthtest.Outcome{Status: berthtest.OK, Children: []string{
			`{"event_type":"order_noted","data":null,"metadata":{"deliver_after":"1m30s"}}`,
			`{"event_type":"order_noted","data":null,"metadata":{"deliver_at":"2026-01-02T02:04:05Z"}}`}}},
		{Name: "emit nonsense", Data: do("emit nonsense"), Want: retry("berth: emit: invalid: unexpected EOF")},
		{Name: "secret", Data: do("secret"), Want: ok(`"s3cret"`)},
		{Name: "no secret", Data: do("no secret"), Want: retry("berth: secret: not found: no secret is called nope")},
		{Name: "kv", Data: do("kv"), Want: ok(`{"k":"two"}`), KV: map[string][]byte{"k": []byte("two")}},
		{Name: "kv keys", Data: do("kv keys"), Want: ok("600")},
		{Name: "kv expire", Data: do("kv expire"), Want: ok(""), KV: map[string][]byte{"k": []byte("v")}},
		{Name: "trace", Data: do("trace"), Want: ok(`"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"`)},
		{Name: "http", Data: do("http"),
			Want: ok(`[201,"2","{\"method\":\"POST\",\"url\":\"https://api.example.com/\",\"headers\":{\"x-a\":\"1\"},\"body\":\"hi\"}"]`)},
		{Name: "http bytes", Data: do("http bytes"), Want: ok(`"/wA="`)},
		{Name: "retry", Data: do("retry"), Want: retry("try later")},
		{Name: "error", Data: do("error"), Want: retry("an ordinary error")},
		{Name: "reject", Data: do("reject"), Want: reject("wrapped: never")},
		{Name: "not JSON", Data: do("not JSON"),
			Want: reject("the host refused the result: berth: finish: invalid: the result is not JSON")},
		{Name: "cannot encode", Data: do("cannot encode"), Want: retry("json: unsupported type: func()")},
		{Name: "nothing", Data: do("x"), Want: reject(`nothing to do for "x"`)},
		{Name: "bad pointer", Data: do("bad pointer"), Trap: "berth: field no slash: invalid"},
		{Name: "panic", Data: do("panic"), Trap: "the handler panics"},
	}
}

// NewHost returns the host that the cases run on.
func NewHost() *berthtest.Host {
	return &berthtest.Host{
		Config:    `{"a":1}`,
		Secrets:   map[string]string{"token": "s3cret"},
		Attempt:   3,
		Remaining: 1500 * time.Millisecond,
		Trace:     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		HTTP: func(request string) (string, berth.Code) {
			if strings.Contains(request, `"body_base64":"/wA="`) {
				return `{"status":200,"headers":{},"body_base64":"/wA="}`, 0
			}
			var body berth.Object
			return `{"status":201,"headers":{"x-b":"2"},` + body.Str("body", request).Text()[1:], 0
		},
	}
}

// Check fails the test when the outcome, or the host's state, is another one.
func (tt Case) Check(t *testing.T, h *berthtest.Host, got berthtest.Outcome) {
	t.Helper()
	if !reflect.DeepEqual(got, tt.Want) {
		t.Errorf("outcome\n got %+v\nwant %+v", got, tt.Want)
	}
	if len(h.KV) > 0 && !reflect.DeepEqual(h.KV, tt.KV) {
		t.Errorf("kv: got %q, want %q", h.KV, tt.KV)
	}
}
