package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/run/measure"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/telemetry/metrics"
	"github.com/berth-host/berth/host/telemetry/series"
	"github.com/berth-host/berth/host/wire"
)

// observers measure the handlers of a fleet as a Host does: events are counted as they are
// published, Prometheus scrapes once a second, the sampler runs once a second instead of every
// ten, and ten consoles ask for the overview every 2 s.
type observers struct {
	scrape    http.Handler
	views     measure.Views
	published *metrics.Published
	log       benchLog
}

func newObservers(b *testing.B, log benchLog, f *fleet) *observers {
	o := &observers{published: metrics.NewPublished(), log: log}
	var plugins []wire.Plugin
	for i := range f.handlers {
		plugins = append(plugins, wire.Plugin{Name: fmt.Sprint("h", i), State: wire.Active})
	}
	none := func() []figures.Timing { return nil }
	reader := measure.New(measure.Config{
		Version: "bench", Engine: "memory", StoreFile: filepath.Join(b.TempDir(), "berth.db"), Ready: func() error { return nil },
		Last: log.Last, Log: log.engine.Status, DeadCounts: log.engine.DeadCounts, Published: o.published.Counts,
		Plugins: func() []wire.Plugin { return plugins }, Handler: f.measure, Vets: none, Loads: none,
		Requests: func() []figures.Requests { return nil }, EventStreams: func() int { return 0 },
		Marketplace: func() figures.Marketplace { return figures.Marketplace{} }, Logger: slog.New(slog.DiscardHandler),
	})
	var err error
	if o.scrape, err = metrics.NewHandler(reader.Read, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	o.views = measure.Views{Reader: reader, Recorder: series.New(time.Now())}
	return o
}

// measure fills in the figures of a handler, as run.Runner does.
func (f *fleet) measure(ctx context.Context, h *figures.Handler) error {
	m := f.dispatcher.Measure(h.Plugin)
	h.Ready = uint64(m.Ready)
	for _, v := range m.Versions {
		one := figures.Version{OK: v.Counts.OK, Dead: v.Counts.Dead, Fuel: &v.Counts.Fuel, Duration: &v.Counts.Duration, Latency: &v.Counts.Latency}
		h.Versions = append(h.Versions, one)
	}
	now, err := f.dispatcher.Figures(ctx, h.Plugin)
	h.Open, h.Lag = now.Open, now.Lag
	return err
}

// run measures until stop is called.
func (o *observers) run(b *testing.B) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	every := func(d time.Duration, do func()) {
		running.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for {
				do()
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	sub := o.log.Bus.Subscribe(o.log.Last() + 1)
	running.Go(func() {
		buf := make([]event.Record, 256)
		for n, err := sub.Next(ctx, buf); err == nil; n, err = sub.Next(ctx, buf) {
			o.published.Note(buf[:n])
		}
	})
	every(time.Second, func() {
		w := httptest.NewRecorder()
		o.scrape.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if w.Code != http.StatusOK {
			b.Errorf("scrape: %d", w.Code)
		}
	})
	every(time.Second, func() { o.views.Recorder.Add(o.views.Reader.Fresh(ctx)) })
	for range 10 {
		every(2*time.Second, func() {
			if _, err := o.views.Overview(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
		sub.Close()
	}
}

// BenchmarkFigures compares the CPU time of deliveries by ten handlers while the host is
// measured with that while it is not, in turns.
func BenchmarkFigures(b *testing.B) {
	const events, rounds = 30_000, 8
	window := benchWindow()
	log := newBenchLog(b, bus.NewMemory(bus.MemoryConfig{Window: window}), window)
	claim(b, log, benchHandlers)
	f := newFleet(b, log, benchGuest(b, "echo"), benchHandlers, 2)
	defer f.stop()
	o := newObservers(b, log, f)
	delivered := uint64(0)
	round := func(measured bool) float64 {
		batch := benchEvents(b, events)
		stop := func() {}
		if measured {
			stop = o.run(b)
		}
		began := cpu(b)
		log.publish(b, batch)
		delivered += events
		f.await(b, delivered)
		took := cpu(b) - began
		stop()
		if _, err := log.engine.Trim(b.Context(), log.Last()); err != nil {
			b.Fatal(err)
		}
		return float64(took.Nanoseconds()) / (events * benchHandlers)
	}
	round(true) // warm up
	for b.Loop() {
		var with, without, ratios []float64
		for i := range rounds {
			first := round(i%2 == 0)
			second := round(i%2 != 0)
			if i%2 != 0 {
				first, second = second, first
			}
			with, without, ratios = append(with, first), append(without, second), append(ratios, first/second)
		}
		b.ReportMetric(middle(with), "ns-cpu/measured")
		b.ReportMetric(middle(without), "ns-cpu/unmeasured")
		b.ReportMetric(middle(ratios), "ratio")
	}
	b.ReportMetric(0, "ns/op")
}
