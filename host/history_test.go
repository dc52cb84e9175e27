package host

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

var historyEvents = flag.Int("events", 1000, "how many events TestHistoryIsComplete publishes; it takes 20,000 to fill every queue")

// TestHistoryIsComplete publishes events in batches of 500 to ten handlers on the SQLite
// engine, faster than they handle them, restarts the host, and checks that each of the
// deliveries has its result, which is computed from the event, with fuel, duration and the
// digest of its module. Results are equal among many events, or distinct and of 100 bytes.
func TestHistoryIsComplete(t *testing.T) {
	for name, status := range map[string]func(n int) string{
		"shared results":   func(n int) string { return fmt.Sprint("status ", n%7) },
		"distinct results": func(n int) string { return fmt.Sprintf("%089d", n) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, status)
			h.publish(*historyEvents)
			h.restart()
			h.check()
		})
	}
}

// history is a host with ten handlers, and what it must show.
type history struct {
	*testHost
	status  func(n int) string
	modules map[string]string // digest by handler
	ids     []string          // of the nth event
	start   func() *testHost
}

// A handler answers with the status of an event in an object with this key.
var historyGuests = map[string]string{"echo": "echo", "field_echo": "text"}

func newHistory(t *testing.T, status func(int) string) *history {
	t.Helper()
	plugins, data := t.TempDir(), t.TempDir()
	h := &history{status: status, modules: make(map[string]string)}
	for guest := range historyGuests {
		wasm, err := os.ReadFile("../testdata/guests/" + guest + ".wasm")
		check(t, err)
		for i := range 5 {
			name := strings.ReplaceAll(guest, "_", "-") + fmt.Sprint("-", i)
			check(t, os.WriteFile(filepath.Join(plugins, name+".wasm"), wasm, 0o600))
			check(t, os.WriteFile(filepath.Join(plugins, name+".wasm.json"), fmt.Appendf(nil, `{"name":%q}`, name), 0o600))
			h.modules[name] = fmt.Sprintf("%x", sha256.Sum256(wasm))
		}
	}
	h.start = func() *testHost {
		s := startHost(t, "plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n", marketplace.Config{}, func(c *Config) { c.DataDir = data })
		check(t, s.host.Ready(t.Context()))
		return s
	}
	h.testHost = h.start()
	return h
}

// publish publishes n events, and waits until each is final for every handler.
func (h *history) publish(n int) {
	h.t.Helper()
	const batch = 500
	began := time.Now()
	for len(h.ids) < n {
		var events []json.RawMessage
		for i := len(h.ids); i < min(n, len(h.ids)+batch); i++ {
			events = append(events, fmt.Appendf(nil, `{"event_type":"e","data":{"status":%q,"pointer":"/data/status"}}`, h.status(i)))
		}
		var list wire.List[wire.BatchReceipt]
		if status, p := h.call("POST", "/api/v1/events", events, &list); status != http.StatusAccepted {
			h.t.Fatalf("publish: %d %+v", status, p)
		}
		for _, r := range list.Items {
			h.ids = append(h.ids, r.EventID)
		}
	}
	published := time.Since(began)
	eventually(h.t, "not every event became final", func() bool {
		var log wire.LogStatus
		h.call("GET", "/api/v1/events/log", nil, &log)
		lag := uint64(0)
		for _, reader := range log.Handlers {
			lag += reader.Lag
		}
		return len(log.Handlers) == len(h.modules) && lag == 0
	})
	h.t.Logf("%d events published in %v, and final for %d handlers after %v", n, published, len(h.modules), time.Since(began))
}

// restart closes the host and starts another one with its data.
func (h *history) restart() {
	h.t.Helper()
	check(h.t, h.host.Close(context.Background()))
	h.testHost = h.start()
}

// check compares every delivery of every event.
func (h *history) check() {
	h.t.Helper()
	total := 0
	for i := range h.ids {
		total += h.checkEvent(i)
		if h.t.Failed() {
			return // the first one says enough
		}
	}
	if want := len(h.ids) * len(h.modules); total != want {
		h.t.Errorf("%d deliveries, want %d", total, want)
	}
	size := int64(0)
	files, err := filepath.Glob(filepath.Join(h.host.DataDir(), "berth.db*"))
	check(h.t, err)
	for _, f := range files {
		info, err := os.Stat(f)
		check(h.t, err)
		size += info.Size()
	}
	h.t.Logf("%d of %d results are as computed, with duration, fuel and digest; the store has %d bytes", total, len(h.ids)*len(h.modules), size)
}

// checkEvent compares the deliveries of the nth event, and returns their number.
func (h *history) checkEvent(n int) int {
	var ev wire.Event
	if status, p := h.call("GET", "/api/v1/events/"+h.ids[n], nil, &ev); status != http.StatusOK {
		h.t.Errorf("event %d: %d %+v", n, status, p)
		return 0
	}
	for _, d := range ev.Deliveries {
		guest := strings.ReplaceAll(d.Plugin[:strings.LastIndexByte(d.Plugin, '-')], "-", "_")
		want := fmt.Sprintf("{%q:%q}", historyGuests[guest], h.status(n))
		if d.Status != "ok" || d.Attempts != 1 || string(d.Result) != want || d.Error != nil || d.DurationMS <= 0 || d.Fuel == 0 ||
			d.SHA256 != h.modules[d.Plugin] || d.ResultKept != nil {
			h.t.Errorf("event %d: got %+v, want %s", n, d, want)
		}
	}
	return len(ev.Deliveries)
}
