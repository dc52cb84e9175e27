package host

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

var burstEvents = flag.Int("burst", 3000, "how many events of one tenant wait in TestBurstDelaysNoOtherTenant")

// TestBurstDelaysNoOtherTenant: while one tenant has many events waiting, an event that another
// tenant publishes after them is handled before 100 of them.
func TestBurstDelaysNoOtherTenant(t *testing.T) {
	wasm, err := os.ReadFile("../testdata/guests/echo.wasm")
	check(t, err)
	plugins := t.TempDir()
	check(t, os.WriteFile(filepath.Join(plugins, "sync.wasm"), wasm, 0o600))
	check(t, os.WriteFile(filepath.Join(plugins, "sync.wasm.json"), []byte(`{"name":"sync"}`), 0o600))
	s := startHost(t, "plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\nhandlers: {sync: {paused: true, fair_by: /data/tenant}}\n", marketplace.Config{})
	check(t, s.host.Ready(t.Context()))
	var ids []string
	publish := func(tenant string, n int) {
		for published := 0; published < n; published += 500 {
			var events []json.RawMessage
			for range min(500, n-published) {
				events = append(events, fmt.Appendf(nil, `{"event_type":"e","data":{"tenant":%q,"status":"new"}}`, tenant))
			}
			var list wire.List[wire.BatchReceipt]
			if status, p := s.call("POST", "/api/v1/events", events, &list); status != http.StatusAccepted {
				t.Fatalf("publish: %d %+v", status, p)
			}
			for _, r := range list.Items {
				ids = append(ids, r.EventID)
			}
		}
	}
	publish("first", *burstEvents)
	publish("second", 1)
	reader := func() wire.LogReader {
		var log wire.LogStatus
		s.call("GET", "/api/v1/events/log", nil, &log)
		if len(log.Handlers) != 1 {
			return wire.LogReader{}
		}
		return log.Handlers[0]
	}
	eventually(t, "the events are not read", func() bool { return reader().Open == uint64(len(ids)) })
	if status, p := s.call("POST", "/api/v1/events/plugins/sync/resume", nil, nil); status != http.StatusOK {
		t.Fatalf("resume: %d %+v", status, p)
	}
	eventually(t, "the events are not delivered", func() bool { return reader().Lag == 0 })
	at := func(id string) time.Time {
		var ev wire.Event
		if status, p := s.call("GET", "/api/v1/events/"+id, nil, &ev); status != http.StatusOK {
			t.Fatalf("show: %d %+v", status, p)
		}
		if len(ev.Deliveries) != 1 || ev.Deliveries[0].Status != "ok" {
			t.Fatalf("the deliveries of %s are %+v", id, ev.Deliveries)
		}
		return ev.Deliveries[0].At
	}
	second, before := at(ids[len(ids)-1]), 0
	for before < 200 && at(ids[before]).Before(second) {
		before++
	}
	if before >= 100 {
		t.Errorf("the other tenant's event was handled after %d or more of %d", before, *burstEvents)
	}
	t.Logf("the other tenant's event was handled after %d of %d", before, *burstEvents)
}
