package host

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

// startWithGuest starts a host with a guest of the tests as a plugin.
func startWithGuest(t *testing.T, guest, name, manifest, config string) *testHost {
	t.Helper()
	plugins := t.TempDir()
	wasm, err := os.ReadFile("../testdata/guests/" + guest + ".wasm")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(plugins, name+".wasm"), wasm, 0o600))
	check(t, os.WriteFile(filepath.Join(plugins, name+".wasm.json"), []byte(manifest), 0o600))
	s := startHost(t, "plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n"+config, marketplace.Config{})
	check(t, s.host.Ready(t.Context()))
	return s
}

// publishAll publishes events in one request and returns their ids.
func (s *testHost) publishAll(events []json.RawMessage) (ids []string) {
	s.t.Helper()
	var list wire.List[wire.BatchReceipt]
	if status, p := s.call("POST", "/api/v1/events", events, &list); status != http.StatusAccepted {
		s.t.Fatalf("publish: %d %+v", status, p)
	}
	for _, r := range list.Items {
		ids = append(ids, r.EventID)
	}
	return ids
}

// awaitDeliveries waits until every event is final, and returns the one delivery of each.
func (s *testHost) awaitDeliveries(ids []string) []wire.Delivery {
	s.t.Helper()
	eventually(s.t, "not every event is final", func() bool {
		var log wire.LogStatus
		s.call("GET", "/api/v1/events/log", nil, &log)
		return len(log.Handlers) == 1 && log.Handlers[0].Lag == 0
	})
	list := make([]wire.Delivery, len(ids))
	for i, id := range ids {
		var ev wire.Event
		if status, p := s.call("GET", "/api/v1/events/"+id, nil, &ev); status != http.StatusOK || len(ev.Deliveries) != 1 {
			s.t.Fatalf("event %d: %d %+v, %+v", i, status, p, ev.Deliveries)
		}
		list[i] = ev.Deliveries[0]
	}
	return list
}

// TestAtomicCounterIsExact counts events with a guest, eight instances and one key: each
// event gets a number of its own, with one attempt.
func TestAtomicCounterIsExact(t *testing.T) {
	const events = 1000
	s := startWithGuest(t, "kv_counter", "counter", `{"name":"counter","capabilities":[{"name":"kv"}],"state":"atomic","limits":{"concurrency":8}}`,
		"handlers: {counter: {grants: {kv: {}}}}\n")
	var ids []string
	for len(ids) < events {
		list := make([]json.RawMessage, 100)
		for i := range list {
			list[i] = fmt.Appendf(nil, `{"event_type":"e","data":{},"metadata":{"subject":"s-%d"}}`, i%50)
		}
		ids = append(ids, s.publishAll(list)...)
	}
	numbers := make(map[int]bool)
	for i, d := range s.awaitDeliveries(ids) {
		var answer struct{ Count int }
		if err := json.Unmarshal(d.Result, &answer); err != nil || d.Status != "ok" || d.Attempts != 1 {
			t.Fatalf("event %d: %+v, %v", i, d, err)
		}
		numbers[answer.Count] = true
	}
	if len(numbers) != events || !numbers[1] || !numbers[events] {
		t.Errorf("%d events have %d numbers", events, len(numbers))
	}
}

// TestBatchOfHundred has a guest handle 100 events in one call, of which three fail: 97 are ok
// once, and three are tried again, each alone.
func TestBatchOfHundred(t *testing.T) {
	s := startWithGuest(t, "batch_parts", "parts", `{"name":"parts","batch":{"max_events":100,"max_wait":"10s"},"retry":{"backoff":"1ms"}}`, "")
	fails := map[int]bool{7: true, 50: true, 93: true}
	list := make([]json.RawMessage, 100)
	for i := range list {
		list[i] = fmt.Appendf(nil, `{"event_type":"e","data":{"fail":%v},"metadata":{"subject":"s-%d"}}`, fails[i], i)
	}
	for i, d := range s.awaitDeliveries(s.publishAll(list)) {
		want, attempts := `{"events":100,"attempt":1}`, 1
		if fails[i] {
			want, attempts = `{"events":1,"attempt":2}`, 2
		}
		if d.Status != "ok" || d.Attempts != attempts || string(d.Result) != want || len(d.History) != attempts || d.Fuel == 0 {
			t.Errorf("event %d: %+v with %s, want %s", i, d, d.Result, want)
		}
	}
}
