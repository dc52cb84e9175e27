// Package berthtest runs Berth handlers in ordinary Go tests: natively, with a
// host made of maps, without WebAssembly and without a network.
//
//	func TestShipped(t *testing.T) {
//		out := berthtest.Deliver(t, handle, berthtest.Event("order_status_changed", `{"status":"shipped"}`))
//		if out.Status != berthtest.OK || out.Result != `{"notified":true}` {
//			t.Errorf("got %+v", out)
//		}
//	}
//
// A Host is for handlers that need more: configuration, secrets, state, HTTP. It
// enforces the ABI's limits.
package berthtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/internal/wire"
)

// Status is how a delivery ended.
type Status string

// The statuses.
const (
	OK       Status = "ok"
	Retry    Status = "retry"
	Rejected Status = "rejected"
)

// Outcome is how one delivery ended.
type Outcome struct {
	Status   Status
	Result   string   // JSON text, or "" for an empty result; only when OK
	Reason   string   // of the retry or reject; only when not OK
	Logs     []string // "<level> <text>"
	Children []string // each child as JSON text, in the order of Emit; only when OK
}

// Decode reads the result into v, and fails the test when it cannot.
func (o Outcome) Decode(t testing.TB, v any) {
	t.Helper()
	if o.Status != OK {
		t.Fatalf("the delivery ended with %s: %s", o.Status, o.Reason)
	}
	if err := json.Unmarshal([]byte(o.Result), v); err != nil {
		t.Fatalf("result %q: %v", o.Result, err)
	}
}

// Host is the host that handlers run on. The zero Host has no configuration, no
// secret and no state, grants kv and emit, and denies HTTP. Deliveries run one at
// a time, also those of several Hosts; set the fields between them.
type Host struct {
	Config  string            // JSON text; "" is {}
	Secrets map[string]string // readable secrets, by name
	KV      map[string][]byte // made when first written
	// Expires has the time at which a key disappears, for keys with a limit. Made when first
	// written.
	Expires map[string]time.Time
	// Now is the present for Expires; nil is time.Now.
	Now func() time.Time
	// Atomic: writes of an event take effect when it ends with OK, and otherwise not, as
	// the manifest's "state": "atomic" has it. Without an open event they take effect at once.
	Atomic    bool
	Trace     string        // traceparent of each attempt; "" is none
	Attempt   int           // of the next delivery; 0 is 1
	Remaining time.Duration // until the deadline; 0 is 5 s
	// HTTP returns the response to a request, both JSON text as in the ABI, or a
	// Code other than 0 for none. Nil: every request is denied.
	HTTP func(request string) (response string, code berth.Code)
	// Denied lists the capabilities that are not granted: emit, kv.
	Denied []string
}

// Deliver passes one envelope (JSON text, see Event) to a handler on the zero Host.
func Deliver(t testing.TB, handle berth.Handler, envelope string) Outcome {
	t.Helper()
	return new(Host).Deliver(t, handle, envelope)
}

// Deliver passes one envelope to a handler. A panic of the handler reaches the test.
func (h *Host) Deliver(t testing.TB, handle berth.Handler, envelope string) Outcome {
	t.Helper()
	if !json.Valid([]byte(envelope)) {
		t.Fatalf("the envelope is not JSON: %s", envelope)
	}
	return h.Serve(func() { berth.Run(handle) }, envelope)[0]
}

// DeliverBatch passes envelopes as one batch to a handler, and returns the outcome of each
// event. A panic of the handler reaches the test.
func (h *Host) DeliverBatch(t testing.TB, handle berth.BatchHandler, envelopes ...string) []Outcome {
	t.Helper()
	for _, e := range envelopes {
		if !json.Valid([]byte(e)) {
			t.Fatalf("the envelope is not JSON: %s", e)
		}
	}
	if n := len(envelopes); n < 1 || n > maxBatch {
		t.Fatalf("a batch has 1 to %d events, not %d", maxBatch, n)
	}
	return h.Serve(func() { berth.RunBatch(handle) }, `{"events":[`+strings.Join(envelopes, ",")+`]}`)
}

// Do calls f with the host in place but no event open: for code that runs before
// Run, such as reading the configuration.
func (h *Host) Do(f func()) { h.Serve(f) }

// Serve calls f with the host in place and these envelopes waiting, and returns
// the outcomes of the events that f has finished, in order: with an f that calls
// berth.Run, one instance's handling of several events. An envelope {"events":[…]} is a
// batch, and has an outcome for each of its events.
func (h *Host) Serve(f func(), envelopes ...string) []Outcome {
	d := &delivery{host: h, waiting: envelopes}
	defer wire.Use(d)()
	f()
	return d.outcomes
}

// Event returns an envelope for data, which is JSON text, with metadata filled
// in. The subject is data's order_id or id, if it is an object with one.
func Event(eventType, data string) string {
	var named struct {
		OrderID string `json:"order_id"`
		ID      string `json:"id"`
	}
	_ = json.Unmarshal([]byte(data), &named) // data need not be an object
	if named.OrderID == "" {
		named.OrderID = named.ID
	}
	envelope, err := json.Marshal(map[string]any{
		"event_type": eventType,
		"data":       json.RawMessage(data),
		"metadata": map[string]any{
			"event_id":        "0197a3c5-7b1e-7000-8000-000000000001",
			"idempotency_key": "test-1",
			"source":          "berthtest",
			"subject":         named.OrderID,
			"time":            "2026-01-02T03:04:05Z",
			"correlation_id":  "0197a3c5-7b1e-7000-8000-000000000001",
			"hops":            0,
		},
	})
	if err != nil {
		panic("berthtest: the data is not JSON: " + err.Error())
	}
	return string(envelope)
}
