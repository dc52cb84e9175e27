package desk_test

import (
	"reflect"
	"testing"

	"github.com/berth-host/berth/host/desk"
)

const (
	atomicGuest = "../../testdata/guests/atomic_steps.wasm"
	batchGuest  = "../../testdata/guests/batch_steps.wasm"
)

// TestAtomicHandlerAtTheDesk: the writes of an event are applied when it finishes as ok, and
// dropped otherwise; the report shows the same as with state direct.
func TestAtomicHandlerAtTheDesk(t *testing.T) {
	wasm := read(t, atomicGuest)
	events := []string{
		`{"event_type":"a","data":{"steps":["gk","sk1","gk","cp2","xq"]}}`,
		`{"event_type":"a","data":{"steps":["sk9"],"end":"retry"}}`,
		`{"event_type":"a","data":{"steps":["gk","gp"]}}`,
	}
	reports := map[string][]desk.Delivery{}
	for _, state := range []string{"direct", "atomic"} {
		p := load(t, wasm, `{"name":"p","state":"`+state+`","capabilities":[{"name":"kv"}]}`)
		reports[state] = run(t, start(t, p, desk.Setup{Start: desk.FirstTime(), KV: map[string]string{"p": "1", "q": "x"}}), 1, events...)
	}
	atomic := reports["atomic"]
	if got := string(atomic[2].Last().Result); got != `["1","2"]` {
		t.Errorf("after a retry the atomic handler reads %s", got)
	}
	if got := string(reports["direct"][2].Last().Result); got != `["9","2"]` {
		t.Errorf("after a retry the direct handler reads %s", got)
	}
	want := []desk.Change{{Key: "k", After: new("1")}, {Key: "p", Before: new("1"), After: new("2")}, {Key: "q", Before: new("x"), After: new("x"), Expires: true}}
	for state, report := range reports {
		if got := report[0].Last().KV; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", state, got)
		}
	}
	if kv := atomic[1].Last().KV; len(kv) != 0 {
		t.Errorf("a retry changes %+v", kv)
	}
}

// TestBatchesAtTheDesk: first attempts come together, each order key once, at most
// max_events; later ones come alone. Children have their due time.
func TestBatchesAtTheDesk(t *testing.T) {
	p := load(t, read(t, batchGuest), `{"name":"p","batch":{"max_events":3},"capabilities":[{"name":"emit","event_types":["*"]}]}`)
	s := start(t, p, desk.Setup{Start: desk.FirstTime()})
	events, err := desk.ParseEvents([]byte(`{"event_type":"a","metadata":{"subject":"s1"},"data":{"n":1,"finish":"{\"failures\":[{\"index\":1,\"status\":\"retry\",\"reason\":\"later\"}]}","emit":["{\"event_type\":\"c\",\"data\":1,\"parent_index\":0,\"metadata\":{\"deliver_after\":\"15m\"}}","{\"event_type\":\"c\",\"data\":2,\"parent_index\":2,\"metadata\":{\"deliver_at\":\"2026-01-02T03:04:05Z\"}}","{\"event_type\":\"c\",\"data\":3,\"parent_index\":2,\"metadata\":{\"deliver_after\":\"9000h\"}}"]}}
{"event_type":"a","metadata":{"subject":"s2"},"data":{"n":2}}
{"event_type":"a","metadata":{"subject":"s3"},"data":{"n":3}}
{"event_type":"a","metadata":{"subject":"s4"},"data":{"n":4}}
{"event_type":"a","metadata":{"subject":"s4"},"data":{"n":5}}`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.DeliverEach(t.Context(), events, 2)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d deliveries, %v", len(all), err)
	}
	for i, want := range []string{"", `{"n":2,"refused":0}`, "", `{"n":4,"refused":0}`, `{"n":5,"refused":0}`} {
		d := all[i]
		if got := d.Last(); got.Status != desk.StatusOK || string(got.Result) != want || len(d.Attempts) != map[bool]int{true: 2, false: 1}[i == 1] {
			t.Errorf("event %d: %d attempts, %+v", i+1, len(d.Attempts), got)
		}
	}
	if first := all[1].Attempts[0]; first.Status != desk.StatusRetry || first.Message != "later" {
		t.Errorf("got %+v", first)
	}
	if c := all[0].Last().Children; len(c) != 1 || c[0].DeliverAfter != "15m0s" {
		t.Errorf("got %+v", c)
	}
	if c := all[2].Last().Children; len(c) != 1 || c[0].DeliverAt != "2026-01-02T03:04:05Z" {
		t.Errorf("got %+v; one that is due in more than a year is refused", c)
	}
}
