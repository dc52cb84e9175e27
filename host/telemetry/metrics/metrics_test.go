package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/wire"
)

// full are the figures of a host that has every metric.
func full() figures.Host {
	h := new(histogram.Histogram)
	for _, v := range []time.Duration{5 * time.Microsecond, 3 * time.Millisecond, 2 * time.Second} {
		h.Observe(uint64(v))
	}
	at := time.Unix(1_800_000_000, 0)
	return figures.Host{At: at, Version: "1.2.3", Engine: "sqlite", Appended: 7, Published: []figures.Published{{Type: "order", Source: "api", Count: 7}},
		Handlers: []figures.Handler{{Plugin: "audit", Version: "1.0.0", SHA256: "00ff", State: wire.BreakerOpen, Since: at, Lag: 4, Ready: 1, Open: 3,
			OldestAt: at.Add(-90 * time.Second), Instances: 2, MemoryBytes: 65536, BreakerOpen: true, Dead: 2, OpenIssues: 1,
			Versions: []figures.Version{{Version: "1.0.0", OK: 5, Dead: 2, Failures: map[string]uint64{"trap": 3}, Conflicts: 4, Duration: h, Fuel: h, Latency: h}}}},
		Log: &event.LogStatus{Events: 9, Bytes: 900, MaxBytes: 9000, OldestAt: at}, Commits: &figures.Commits{Duration: *h, Writes: *h, Events: *h, Failed: 1},
		Files: figures.Files{Data: 4096, WAL: 512}, Disk: &figures.Disk{Free: 10, Total: 20}, GuestMemory: 65536, MemoryLimit: 1 << 30,
		Vets: []figures.Timing{{Result: "ok", Duration: *h}}, Loads: []figures.Timing{{Result: "ok", Duration: *h}},
		Requests:     []figures.Requests{{Method: "GET", Route: "/api/v1/events/:id", Classes: [6]uint64{2: 3, 4: 1}, Refused: [3]uint64{1, 0, 0}, Duration: *h}},
		EventStreams: 1, Operations: 1, Marketplace: figures.Marketplace{Enabled: true, Fetched: at, Failures: 1},
		Schedules: []figures.Schedule{{Name: "nightly", Published: 4, Missed: 2, Failed: 1, NextDue: at}}, Violations: map[string]uint64{"order": 3},
		Cluster: &figures.Cluster{Members: 3, Units: 5, Waiting: 1, Renewals: 80, Failed: 2, Takes: 7, Gives: 1, Losses: 1, Ended: 1,
			LeaseAge: 700 * time.Millisecond, ClockOffset: -20 * time.Millisecond},
		Database: &figures.Database{Commits: *h, Queries: *h, Refused: 3, Used: 5, Idle: 2, Limit: 16, Waiting: 4, Waited: 1500 * time.Millisecond}}
}

func scrape(t testing.TB, f figures.Host, accept string) string {
	t.Helper()
	handler, err := NewHandler(func(context.Context) figures.Host { return f }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestScrapeHasEveryFigure(t *testing.T) {
	text := scrape(t, full(), "")
	for _, line := range []string{
		`berth_events_published_total{source="api",type="order"} 7`,
		`berth_deliveries_total{outcome="ok",plugin="audit",version="1.0.0"} 5`,
		`berth_deliveries_total{outcome="dead",plugin="audit",version="1.0.0"} 2`,
		`berth_delivery_attempts_total{plugin="audit",version="1.0.0"} 8`,
		`berth_delivery_failures_total{class="trap",plugin="audit",version="1.0.0"} 3`,
		`berth_delivery_conflicts_total{plugin="audit",version="1.0.0"} 4`,
		`berth_delivery_attempt_duration_seconds_bucket{plugin="audit",version="1.0.0",le="1e-05"} 1`,
		`berth_delivery_attempt_duration_seconds_bucket{plugin="audit",version="1.0.0",le="0.005"} 2`,
		`berth_delivery_attempt_duration_seconds_bucket{plugin="audit",version="1.0.0",le="5"} 3`,
		`berth_delivery_attempt_duration_seconds_bucket{plugin="audit",version="1.0.0",le="+Inf"} 3`,
		`berth_delivery_attempt_duration_seconds_sum{plugin="audit",version="1.0.0"} 2.003005`,
		`berth_handler_info{plugin="audit",sha256="00ff",state="breaker_open",version="1.0.0"} 1`,
		`berth_handler_oldest_event_age_seconds{plugin="audit"} 90`,
		`berth_handler_queue_events{plugin="audit",state="ready"} 1`,
		`berth_handler_breaker_open{plugin="audit"} 1`,
		`berth_store_file_bytes{file="wal"} 512`,
		`berth_api_requests_total{code="4xx",method="GET",route="/api/v1/events/:id"} 1`,
		`berth_api_refusals_total{reason="unauthenticated"} 1`,
		`berth_api_refusals_total{reason="forbidden"} 0`,
		`berth_cluster_lease_age_seconds 0.7`,
		`berth_cluster_clock_offset_seconds -0.02`,
		`berth_cluster_renewals_total{result="failed"} 2`,
		`berth_database_operation_duration_seconds_count{operation="commit"} 3`,
		`berth_database_refused_writes_total 3`,
		`berth_database_connections{state="used"} 5`,
		`berth_database_calls_waiting 4`,
		`berth_database_connection_wait_seconds_total 1.5`,
		`berth_ready 1`,
		`berth_marketplace_refreshed_timestamp_seconds 1.8e+09`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
	for _, m := range List() {
		if !strings.Contains(text, "\n# TYPE "+m.Name+" "+m.Type+"\n") {
			t.Errorf("%s is missing", m.Name)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if open := scrape(t, full(), "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(open, "# EOF\n") {
		t.Error("there is no OpenMetrics format")
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	for _, text := range []string{scrape(t, full(), ""), scrape(t, figures.Host{}, "")} {
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// A host without handlers, file and readable parts has no value instead of a wrong one.
func TestUnknownFiguresAreMissing(t *testing.T) {
	text := scrape(t, figures.Host{Unknown: 2, Problem: "the store is damaged"}, "")
	for _, name := range []string{"berth_log_events", "berth_disk_free_bytes", "berth_store_commit_events", "berth_marketplace_refreshed_timestamp_seconds",
		"berth_cluster_members", "berth_cluster_renewals_total", "berth_database_connections"} {
		if strings.Contains(text, "\n"+name) {
			t.Errorf("%s has a value", name)
		}
	}
	for _, line := range []string{"berth_ready 0", "berth_unknown_figures 2"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}

func TestLabelThatIsNotUTF8LeavesOtherMetrics(t *testing.T) {
	f := full()
	f.Handlers[0].Versions[0].Version = "\xff"
	if text := scrape(t, f, ""); !strings.Contains(text, "\nberth_ready 1\n") || strings.Contains(text, "\xff") {
		t.Errorf("got %s", text)
	}
}

func TestTypesOfPublishedEventsAreBounded(t *testing.T) {
	p := NewPublished()
	records := make([]event.Record, 300)
	for i := range records {
		ev, err := event.New(event.Draft{Type: fmt.Sprintf("t%03d", i)})
		if err != nil {
			t.Fatal(err)
		}
		records[i] = event.Record{Seq: uint64(i + 1), Event: ev}
	}
	by := func(i int, by spec.Publisher) {
		records[i].Event = records[i].Event.WithOrigin(event.Origin{Publisher: by})
	}
	by(0, spec.Publisher{Token: "t1", Name: "shop"})
	by(1, spec.Publisher{Source: "orders"})
	by(2, spec.Publisher{Source: "audit"})
	var counting sync.WaitGroup
	for range 4 {
		counting.Go(func() { p.Note(records) })
	}
	counting.Wait()
	got := p.Counts()
	want := map[string]figures.Published{"t000": {Type: "t000", Source: "api", Count: 4}, "t001": {Type: "t001", Source: "orders", Count: 4},
		"t002": {Type: "t002", Source: "plugin", Count: 4}, "t003": {Type: "t003", Source: "unknown", Count: 4},
		"other": {Type: "other", Source: "unknown", Count: 400}}
	if len(got) != 201 {
		t.Errorf("got %d counts", len(got))
	}
	for typ, count := range want {
		if !slices.Contains(got, count) {
			t.Errorf("%s: got %v", typ, got)
		}
	}
}

func TestTimingsAreByResult(t *testing.T) {
	var timings Timings
	timings.Observe("ok", time.Second)
	timings.Observe("failed", -time.Second) // the clock was set back
	timings.Observe("ok", time.Second)
	list := timings.List()
	if len(list) != 2 || list[0].Result != "failed" || list[0].Duration.Sum() != 0 || list[1].Duration.Count() != 2 ||
		list[1].Duration.Sum() != uint64(2*time.Second) {
		t.Errorf("got %d results", len(list))
	}
}
