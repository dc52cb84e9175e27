package measure

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/telemetry/series"
	"github.com/berth-host/berth/host/wire"
)

// host is a host whose parts count how often they are read.
type host struct {
	Config
	reads, deadReads int
	deadTakes        time.Duration
	failing          error
}

func newHost(t *testing.T, plugins ...wire.Plugin) *host {
	h := &host{}
	h.Config = Config{
		Version: "1.2.3", Engine: "sqlite", StoreFile: filepath.Join(t.TempDir(), "berth.db"), Ready: func() error { return h.failing },
		Last: func() uint64 { h.reads++; return 40 + uint64(h.reads) },
		Log:  func(context.Context) (event.LogStatus, error) { return event.LogStatus{Events: 7}, h.failing },
		DeadCounts: func(context.Context) (map[string]uint64, error) {
			h.deadReads++
			time.Sleep(h.deadTakes) // of the test's own clock
			return map[string]uint64{"a": 1, "a/0": 2}, h.failing
		},
		Commits:   func() figures.Commits { return figures.Commits{Failed: 1} },
		Database:  func() figures.Database { return figures.Database{Limit: 9} },
		Published: func() []figures.Published { return nil },
		Plugins:   func() []wire.Plugin { return plugins },
		Handler: func(_ context.Context, f *figures.Handler) error {
			if f.Plugin == "fails" {
				f.Versions = []figures.Version{{OK: 1, Failures: map[string]uint64{"trap": 3}}}
			}
			f.MemoryBytes, f.OldestAt = 100, time.Unix(1_800_000_000, 0).Add(time.Duration(len(f.Plugin))*time.Hour)
			return h.failing
		},
		Issues: func() map[string]int { return map[string]int{"a": 2} },
		Vets:   func() []figures.Timing { return nil }, Loads: func() []figures.Timing { return nil },
		Requests: func() []figures.Requests { return nil }, EventStreams: func() int { return 1 }, Operations: func() int { return 4 },
		Marketplace: func() figures.Marketplace { return figures.Marketplace{} },
		Logger:      slog.New(slog.DiscardHandler),
	}
	return h
}

func TestFiguresAreReadOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		r := New(h.Config)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the first caller has gone: others get the figures nevertheless
		var reading sync.WaitGroup
		for range 10 {
			reading.Go(func() {
				if f := r.Read(ctx); f.Unknown != 0 || f.Log == nil || f.Appended != 1 {
					t.Errorf("got %+v", f)
				}
			})
		}
		reading.Wait()
		if h.reads != 2 { // New and one Read
			t.Errorf("it was read %d times", h.reads-1)
		}
		time.Sleep(time.Second) // of the test's own clock
		if f := r.Read(t.Context()); f.Appended != 2 {
			t.Errorf("after a second: got %d", f.Appended)
		}
		if f := r.Fresh(t.Context()); f.Appended != 3 {
			t.Errorf("fresh: got %d", f.Appended)
		}
	})
}

func TestSlowCountOfDeadLettersIsRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, wire.Plugin{Name: "a"})
		h.deadTakes = 200 * time.Millisecond // so 10 s until the next
		r := New(h.Config)
		for range 20 {
			if f := r.Read(t.Context()); f.Handlers[0].Dead != 3 {
				t.Errorf("got %d dead letters", f.Handlers[0].Dead)
			}
			time.Sleep(time.Second) // of the test's own clock
		}
		if h.deadReads != 2 {
			t.Errorf("they were counted %d times in 20 s", h.deadReads)
		}
	})
}

func TestPartsThatFailAreMissing(t *testing.T) {
	h := newHost(t, wire.Plugin{Name: "a", Lag: 5})
	h.failing = errors.New("the disk says no")
	f := New(h.Config).Read(t.Context())
	if f.Unknown != 3 || f.Log != nil || f.Problem != "the disk says no" || f.Handlers[0].Lag != 5 || f.Commits.Failed != 1 || f.Database.Limit != 9 || f.Disk == nil {
		t.Errorf("got %+v", f)
	}
}

func TestVersionsOfOneNameAreOne(t *testing.T) {
	of := func(n int) *histogram.Histogram {
		h := new(histogram.Histogram)
		for range n {
			h.Observe(5)
		}
		return h
	}
	first := figures.Version{SHA256: "a", OK: 1, Failures: map[string]uint64{"trap": 2}, Fuel: of(3), Duration: of(3), Latency: of(1)}
	got := byName([]figures.Version{first, {Version: "1", SHA256: "b", OK: 4},
		{SHA256: "c", OK: 2, Dead: 1, Failures: map[string]uint64{"trap": 1, "fuel": 1}, Fuel: of(4), Duration: of(4)}})
	if len(got) != 2 || got[1].OK != 4 {
		t.Fatalf("got %+v", got)
	}
	one := got[0]
	if one.SHA256 != "c" || one.OK != 3 || one.Dead != 1 || one.Failures["trap"] != 3 || one.Failures["fuel"] != 1 || one.Fuel.Count() != 7 ||
		one.Duration.Sum() != 35 || one.Latency.Count() != 1 {
		t.Errorf("got %+v", one)
	}
	if first.Failures["trap"] != 2 || first.Fuel.Count() != 3 {
		t.Error("the parts were changed")
	}
}

func TestOverviewSortsByUrgency(t *testing.T) {
	h := newHost(t,
		wire.Plugin{Name: "disabled", State: wire.Disabled}, wire.Plugin{Name: "lags", State: wire.Active, Lag: 9},
		wire.Plugin{Name: "fails", State: wire.Active}, wire.Plugin{Name: "broken", State: wire.BreakerOpen},
		wire.Plugin{Name: "fine", State: wire.Active}, wire.Plugin{Name: "a", State: wire.Active},
		wire.Plugin{Name: "asks", State: wire.Active, Pending: &wire.PendingVersion{}}, wire.Plugin{Name: "stuck", State: wire.Stuck},
		wire.Plugin{Name: "waits", State: wire.NeedsApproval}, wire.Plugin{Name: "refused", State: wire.Rejected})
	h.Cluster = func() *figures.Cluster { return &figures.Cluster{Members: 3} }
	v := Views{Reader: New(h.Config), Recorder: series.New(time.Now()), Machine: "m", StartedAt: time.Now()}
	o, err := v.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range o.Handlers {
		names = append(names, s.Plugin)
	}
	want := []string{"stuck", "refused", "broken", "waits", "fails", "a", "lags", "asks", "fine", "disabled"}
	for i, name := range want {
		if i >= len(names) || names[i] != name {
			t.Fatalf("got %v, want %v", names, want)
		}
	}
	if o.Approvals != 2 || o.OpenIssues != 2 || o.DeadLetters != 3 || o.Operations != 4 || !o.Ready || o.MemoryBytes == 0 || o.Disk.TotalBytes == 0 ||
		o.OKShare != 0.25 || o.Host != "m" || o.Hosts != 3 || o.OldestAt == nil || o.OldestAt.Hour() != o.Handlers[5].OldestAt.Hour() {
		t.Errorf("got %+v", o)
	}
}

func TestSeriesHasVersionsOfItsTime(t *testing.T) {
	now := time.Now()
	v := Views{Reader: New(newHost(t).Config), Recorder: series.New(now), Versions: func(_ context.Context, plugin string) ([]wire.VersionMarker, error) {
		return []wire.VersionMarker{{Plugin: plugin, Version: "2", At: now.Add(-time.Minute)}, {Version: "1", At: now.Add(-2 * time.Hour)},
			{Version: "1.5", At: now.Add(-30 * time.Minute)}}, nil
	}}
	for day, want := range map[bool]string{false: "1.5 2 ", true: "1 1.5 2 "} {
		s, err := v.Series(t.Context(), "a", day)
		got := ""
		for _, m := range s.Markers {
			got += m.Version + " "
		}
		if err != nil || got != want {
			t.Errorf("day %v: got %s, %v; want %s", day, got, err, want)
		}
	}
}
