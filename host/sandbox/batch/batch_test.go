package batch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/batch"
)

func attempts(t testing.TB, n int) (list []event.Attempt) {
	t.Helper()
	for i := range n {
		ev, err := event.New(event.Draft{Type: "order_placed", Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, event.Attempt{Seq: uint64(i + 1), Event: ev, Number: 1})
	}
	return list
}

func TestEnvelopeHasTheEvents(t *testing.T) {
	for _, n := range []int{1, 2, 1000} {
		list := attempts(t, n)
		text := batch.Envelope(list)
		var got struct{ Events []json.RawMessage }
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Events) != n {
			t.Fatalf("%d events: got %d, %v", n, len(got.Events), err)
		}
		for i, ev := range got.Events {
			if string(ev) != list[i].Event.Envelope() {
				t.Fatalf("event %d differs: %s", i, ev)
			}
		}
		if value, found := strictjson.Get(text, fmt.Sprintf("/events/%d/data/n", n-1)); value != fmt.Sprint(n-1) || !found {
			t.Errorf("got %q, %v", value, found)
		}
	}
}

func TestParse(t *testing.T) {
	failure := func(at int, retry bool, reason string) map[int]batch.Failure {
		return map[int]batch.Failure{at: {retry, reason}}
	}
	long := strings.Repeat("x", abi.MaxResult-2)
	for _, tt := range []struct {
		name, text string
		results    int // -1: none
		failures   map[int]batch.Failure
		reason     string
		beyond     bool
	}{
		{"empty", "", -1, nil, "", false},
		{"an empty object", "{}", -1, nil, "", false},
		{"results", `{"results":[1,{"a":[]},null]}`, 3, nil, "", false},
		{"results of any length", `{"results":["` + long + `",1,2]}`, 3, nil, "", false},
		{"failures", `{"failures":[{"index":2,"status":"retry","reason":"later"}]}`, -1, failure(2, true, "later"), "", false},
		{"no reason", `{"failures":[{"index":0,"status":"reject"}]}`, -1, failure(0, false, ""), "", false},
		{"both", ` { "results" : [ 1 , 2 , 3 ] , "failures" : [ { "reason":"x" , "status":"reject" , "index":1 } ] } `, 3, failure(1, false, "x"), "", false},
		{"no failures", `{"failures":[]}`, -1, nil, "", false},
		{"half a surrogate pair", `{"results":["\ud800",1,2]}`, 3, nil, "", false},

		{"no JSON", "{", -1, nil, "is not JSON", false},
		{"no UTF-8", "{\"results\":[\"\xff\",1,2]}", -1, nil, "is not JSON", false},
		{"a list", "[]", -1, nil, "is not that of a batch", false},
		{"null", "null", -1, nil, "is not that of a batch", false},
		{"null for results", `{"results":null}`, -1, nil, "is not that of a batch", false},
		{"another member", `{"seen":true}`, -1, nil, "is not that of a batch", false},
		{"a member in other letters", `{"Results":[1,2,3]}`, -1, nil, "is not that of a batch", false},
		{"results given again", `{"results":[1,2,3],"results":[1,2,3]}`, -1, nil, "is not that of a batch", false},
		{"one result is missing", `{"results":[1,2]}`, -1, nil, "has 2 results for 3 events", false},
		{"no results", `{"results":[]}`, -1, nil, "has 0 results for 3 events", false},
		{"too many results", `{"results":[1,2,3,4]}`, -1, nil, "has 4 results for 3 events", false},
		{"an index that is not there", `{"failures":[{"index":3,"status":"retry"}]}`, -1, nil, "the index 3; the batch has 3 events", false},
		{"an index below zero", `{"failures":[{"index":-1,"status":"retry"}]}`, -1, nil, "the index -1", false},
		{"no index", `{"failures":[{"status":"retry"}]}`, -1, nil, "no index", false},
		{"a fraction", `{"failures":[{"index":1.5,"status":"retry"}]}`, -1, nil, "is not that of a batch", false},
		{"twice", `{"failures":[{"index":1,"status":"retry"},{"index":1,"status":"reject"}]}`, -1, nil, "failures[1] the index 1 a second time", false},
		{"no status", `{"failures":[{"index":1}]}`, -1, nil, "a status that is not retry or reject", false},
		{"ok", `{"failures":[{"index":1,"status":"ok"}]}`, -1, nil, "a status that is not retry or reject", false},
		{"another member of a failure", `{"failures":[{"index":1,"status":"retry","code":3}]}`, -1, nil, "is not that of a batch", false},

		{"a long result", `{"results":["` + long + `x",1,2]}`, -1, nil, "has 65537 bytes for the event 0", true},
		{"a long text", `{"results":["` + strings.Repeat("x", batch.MaxText) + `",1,2]}`, -1, nil, "the limit of a batch is 16777216", true},
	} {
		ends, reason, beyond := batch.Parse([]byte(tt.text), 3)
		if (reason == "") != (tt.reason == "") || !strings.Contains(reason, tt.reason) || beyond != tt.beyond {
			t.Errorf("%s: got %.200q, beyond %v, want %q", tt.name, reason, beyond, tt.reason)
		}
		if got := len(ends.Results); got != max(0, tt.results) || !maps.Equal(ends.Failures, tt.failures) {
			t.Errorf("%s: got %d results and %v", tt.name, got, ends.Failures)
		}
	}
	big := `{"results":[` + strings.Repeat(`"`+long+`",`, 128) + `1]}`
	if _, reason, beyond := batch.Parse([]byte(big), 129); !beyond || !strings.Contains(reason, "for all events together") {
		t.Errorf("results over 8 MiB together: got %q, %v", reason, beyond)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "{}", `{"results":[1,2]}`, `{"failures":[{"index":1,"status":"retry","reason":"x"}]}`, `{"failures":[{"index":1e0}]}`, "[", "null"} {
		f.Add([]byte(text), 2)
	}
	f.Fuzz(func(t *testing.T, text []byte, events int) {
		if events < 1 || events > abi.MaxBatchEvents {
			return
		}
		ends, reason, beyond := batch.Parse(text, events)
		if reason != "" {
			if len(ends.Results)+len(ends.Failures) > 0 {
				t.Errorf("%q and an end", reason)
			}
			return
		}
		if beyond || len(text) > 0 && !json.Valid(text) {
			t.Errorf("%q is taken", text)
		}
		if n := len(ends.Results); n > 0 && n != events {
			t.Errorf("%d results for %d events", n, events)
		}
		for _, result := range ends.Results {
			if !json.Valid(result) {
				t.Errorf("the result %q", result)
			}
		}
		for at := range ends.Failures {
			if at < 0 || at >= events {
				t.Errorf("a failure at %d of %d", at, events)
			}
		}
	})
}
