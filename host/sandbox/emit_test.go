package sandbox_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// emits is the configuration of a plugin that may emit types that start with child.
func emits() sandbox.PoolConfig {
	return sandbox.PoolConfig{Name: "p", Capabilities: sandbox.Capabilities{
		Emit: func(eventType string) bool { return strings.HasPrefix(eventType, "child") },
	}}
}

// TestEmitOfAChildThatItsTypeRefuses: the guest gets INVALID with the reason, and may go on.
func TestEmitOfAChildThatItsTypeRefuses(t *testing.T) {
	cfg := emits()
	cfg.Capabilities.Check = func(ev *event.Event) (work int, err error) {
		if ev.Data() != "1" || ev.Metadata().CausationID == "" {
			return 1, fault.Field("data/n", "must be integer, not string")
		}
		return 1, nil
	}
	_, q := start(t, load(t, guest(t, "any_call")), cfg)
	for child, want := range map[string]abi.Code{`{"event_type":"child","data":1}`: 0, `{"event_type":"child","data":"x"}`: abi.Invalid} {
		q.push(call(t, "emit", child, "text", "len"))
		d := q.await(t)
		got := answerOf(t, d)
		if got.Code != want || want != 0 && (got.Error != "data/n: must be integer, not string" || len(d.outcome.Children) != 0) {
			t.Errorf("%s: got %v (%s) with %d children", child, got.Code, got.Error, len(d.outcome.Children))
		}
	}
}

// TestCheckOfAChildIsCharged: a guest pays for the check of what it emits, whether it is
// refused or not, so that its limits end it.
func TestCheckOfAChildIsCharged(t *testing.T) {
	const work = 100_000 // microseconds
	for _, refuse := range []error{nil, fault.Field("data", "must be an object")} {
		fuel := map[int]uint64{}
		for _, each := range []int{0, work} {
			cfg := emits()
			cfg.Capabilities.Check = func(*event.Event) (int, error) { return each, refuse }
			_, q := start(t, load(t, guest(t, "any_call")), cfg)
			q.push(call(t, "emit", `{"event_type":"child","data":1}`, "text", "len"))
			fuel[each] = q.await(t).outcome.Fuel
		}
		if got := fuel[work] - fuel[0]; got < 500*work || got > 501*work {
			t.Errorf("refused with %v: %d units are charged", refuse, got)
		}
	}
	cfg := emits()
	cfg.Limits.Fuel = 10_000_000
	cfg.Capabilities.Check = func(*event.Event) (int, error) { return work, nil }
	_, q := start(t, load(t, guest(t, "any_call")), cfg)
	q.push(call(t, "emit", `{"event_type":"child","data":1}`, "text", "len"))
	if d := q.await(t); d.outcome.Class != event.ClassFuel || len(d.outcome.Children) != 0 {
		t.Errorf("past its limit: got %+v", d.outcome)
	}
}

func TestEmit(t *testing.T) {
	_, q := start(t, load(t, guest(t, "any_call")), emits())
	long := strings.Repeat("k", 255)
	for _, tt := range []struct {
		child string
		code  abi.Code
		text  string // part of the error, or the child's key with # for the parent's id
	}{
		{`{"event_type":"child","data":{"a": 1}}`, 0, "p/#/0"},
		{`{"event_type":"child.x","data":null,"metadata":{}}`, 0, "p/#/0"},
		{`{"event_type":"child","data":1,"metadata":{"subject":"s","idempotency_key":"own"}}`, 0, "p/own"},
		{`{"event_type":"child","data":1,"metadata":{"idempotency_key":""}}`, 0, "p/#/0"},
		{`{"event_type":"child","data":1,"metadata":{"idempotency_key":"order:o-1:v1"}}`, 0, "p/order:o-1:v1"},
		{`{"event_type":"child","data":1,"metadata":{"idempotency_key":"` + long[:254] + `"}}`, 0, "p/" + long[:254]},
		{`{"event_type":"child","data":1,"metadata":{"idempotency_key":"` + long + `"}}`, abi.Invalid, `with "p/" before it is 257 bytes`},
		{`{"event_type":"child","data":1,"metadata":{"subject":"` + long + `kk"}}`, abi.Invalid, "metadata.subject: is 257 bytes"},
		{`{"event_type":"child","data":1,"metadata":{"subject":"\n"}}`, abi.Invalid, "control character"},
		{`{"event_type":"order","data":1}`, abi.Denied, "events of the type order are not granted"},
		{`{"event_type":"Child","data":1}`, abi.Invalid, "event_type: "},
		{`{"event_type":"","data":1}`, abi.Invalid, "event_type: is required"},
		{`{"event_type":7,"data":1}`, abi.Invalid, "event_type: must be a string"},
		{`{"data":1}`, abi.Invalid, "event_type: is required"},
		{`{"event_type":"child"}`, abi.Invalid, "data: is required"},
		{`{"event_type":"child","data":1,"x":1}`, abi.Invalid, "x: unknown key"},
		{`{"event_type":"child","data":1,"Metadata":{}}`, abi.Invalid, "Metadata: unknown key"},
		{`{"event_type":"child","data":1,"metadata":null}`, abi.Invalid, "metadata: must be an object"},
		{`{"event_type":"child","data":1,"metadata":{"source":"orders"}}`, abi.Invalid, "metadata.source: unknown key"},
		{`{"event_type":"child","data":1,"data":2}`, abi.Invalid, "data: duplicate key"},
		{`{"event_type":"child","data":1} {}`, abi.Invalid, "after the JSON value"},
		{`{"event_type":"child","data":}`, abi.Invalid, "malformed JSON"},
		{`[]`, abi.Invalid, "must be an object"},
		{``, abi.Invalid, "the text is empty"},
	} {
		a := call(t, "emit", tt.child, "text", "len")
		q.push(a)
		d := q.await(t)
		got := answerOf(t, d)
		if got.Code != tt.code {
			t.Errorf("%s: got %v (%s), want %v", tt.child, got.Code, got.Error, tt.code)
			continue
		}
		if tt.code < 0 {
			if !strings.Contains(got.Error, tt.text) || len(d.outcome.Children) != 0 {
				t.Errorf("%s: got %q and %d children, want %q and none", tt.child, got.Error, len(d.outcome.Children), tt.text)
			}
			continue
		}
		if len(d.outcome.Children) != 1 {
			t.Fatalf("%s: got %d children", tt.child, len(d.outcome.Children))
		}
		child, parent := d.outcome.Children[0].Metadata(), a.Event.Metadata()
		if want := strings.ReplaceAll(tt.text, "#", parent.EventID); child.IdempotencyKey != want {
			t.Errorf("%s: got the key %s, want %s", tt.child, child.IdempotencyKey, want)
		}
		if got := d.outcome.Children[0].Origin(); got != (event.Origin{Publisher: spec.Publisher{Source: "p"}}) {
			t.Errorf("%s: its origin is %+v", tt.child, got)
		}
		if child.Source != "p" || child.CorrelationID != parent.CorrelationID || child.CausationID != parent.EventID || child.Hops != parent.Hops+1 {
			t.Errorf("%s: got %+v from the parent %+v", tt.child, child, parent)
		}
	}
}

func TestEmitCarriesTheTrace(t *testing.T) {
	_, q := start(t, load(t, guest(t, "emit_children")), emits())
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ev, err := event.New(event.Draft{Type: "t", Data: json.RawMessage(`{"child":{"event_type":"child","data":{"n":1},"metadata":{"subject":"s"}}}`), TraceParent: trace, CorrelationID: "c", Hops: 15})
	if err != nil {
		t.Fatal(err)
	}
	q.push(event.Attempt{Seq: 1, Event: ev, Number: 1})
	d := q.await(t)
	if len(d.outcome.Children) != 1 {
		t.Fatalf("got %+v", d.outcome)
	}
	child := d.outcome.Children[0]
	if m := child.Metadata(); m.TraceParent != trace || m.CorrelationID != "c" || m.Hops != 16 || m.Subject != "s" || child.Type() != "child" || child.Data() != `{"n":1}` {
		t.Errorf("got %s", child.Envelope())
	}
	// A child of that one would be the 17th hop.
	ev, err = event.New(event.Draft{Type: "t", Data: json.RawMessage(`{}`), Hops: 16})
	if err != nil {
		t.Fatal(err)
	}
	q.push(event.Attempt{Seq: 2, Event: ev, Number: 1})
	if d := q.await(t); d.outcome.Class != event.ClassTrap || !strings.Contains(d.outcome.Message, "16 hops") || d.outcome.Children != nil {
		t.Errorf("got %+v, want a trap", d.outcome)
	}
}

func TestEmitBounds(t *testing.T) {
	_, q := start(t, load(t, guest(t, "emit_children")), emits())
	for _, tt := range []struct {
		data     string
		verdict  event.Verdict
		children int
		result   string
	}{
		{`{"children":0}`, event.OK, 0, `{"emitted":0}`},
		{`{"children":64}`, event.OK, 64, `{"emitted":64}`},
		{`{"children":65}`, event.Failed, 0, ``},
		{`{"children":1}`, event.OK, 1, `{"emitted":1}`}, // of a fresh instance
		{`{"children":3,"retry":1}`, event.Retry, 0, ``},
		{`{"children":3,"child":{"event_type":"other","data":1}}`, event.OK, 0, ``},
	} {
		a := attempt(t, 1, tt.data)
		q.push(a)
		d := q.await(t)
		if d.outcome.Verdict != tt.verdict || len(d.outcome.Children) != tt.children || tt.result != "" && d.result != tt.result {
			t.Errorf("%s: got verdict %d, %d children, %s %s", tt.data, d.outcome.Verdict, len(d.outcome.Children), d.result, d.outcome.Message)
		}
		for i, child := range d.outcome.Children {
			if want := fmt.Sprintf("p/%s/%d", a.Event.ID(), i); child.Metadata().IdempotencyKey != want {
				t.Errorf("%s: child %d has the key %s, want %s", tt.data, i, child.Metadata().IdempotencyKey, want)
			}
		}
	}
}

// TestEmitSizes emits texts around the limit; a child's envelope is larger than its text.
func TestEmitSizes(t *testing.T) {
	_, q := start(t, load(t, guest(t, "emit_big")), emits())
	for _, tt := range []struct {
		bytes, children int
		code            abi.Code
		emitted         int
	}{
		{1 << 20, 1, abi.TooLarge, 0}, // with its metadata it is over an event's limit
		{1<<20 + 1, 1, abi.TooLarge, 0},
		{1<<20 - 1000, 1, 0, 1},
		{1<<20 - 1000, 9, abi.TooLarge, 8}, // together
	} {
		q.push(attempt(t, 1, fmt.Sprintf(`{"bytes":%d,"children":%d}`, tt.bytes, tt.children)))
		d := q.await(t)
		if got := answerOf(t, d); got.Code != tt.code || len(d.outcome.Children) != tt.emitted {
			t.Errorf("%d of %d bytes: got %v (%s) and %d children, want %v and %d", tt.children, tt.bytes, got.Code, got.Error, len(d.outcome.Children), tt.code, tt.emitted)
		}
	}
}

func TestEmitWithoutAnEvent(t *testing.T) {
	_, q := start(t, load(t, guest(t, "calls_without_event")), emits())
	q.push(attempt(t, 1, `{}`))
	d := q.await(t)
	if !strings.Contains(d.result, `"emit":-2`) || len(d.outcome.Children) != 0 {
		t.Errorf("got %s %+v, want INVALID", d.result, d.outcome)
	}
}

// A plugin that has the name of the orders' source publishes no change of an order.
func TestPluginNamedOrdersForgesNoOrder(t *testing.T) {
	cfg := emits()
	cfg.Name, cfg.Capabilities.Emit = "orders", func(string) bool { return true }
	_, q := start(t, load(t, guest(t, "any_call")), cfg)
	for child, want := range map[string]abi.Code{
		`{"event_type":"order_status_changed","data":1}`: abi.Invalid,
		`{"event_type":"order_placed","data":1}`:         0,
	} {
		q.push(call(t, "emit", child, "text", "len"))
		if got := answerOf(t, q.await(t)); got.Code != want {
			t.Errorf("%s: got %v (%s), want %v", child, got.Code, got.Error, want)
		}
	}
}
