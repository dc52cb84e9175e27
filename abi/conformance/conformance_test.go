package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/conformance"
)

// ops are the ops of the conformance handler.
const ops = "echo envelope typed field number empty raw retry reject retry_until config log emit kv_get kv_set kv_cas kv_delete kv_expire kv_fill kv_list trace http secret count work panic size fail_all"

func TestVectorsCoverTheHandler(t *testing.T) {
	vectors, err := conformance.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	names, used, codes := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	steps := 0
	for _, v := range vectors {
		if v.Group == "" || v.Name == "" || names[v.String()] {
			t.Errorf("%q has no name of its own", v)
		}
		names[v.String()] = true
		for _, s := range stepsOf(v) {
			steps++
			var event struct{ Data struct{ Op string } }
			if s.Event != nil {
				err = json.Unmarshal(s.Event, &event)
			} else if len(s.Data) > 0 && s.Data[0] == '{' {
				err = json.Unmarshal(s.Data, &event.Data)
			}
			if err != nil && !strings.Contains(string(s.Data), `"op":null`) {
				t.Errorf("%s: %v", v, err)
			}
			used[event.Data.Op] = true
			for _, e := range append(s.Expect.OneOf, s.Expect) {
				var answer struct{ Error string }
				if json.Unmarshal(e.Result, &answer) == nil && answer.Error != "" {
					codes[answer.Error] = true
				}
			}
		}
	}
	if steps < 200 {
		t.Errorf("there are %d steps, want at least 200", steps)
	}
	for _, op := range strings.Fields(ops) {
		if !used[op] {
			t.Errorf("no vector has the op %s", op)
		}
	}
	for code := abi.Invalid; code >= abi.Conflict; code-- {
		if !codes[code.String()] {
			t.Errorf("no vector expects %s", code)
		}
	}
}

// stepsOf returns the steps of a vector, with each event of a batch as a step of its own.
func stepsOf(v conformance.Vector) (list []conformance.Step) {
	for _, s := range v.Steps {
		s.Repeat = 1
		list = append(list, s.Parts()...)
	}
	return list
}

// TestBatchesFillTheirBound: a host would wait for more events otherwise, and might split them.
func TestBatchesFillTheirBound(t *testing.T) {
	vectors, err := conformance.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	batches := 0
	for _, v := range vectors {
		if asks := strings.Contains(string(v.Setup.Config), `"batch"`); asks != (v.Setup.Batch > 0) {
			t.Errorf("%s: the configuration asks for batches: %v, and the manifest has %d events", v, asks, v.Setup.Batch)
		}
		for i, s := range v.Steps {
			if v.Setup.Batch > 0 && len(s.Together) != v.Setup.Batch || v.Setup.Batch == 0 && s.Together != nil {
				t.Errorf("%s: step %d has %d events together, and a batch has %d", v, i+1, len(s.Together), v.Setup.Batch)
			}
			batches += len(s.Together)
		}
	}
	if batches == 0 {
		t.Error("no vector has batches")
	}
}

// TestEventsOfABatchHaveTheirOutcomes: each is checked with its own expectation.
func TestEventsOfABatchHaveTheirOutcomes(t *testing.T) {
	for wrong, want := range map[string]string{"": "", "2": "event 2 of 3"} {
		h := &host{plugin: plugin{outcome: func(draft string, n int) conformance.Outcome {
			o := conformance.Outcome{Status: "ok", Attempts: 1, Result: fmt.Sprint(n)}
			if fmt.Sprint(n) == wrong {
				o.Result = "0"
			}
			return o
		}}}
		part := func(n int) conformance.Part {
			return conformance.Part{Data: json.RawMessage(`{"op":"x"}`), Expect: conformance.Expect{Text: ptr(fmt.Sprint(n))}}
		}
		results := conformance.Run(t.Context(), h, []conformance.Vector{{Group: "g", Name: "n", Setup: conformance.Setup{Batch: 3},
			Steps: []conformance.Step{{Together: []conformance.Part{part(1), part(2), part(3)}}}}})
		if err := results[0].Err; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSetupInTheManifest(t *testing.T) {
	m, err := abi.ParseManifest(conformance.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	conformance.Setup{}.Apply(&m)
	if m.State != "" || m.Batch != nil {
		t.Errorf("got %+v", m)
	}
	conformance.Setup{State: "atomic", Batch: 3}.Apply(&m)
	if m.State != "atomic" || m.Batch == nil || m.Batch.MaxEvents != 3 || time.Duration(m.Batch.MaxWait) != conformance.BatchWait {
		t.Errorf("got %+v", m)
	}
}

func TestManifestIsValid(t *testing.T) {
	m, err := abi.ParseManifest(conformance.Manifest)
	if err != nil || m.Name != "conformance" || len(m.Capabilities) != 4 {
		t.Errorf("got %+v, %v", m, err)
	}
}

// plugin is a Plugin that answers every event alike.
type plugin struct {
	outcome func(draft string, n int) conformance.Outcome
	seen    int
	stopped int
	stop    error
}

func (p *plugin) Name() string { return "p" }

func (p *plugin) Stop(context.Context) error { p.stopped++; return p.stop }

func (p *plugin) Deliver(_ context.Context, drafts []json.RawMessage) ([]conformance.Outcome, error) {
	var out []conformance.Outcome
	for _, d := range drafts {
		p.seen++
		o := p.outcome(string(d), p.seen)
		if o.Envelope == "broken" {
			return nil, errors.New("broken")
		}
		out = append(out, o)
	}
	return out, nil
}

// host is a Host that starts one plugin again and again.
type host struct {
	plugin plugin
	starts []conformance.Setup
}

func (h *host) Start(_ context.Context, s conformance.Setup) (conformance.Plugin, error) {
	h.starts = append(h.starts, s)
	if s.Attempts == 99 {
		return nil, errors.New("not today")
	}
	return &h.plugin, nil
}

func ptr(s string) *string { return &s }

// Each expectation accepts what it describes, and nothing else.
func TestExpectations(t *testing.T) {
	const envelope = `{"event_type":"t","data":1,"metadata":{"event_id":"e-1","idempotency_key":"k","source":"api","subject":"","time":"2026-01-02T03:04:05Z","correlation_id":"e-1","hops":2}}`
	child := conformance.Child{Type: "t", Data: json.RawMessage(`{"a":1}`), Key: "p/e-1/0"}
	ok := conformance.Outcome{Envelope: envelope, Status: "ok", Attempts: 1}
	with := func(change func(*conformance.Outcome)) conformance.Outcome {
		o := ok
		change(&o)
		return o
	}
	result := func(text string) conformance.Outcome { return with(func(o *conformance.Outcome) { o.Result = text }) }
	typed := `{"event_type":"t","event_id":"e-1","idempotency_key":"k","source":"api","subject":"","time":"2026-01-02T03:04:05Z",` +
		`"correlation_id":"e-1","causation_id":"","traceparent":"","hops":2,"attempt":1,"time_left":true}`
	for _, tt := range []struct {
		name   string
		expect conformance.Expect
		got    conformance.Outcome
		want   string // a part of the error; "" for none
	}{
		{"an empty result", conformance.Expect{}, ok, ""},
		{"a result instead of none", conformance.Expect{}, result("1"), "want none"},
		{"a value", conformance.Expect{Result: json.RawMessage(`{"a":1,"b":"x"}`)}, result(`{ "b":"\u0078", "a":1 }`), ""},
		{"another value", conformance.Expect{Result: json.RawMessage(`{"a":1}`)}, result(`{"a":2}`), `{"a":2}, want {"a":1}`},
		{"no value", conformance.Expect{Result: json.RawMessage(`{"a":1}`)}, ok, `want {"a":1}`},
		{"bytes", conformance.Expect{Text: ptr("1.0")}, result("1.0"), ""},
		{"other bytes of the same value", conformance.Expect{Text: ptr("1.0")}, result("1"), "want these bytes: 1.0"},
		{"the envelope's length", conformance.Expect{Envelope: true}, result(fmt.Sprintf(`{"bytes":%d}`, len(envelope))), ""},
		{"another length", conformance.Expect{Envelope: true}, result(`{"bytes":3}`), `{"bytes":3}, want`},
		{"the typed envelope", conformance.Expect{Typed: true}, result(typed), ""},
		{"another id", conformance.Expect{Typed: true}, result(strings.Replace(typed, "e-1", "e-2", 1)), "e-2"},
		{"null for a host that has none", conformance.Expect{Text: ptr("null")}, with(func(o *conformance.Outcome) { o.NullIsNone = true }), ""},
		{"no null", conformance.Expect{Text: ptr("null")}, ok, "want these bytes: null"},
		{"another status", conformance.Expect{}, with(func(o *conformance.Outcome) { o.Status, o.Class, o.Message = "failed", "trap", "boom" }), `failed (trap) with the message "boom", want ok`},
		{"too many attempts", conformance.Expect{}, with(func(o *conformance.Outcome) { o.Attempts = 2 }), "2 attempts, want 1"},
		{"a reason", conformance.Expect{Status: "retry", Reason: ptr("later")}, with(func(o *conformance.Outcome) { o.Status, o.Message = "retry", "later" }), ""},
		{"another reason", conformance.Expect{Status: "retry", Reason: ptr("later")}, with(func(o *conformance.Outcome) { o.Status, o.Message = "retry", "later on" }), "later on"},
		{"a part of the message", conformance.Expect{Status: "failed", Contains: "oo"}, with(func(o *conformance.Outcome) { o.Status, o.Message = "failed", "boom" }), ""},
		{"not a part of the message", conformance.Expect{Status: "failed", Contains: "xx"}, with(func(o *conformance.Outcome) { o.Status, o.Message = "failed", "boom" }), "does not contain"},
		{"a class", conformance.Expect{Status: "failed", Class: "trap"}, with(func(o *conformance.Outcome) { o.Status, o.Class = "failed", "exit" }), "the class is exit"},
		{"a class that is not reported", conformance.Expect{Status: "failed", Class: "trap"}, with(func(o *conformance.Outcome) { o.Status = "failed" }), ""},
		{"a child", conformance.Expect{Children: []conformance.Child{{Type: "t", Data: json.RawMessage(`{"a":1}`), Key: "{plugin}/{event_id}/0"}}}, with(func(o *conformance.Outcome) { o.Children = []conformance.Child{child} }), ""},
		{"a child of another key", conformance.Expect{Children: []conformance.Child{{Type: "t", Data: json.RawMessage(`{"a":1}`), Key: "k"}}}, with(func(o *conformance.Outcome) { o.Children = []conformance.Child{child} }), "child 1 is"},
		{"a child that is due later", conformance.Expect{Children: []conformance.Child{{Type: "t", Data: json.RawMessage(`{"a":1}`), Key: "{plugin}/{event_id}/0", After: 60}}}, with(func(o *conformance.Outcome) {
			later := child
			later.After = 60
			o.Children = []conformance.Child{later}
		}), ""},
		{"a child that is due at once", conformance.Expect{Children: []conformance.Child{{Type: "t", Data: json.RawMessage(`{"a":1}`), Key: "{plugin}/{event_id}/0", After: 60}}}, with(func(o *conformance.Outcome) { o.Children = []conformance.Child{child} }), "child 1 is"},
		{"an unexpected child", conformance.Expect{}, with(func(o *conformance.Outcome) { o.Children = []conformance.Child{child} }), "1 children, want 0"},
		{"a log line", conformance.Expect{Logs: []conformance.Log{{Level: "info", Message: "x"}}}, with(func(o *conformance.Outcome) { o.Logs = []conformance.Log{{Level: "info", Message: "x"}} }), ""},
		{"another log line", conformance.Expect{Logs: []conformance.Log{{Level: "info", Message: "x"}}}, with(func(o *conformance.Outcome) { o.Logs = []conformance.Log{{Level: "warn", Message: "x"}} }), "the log is"},
		{"one of two", conformance.Expect{OneOf: []conformance.Expect{{Text: ptr("1")}, {Text: ptr("2")}}}, result("2"), ""},
		{"none of two", conformance.Expect{OneOf: []conformance.Expect{{Text: ptr("1")}, {Text: ptr("2")}}}, result("3"), "want these bytes: 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &host{plugin: plugin{outcome: func(string, int) conformance.Outcome { return tt.got }}}
			results := conformance.Run(t.Context(), h, []conformance.Vector{{Group: "g", Name: "n", Steps: []conformance.Step{{Data: json.RawMessage(`{}`), Expect: tt.expect}}}})
			if len(results) != 2 || results[1].Group != "drain" || results[1].Err != nil || h.plugin.stopped != 1 {
				t.Fatalf("got %+v, stopped %d times", results, h.plugin.stopped)
			}
			if err := results[0].Err; (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMemoryMustBeFlat(t *testing.T) {
	grow := func(bytes int64) error {
		h := &host{plugin: plugin{outcome: func(_ string, n int) conformance.Outcome {
			return conformance.Outcome{Status: "ok", Attempts: 1, Memory: 1<<20 + int64(n)*bytes}
		}}}
		return conformance.Run(t.Context(), h, []conformance.Vector{{Group: "g", Name: "n",
			Steps: []conformance.Step{{Data: json.RawMessage(`{}`), Repeat: 100, Expect: conformance.Expect{Flat: true}}}}})[0].Err
	}
	if err := grow(700); err != nil {
		t.Errorf("within the tolerance: %v", err)
	}
	if err := grow(1000); err == nil || !strings.Contains(err.Error(), "after 100") {
		t.Errorf("got %v, want an error", err)
	}
}

// Vectors with one set-up share a plugin, unless they are fresh; one that is broken is
// replaced.
func TestPluginsAreShared(t *testing.T) {
	step := func(data string) []conformance.Step { return []conformance.Step{{Data: json.RawMessage(data)}} }
	h := &host{plugin: plugin{stop: errors.New("it hangs"), outcome: func(draft string, _ int) conformance.Outcome {
		if strings.Contains(draft, "break") {
			return conformance.Outcome{Envelope: "broken"}
		}
		return conformance.Outcome{Status: "ok", Attempts: 1}
	}}}
	results := conformance.Run(t.Context(), h, []conformance.Vector{
		{Group: "a", Name: "1", Steps: step(`{}`)},
		{Group: "a", Name: "2", Steps: step(`{}`)},
		{Group: "a", Name: "fresh", Fresh: true, Steps: step(`{}`)},
		{Group: "a", Name: "after a fresh one", Steps: step(`{"break":1}`)},
		{Group: "a", Name: "after a broken one", Steps: step(`{}`)},
		{Group: "a", Name: "another set-up", Setup: conformance.Setup{Deny: []string{"kv"}}, Steps: step(`{}`)},
		{Group: "a", Name: "no start", Setup: conformance.Setup{Attempts: 99}, Steps: step(`{}`)},
	})
	if len(h.starts) != 6 || h.plugin.stopped != 5 {
		t.Errorf("%d starts and %d stops, want 6 and 5", len(h.starts), h.plugin.stopped)
	}
	var failed []string
	for _, r := range results {
		if r.Err != nil {
			failed = append(failed, r.Name)
		}
	}
	if len(failed) != 7 {
		t.Errorf("failed: %q, want 5 stops, the broken one and the one without a start", failed)
	}
}

func TestVectorsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := &host{}
	results := conformance.Run(ctx, h, []conformance.Vector{{Group: "a", Name: "1"}, {Group: "a", Name: "2"}})
	if len(results) != 2 || !errors.Is(results[1].Err, context.Canceled) || len(h.starts) != 0 {
		t.Errorf("got %+v after %d starts", results, len(h.starts))
	}
}
