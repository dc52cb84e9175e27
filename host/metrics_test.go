package host

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/telemetry/metrics"
	"github.com/berth-host/berth/host/wire"
)

// startMeasuredHost starts a host with a handler that succeeds, echo, and one that fails,
// trap, and waits until both have ended an event.
func startMeasuredHost(t *testing.T, settings string) *testHost {
	t.Helper()
	plugins := t.TempDir()
	for name, guest := range map[string]string{"echo": "echo", "trap": "trap_on_event"} {
		wasm, err := os.ReadFile("../testdata/guests/" + guest + ".wasm")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(plugins, name+".wasm"), wasm, 0o600))
	}
	h := startHost(t, fmt.Sprintf("plugin_directories: [%s]\nroutes: {\"*\": {}}\ndefaults: {retry: {max_attempts: 2, backoff: 1ms}}\n%s", plugins, settings),
		marketplace.Config{})
	check(t, h.host.Ready(t.Context()))
	var receipt wire.Receipt
	if status, p := h.call("POST", "/api/v1/events", map[string]any{"event_type": "order_placed", "data": map[string]any{"status": "new", "trap": true}}, &receipt); status != http.StatusAccepted {
		t.Fatalf("%d %+v", status, p)
	}
	h.await("both deliveries", func() bool {
		var ev wire.Event
		h.call("GET", "/api/v1/events/"+receipt.EventID, nil, &ev)
		done := 0
		for _, d := range ev.Deliveries {
			if d.Status == "ok" || d.Status == "dead" {
				done++
			}
		}
		return done == 2
	})
	return h
}

// await waits until ok returns true.
func (s *testHost) await(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute) // only a hang gets there
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; !ok(); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// scrape answers what Prometheus reads, with a token unless it is "".
func (s *testHost) scrape(token string) (status int, text string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.host.URL()+"/metrics", nil)
	check(s.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	check(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(s.t, err)
	return resp.StatusCode, string(body)
}

// namesOf returns the names of the host's metrics in what Prometheus reads.
func namesOf(text string) (names []string) {
	for line := range strings.Lines(text) {
		if name, found := strings.CutPrefix(line, "# TYPE berth_"); found {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, "berth_"+name)
		}
	}
	return names
}

// ofDatabase reports whether only a host with a database has a metric.
func ofDatabase(name string) bool {
	return strings.HasPrefix(name, "berth_cluster_") || strings.HasPrefix(name, "berth_database_")
}

func TestHostWithDatabaseHasItsMetrics(t *testing.T) {
	h := startMember(t, pgtest.Schema(t), "a")
	var text string
	h.await("a scrape of a host that runs its handler", func() bool {
		var status int
		if status, text = h.scrape(h.token); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		return strings.Contains(text, "\nberth_cluster_units_waiting 0\n") && !strings.Contains(text, "\nberth_cluster_units 0\n")
	})
	scraped := namesOf(text)
	for _, m := range metrics.List() {
		if has := slices.Contains(scraped, m.Name); ofDatabase(m.Name) && !has || strings.HasPrefix(m.Name, "berth_store_commit_") && has {
			t.Errorf("%s is scraped: %v", m.Name, has)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	check(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, line := range []string{`berth_cluster_members 1`, `berth_cluster_losses_total `, `berth_database_connection_limit 8`,
		`berth_database_refused_writes_total `, `berth_database_calls_waiting `, `berth_build_info{engine="postgres"`, `berth_unknown_figures 0`} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("there is no line %s", line)
		}
	}
	for _, operation := range []string{"commit", "query"} {
		if line := `berth_database_operation_duration_seconds_count{operation="` + operation + `"} `; !strings.Contains(text, line) || strings.Contains(text, line+"0\n") {
			t.Errorf("%s: none was measured", operation)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// What a host answers is what docs/metrics.md lists (package metrics holds it equal to
// metrics.List), and follows the conventions.
func TestScrapedMetricsAreThoseListed(t *testing.T) {
	h := startMeasuredHost(t, "schedules: {yearly: {cron: '0 0 1 1 *', event_type: year}}\n"+
		"event_types: {order_placed: {schema: {required: [customer]}, mode: warn}}\n")
	if status, _ := h.scrape(""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	var text string
	h.await("a scrape with the dead letter", func() (found bool) { // figures are up to a second old
		var status int
		if status, text = h.scrape(h.token); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		return strings.Contains(text, "\nberth_dead_letters{plugin=\"trap\"} 1\n")
	})
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	check(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	scraped := namesOf(text)
	var listed []string
	for _, m := range metrics.List() {
		// This host has no marketplace.
		if m.Name != "berth_marketplace_refreshed_timestamp_seconds" && !ofDatabase(m.Name) {
			listed = append(listed, m.Name)
		}
	}
	for _, name := range slices.Concat(scraped, listed) {
		if !slices.Contains(scraped, name) || !slices.Contains(listed, name) {
			t.Errorf("%s: scraped is %v, listed is %v", name, slices.Contains(scraped, name), slices.Contains(listed, name))
		}
	}
	for _, line := range []string{
		`berth_events_published_total{source="`,
		`berth_deliveries_total{outcome="ok",plugin="echo",version=""} 1`,
		`berth_deliveries_total{outcome="dead",plugin="trap",version=""} 1`,
		`berth_delivery_attempts_total{plugin="trap",version=""} 2`,
		`berth_delivery_failures_total{class="trap",plugin="trap",version=""} 2`,
		`berth_delivery_attempt_duration_seconds_count{plugin="echo",version=""} 1`,
		`berth_delivery_latency_seconds_count{plugin="echo",version=""} 1`,
		`berth_delivery_attempt_fuel_count{plugin="trap",version=""} 2`,
		`berth_handler_instances{plugin="echo"} 1`,
		`berth_dead_letters{plugin="trap"} 1`,
		`berth_handler_lag_events{plugin="echo"} 0`,
		`berth_log_events 1`,
		`berth_event_type_violations_total{type="order_placed"} 1`,
		`berth_schedule_events_total{schedule="yearly"} 0`,
		`berth_store_commit_events_sum 1`,
		`berth_api_requests_total{code="2xx",method="POST",route="/api/v1/events"} 1`,
		`berth_api_refusals_total{reason="unauthenticated"} 1`,
		`berth_module_load_duration_seconds_count{result="ok"} 2`,
		`berth_ready 1`,
		`berth_unknown_figures 0`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("there is no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestMetricsAreOpenOnLoopbackWhenConfigured(t *testing.T) {
	h := startHost(t, "server: {metrics: loopback}\nbus: {engine: memory}\n", marketplace.Config{})
	status, text := h.scrape("")
	if status != http.StatusOK || !strings.Contains(text, "\nberth_build_info{engine=\"memory\"") || strings.Contains(text, "berth_store_commit_events") {
		t.Errorf("%d %s", status, text)
	}
	if status, p := h.call("GET", "/api/v1/overview", nil, nil); status != http.StatusOK {
		t.Errorf("the overview: %d %+v", status, p)
	}
}

func TestOverviewHasWorstHandlerFirst(t *testing.T) {
	h := startMeasuredHost(t, "")
	var o wire.Overview
	h.await("an overview with the failures", func() bool { // it is up to a second old
		if status, p := h.call("GET", "/api/v1/overview", nil, &o); status != http.StatusOK {
			t.Fatalf("%d %+v", status, p)
		}
		return o.DeadLetters == 1 && len(o.Handlers) == 2 && o.Handlers[0].FailedShare > 0
	})
	worst, other := o.Handlers[0], o.Handlers[1]
	if worst.Plugin != "trap" || worst.FailedShare != 1 || worst.Dead != 1 || other.Plugin != "echo" || other.FailedShare != 0 || other.PerS <= 0 ||
		other.DurationP99MS <= 0 || other.FuelPerEvent <= 0 || other.MemoryBytes == 0 || other.Instances != 1 {
		t.Errorf("got %+v\n%+v", worst, other)
	}
	if !o.Ready || o.EventsPerS <= 0 || o.DeliveriesPerS <= 0 || o.OKShare != 0.3333 || o.LatencyP50MS <= 0 || o.OldestAt != nil || o.MemoryBytes == 0 ||
		o.Disk.FreeBytes == 0 || o.Disk.StoreBytes == 0 || o.Host == "" || o.StartedAt.IsZero() {
		t.Errorf("got %+v", o)
	}
	var s wire.Series
	if status, p := h.call("GET", "/api/v1/series?plugin=echo&range=24h", nil, &s); status != http.StatusOK || len(s.Values["lag"]) != 1440 {
		t.Errorf("the series: %d %+v, %d steps", status, p, len(s.Values["lag"]))
	}
}
