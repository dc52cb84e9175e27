package berthtest_test

import (
	"reflect"
	"strings"
	"testing"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
	"github.com/berth-host/berth/abi/go/internal/exercise"
	"github.com/berth-host/berth/abi/go/internal/wire"
)

func events(data ...string) (list []string) {
	for _, d := range data {
		list = append(list, berthtest.Event("order_status_changed", d))
	}
	return list
}

// TestBatch delivers batches with outcomes of every kind.
func TestBatch(t *testing.T) {
	ok := func(result string, children ...string) berthtest.Outcome {
		return berthtest.Outcome{Status: berthtest.OK, Result: result, Children: children}
	}
	child := func(data, parent string) string {
		return `{"event_type":"order_noted","data":` + data + `,"parent_index":` + parent + `}`
	}
	rejected := berthtest.Outcome{Status: berthtest.Rejected, Reason: "none of 2"}
	for _, tt := range []struct {
		name   string
		events []string
		want   []berthtest.Outcome
	}{
		{"results, a retry and a reject", events(`{"do":"numbers","int":1}`, `{"do":"retry"}`, `{"do":"numbers","yes":true}`, `{"do":"reject"}`, `{"do":"emit later"}`),
			[]berthtest.Outcome{ok(`{"int":1}`), {Status: berthtest.Retry, Reason: "try later"}, ok(`{"yes":true}`), {Status: berthtest.Rejected, Reason: "wrapped: never"},
				{Status: berthtest.Retry, Reason: "berth: emit: invalid: parent_index is missing: the batch has 5 events"}}},
		{"metadata", events(`{"id":"o-1"}`), []berthtest.Outcome{ok(`{"id":"0197a3c5-7b1e-7000-8000-000000000001","key":"test-1","subject":"o-1","type":"order_status_changed"}`)}},
		{"raw", events(`{"do":"log"}`, `{"do":"raw","x":"]},\""}`)[1:], []berthtest.Outcome{ok(events(`{"do":"raw","x":"]},\""}`)[0])}},
		{"no results", events(`{"do":"child"}`, `{"do":"child"}`), []berthtest.Outcome{ok("", child("0", "0")), ok("", child("1", "1"))}},
		{"children of failed events", events(`{"do":"child"}`, `{"do":"retry"}`), []berthtest.Outcome{ok("", child("0", "0")), {Status: berthtest.Retry, Reason: "try later"}}},
		{"a child without its parent", events(`{"do":"child of none"}`, `{"do":"child of none"}`), []berthtest.Outcome{ok("true"), ok("true")}},
		{"one parent", events(`{"do":"child of none"}`), []berthtest.Outcome{ok("false", `{"event_type":"order_noted","data":null}`)}},
		{"all fail", events(`{"do":"child"}`, `{"do":"fail all"}`), []berthtest.Outcome{rejected, rejected}},
		{"one alone has an invalid result", events(`{"do":"not JSON"}`), []berthtest.Outcome{{Status: berthtest.Rejected,
			Reason: "the host refused the result: berth: finish: invalid: the result is not an object of results and failures"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := new(berthtest.Host).DeliverBatch(t, exercise.Batch, tt.events...); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestInvalidResultAmongOthersIsARetry: the events come alone then, and only that one is
// rejected.
func TestInvalidResultAmongOthersIsARetry(t *testing.T) {
	for _, out := range new(berthtest.Host).DeliverBatch(t, exercise.Batch, events(`{"do":"numbers"}`, `{"do":"not JSON"}`)...) {
		if out.Status != berthtest.Retry || !strings.Contains(out.Reason, "refused the result") {
			t.Errorf("got %+v", out)
		}
	}
}

// TestDisabledBatches: events come one by one.
func TestDisabledBatches(t *testing.T) {
	h := new(berthtest.Host)
	got := h.Serve(func() { berth.RunBatch(exercise.Batch) }, events(`{"do":"numbers","int":1}`, `{"do":"retry"}`, `{"do":"child"}`, `{"do":"fail all"}`)...)
	want := []berthtest.Outcome{
		{Status: berthtest.OK, Result: `{"int":1}`},
		{Status: berthtest.Retry, Reason: "try later"},
		{Status: berthtest.OK, Children: []string{`{"event_type":"order_noted","data":0}`}},
		{Status: berthtest.Rejected, Reason: "none of 1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestBatchesOfAnInstance: the events of one batch are not those of the one before.
func TestBatchesOfAnInstance(t *testing.T) {
	h := new(berthtest.Host)
	got := h.Serve(func() { berth.RunBatch(exercise.Batch) },
		`{"events":[`+strings.Join(events(`{"do":"retry"}`, `{"do":"numbers","int":1}`, `{"do":"retry"}`), ",")+`]}`,
		`{"events":[`+strings.Join(events(`{"do":"child"}`, `{"do":"numbers","int":2}`), " , ")+` ]}`)
	if len(got) != 5 || got[3].Status != berthtest.OK || len(got[3].Children) != 1 || got[4].Result != `{"int":2}` {
		t.Errorf("got %+v", got)
	}
}

func TestBatchInRun(t *testing.T) {
	defer func() {
		if r, _ := recover().(string); !strings.Contains(r, "RunBatch") {
			t.Errorf("got the panic %q", r)
		}
	}()
	new(berthtest.Host).Serve(func() { berth.Run(exercise.Handle) }, `{"events":[`+events("1")[0]+`]}`)
}

// TestRefusedBatchResults finishes a batch of two events with results that a host refuses.
func TestRefusedBatchResults(t *testing.T) {
	for _, result := range []string{
		`[]`, `7`, `{"results":null}`, `{"failures":null}`, `{"other":1}`, `{"results":[1]}`, `{"results":[1,2,3]}`, `{"failures":[{"status":"retry"}]}`,
		`{"failures":[{"index":2,"status":"retry"}]}`, `{"failures":[{"index":-1,"status":"retry"}]}`, `{"failures":[{"index":0,"status":"ok"}]}`,
		`{"failures":[{"index":0,"status":"retry"},{"index":0,"status":"reject"}]}`, `{"results":[1,2]} 1`, `{"results":[1,2]`,
	} {
		outcomes := new(berthtest.Host).DeliverBatch(t, func(*berth.Batch) error {
			if code := berth.Code(wire.Finish(0, result)); code != berth.ErrInvalid {
				t.Errorf("%s: got %v", result, code)
			}
			return nil
		}, events("1", "2")...)
		if len(outcomes) != 2 || outcomes[1].Status != berthtest.OK {
			t.Errorf("%s: after a refusal the batch can be finished; got %+v", result, outcomes)
		}
	}
	h := &berthtest.Host{Atomic: true}
	h.DeliverBatch(t, func(*berth.Batch) error {
		if code := berth.Code(wire.Finish(0, `{"failures":[{"index":0,"status":"retry","reason":"x"}]}`)); code != berth.ErrInvalid {
			t.Errorf("failures of an atomic batch: got %v", code)
		}
		return nil
	}, events("1")...)
}
