package series

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/wire"
)

// noon is the beginning of a step of every length.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// distribution has n values.
func distribution(n int, value time.Duration) *histogram.Histogram {
	h := new(histogram.Histogram)
	for range n {
		h.Observe(uint64(value))
	}
	return h
}

// work are the figures of a host whose one handler has ended ok deliveries and had failed
// attempts of 4 ms.
func work(at time.Time, ok, failed int) figures.Host {
	return figures.Host{At: at, Appended: uint64(ok), CPU: time.Duration(ok) * time.Millisecond, Processors: 2, MemoryBytes: 1 << 20,
		Files: figures.Files{Data: 1000, WAL: 24},
		Handlers: []figures.Handler{{Plugin: "a", Lag: uint64(failed), OldestAt: at.Add(-3 * time.Second), Instances: 2, MemoryBytes: 4096,
			Versions: []figures.Version{{OK: uint64(ok), Failures: map[string]uint64{"trap": uint64(failed)}, Fuel: distribution(ok+failed, 100),
				Duration: distribution(ok+failed, 4*time.Millisecond), Latency: distribution(ok, 20*time.Millisecond)}}}}}
}

// at returns the value of a step, NaN for null.
func at(s wire.Series, name string, step time.Time) float64 {
	i := int(step.Sub(s.Start) / time.Second / time.Duration(s.StepS))
	list := s.Values[name]
	if i < 0 || i >= len(list) || list[i] == nil {
		return math.NaN()
	}
	return *list[i]
}

func same(got, want float64) bool {
	return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= math.Abs(want)/7 // as exact as a distribution
}

func TestStepsHaveRatesAndQuantiles(t *testing.T) {
	r := New(noon())
	r.Add(work(noon().Add(10*time.Second), 30, 10))
	r.Add(work(noon().Add(20*time.Second), 30, 10)) // nothing happened
	for _, tt := range []struct {
		plugin, name string
		first, idle  float64
	}{
		{"a", "deliveries_per_s", 3, 0},
		{"a", "failed_per_s", 1, 0},
		{"a", "ok_share", 0.75, math.NaN()},
		{"a", "duration_p50_ms", 4, math.NaN()},
		{"a", "latency_p99_ms", 20, math.NaN()},
		{"a", "fuel_per_event", 100, math.NaN()},
		{"a", "oldest_s", 3, 3},
		{"a", "lag", 10, 10},
		{"a", "instances", 2, 2},
		{"a", "memory_bytes", 4096, 4096},
		{"a", "events_per_s", math.NaN(), math.NaN()},
		{"", "events_per_s", 3, 0},
		{"", "deliveries_per_s", 3, 0},
		{"", "cpu_share", 0.03 / 20, 0},
		{"", "store_bytes", 1024, 1024},
		{"", "memory_bytes", 1 << 20, 1 << 20},
		{"", "latency_p50_ms", 20, math.NaN()},
		{"other", "lag", math.NaN(), math.NaN()},
	} {
		s := r.Series(tt.plugin, false, noon().Add(25*time.Second))
		if got := at(s, tt.name, noon()); !same(got, tt.first) {
			t.Errorf("%q %s: got %g, want %g", tt.plugin, tt.name, got, tt.first)
		}
		if got := at(s, tt.name, noon().Add(10*time.Second)); !same(got, tt.idle) {
			t.Errorf("%q %s without work: got %g, want %g", tt.plugin, tt.name, got, tt.idle)
		}
		for _, outside := range []time.Duration{-10 * time.Second, 20 * time.Second} {
			if got := at(s, tt.name, noon().Add(outside)); !math.IsNaN(got) {
				t.Errorf("%q %s at %v: got %g, want null", tt.plugin, tt.name, outside, got)
			}
		}
		if len(s.Values["lag"]) != 360 || s.StepS != 10 {
			t.Errorf("got %d steps of %d s", len(s.Values["lag"]), s.StepS)
		}
	}
}

func TestDayHasMinutesWithTheirPeaks(t *testing.T) {
	r := New(noon().Add(-30 * time.Second))
	lag := []int{1, 2, 3, 9, 4, 5, 6, 1, 2, 1}
	for i, n := range lag {
		r.Add(work(noon().Add(time.Duration(i-2)*10*time.Second), 100*(i+1), n))
	}
	s := r.Series("a", true, noon().Add(2*time.Minute))
	if len(s.Values["lag"]) != 1440 || s.StepS != 60 {
		t.Errorf("got %d steps of %d s", len(s.Values["lag"]), s.StepS)
	}
	if got := at(s, "lag", noon()); got != 9 {
		t.Errorf("lag: got %g, want 9", got)
	}
	if got := at(s, "deliveries_per_s", noon()); !same(got, 10) {
		t.Errorf("deliveries: got %g, want 10", got)
	}
	if got := at(s, "lag", noon().Add(-time.Minute)); got != 3 {
		t.Errorf("lag of the first part of a minute: got %g, want 3", got)
	}
	if got := at(s, "lag", noon().Add(time.Minute)); !math.IsNaN(got) {
		t.Errorf("lag of a minute that has not ended: got %g", got)
	}
}

func TestStepsWithoutSampleAreNull(t *testing.T) {
	r := New(noon())
	r.Add(work(noon().Add(10*time.Second), 10, 0))
	r.Add(work(noon().Add(50*time.Second), 50, 0)) // the machine slept
	s := r.Series("", false, noon().Add(time.Minute))
	for i, want := range []float64{1, math.NaN(), math.NaN(), math.NaN(), 1} {
		if got := at(s, "events_per_s", noon().Add(time.Duration(i)*10*time.Second)); !same(got, want) {
			t.Errorf("step %d: got %g, want %g", i, got, want)
		}
	}
}

func TestHandlerThatBeginsAnewHasNoNegativeRate(t *testing.T) {
	r := New(noon())
	r.Add(work(noon().Add(10*time.Second), 100, 5))
	r.Add(work(noon().Add(20*time.Second), 20, 0)) // uninstalled, and installed again
	s := r.Series("a", false, noon().Add(20*time.Second))
	if got := at(s, "deliveries_per_s", noon().Add(10*time.Second)); got != 2 {
		t.Errorf("got %g, want 2", got)
	}
	host, handlers := r.Recent(work(noon().Add(25*time.Second), 20, 0))
	if host.DeliveriesPerS < 0 || handlers["a"].AttemptsPerS < 0 || handlers["a"].FailedShare < 0 {
		t.Errorf("got %+v, %+v", host, handlers)
	}
}

func TestRecentIsOfTheLastMinuteAndHour(t *testing.T) {
	r := New(noon())
	for i := 1; i <= 12; i++ { // 10 a second for a minute, then 1 a second, of which a half fails
		ok, failed := 100*i, 0
		if i > 6 {
			ok, failed = 600+5*(i-6), 5*(i-6)
		}
		r.Add(work(noon().Add(time.Duration(i)*10*time.Second), ok, failed))
	}
	host, handlers := r.Recent(work(noon().Add(2*time.Minute), 630, 30))
	a := handlers["a"]
	if !same(host.DeliveriesPerS, 0.5) || !same(host.EventsPerS, 0.5) || !same(a.AttemptsPerS, 1) {
		t.Errorf("got %g deliveries/s, %g events/s, %g attempts/s", host.DeliveriesPerS, host.EventsPerS, a.AttemptsPerS)
	}
	if !same(a.FailedShare, 30.0/660) || !same(host.OKShare, 630.0/660) || !same(a.Duration.P99MS, 4) || !same(host.Latency.P50MS, 20) ||
		!same(a.FuelPerEvent, 100) {
		t.Errorf("got %+v, %+v", host, a)
	}
	empty, _ := New(noon()).Recent(figures.Host{At: noon().Add(time.Second)})
	if empty != (Recent{OKShare: 1}) {
		t.Errorf("without attempts: got %+v", empty)
	}
	fresh, all := New(noon()).Recent(work(noon().Add(10*time.Second), 30, 10)) // before the first sample
	if !same(fresh.DeliveriesPerS, 3) || !same(all["a"].FailedShare, 0.25) {
		t.Errorf("before the first sample: got %+v, %+v", fresh, all["a"])
	}
}

func TestHandlersAreBounded(t *testing.T) {
	r := New(noon())
	host := func(second, from, to int) figures.Host {
		f := figures.Host{At: noon().Add(time.Duration(second) * time.Second)}
		for i := from; i < to; i++ {
			f.Handlers = append(f.Handlers, figures.Handler{Plugin: fmt.Sprintf("h%04d", i), Lag: 1})
		}
		return f
	}
	r.Add(host(10, 0, MaxHandlers+2))
	if len(r.handlers) != MaxHandlers {
		t.Fatalf("got %d handlers", len(r.handlers))
	}
	r.Add(host(20, 1, MaxHandlers+2)) // the first was uninstalled
	if len(r.handlers) != MaxHandlers || r.handlers["h0000"] != nil {
		t.Errorf("got %d handlers", len(r.handlers))
	}
}

func TestIdleHandlersNeedLittleMemory(t *testing.T) {
	r := New(noon())
	f := work(noon(), 5, 1)
	for i := 1; i <= 1000; i++ {
		f.At = f.At.Add(10 * time.Second)
		f.Handlers[0].OldestAt = time.Time{}
		r.Add(f)
	}
	tr := r.handlers["a"]
	for _, ring := range []*ring{tr.fine, tr.coarse} {
		allocated := 0
		for _, column := range ring.columns {
			for i := range column {
				if column[i].all != nil {
					allocated++
				}
			}
		}
		if allocated > 2*hostColumns { // where the work was, and where there was none yet
			t.Errorf("%d blocks are allocated", allocated)
		}
	}
	for _, s := range append(tr.hour[1:], tr.minute, tr.before) {
		if s.duration != tr.last.duration {
			t.Error("a distribution is stored twice")
		}
	}
}

// A ring is a map of steps in which only the newest are.
func TestRingIsMapOfNewestSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const slots = 120
		r := newRing(2, slots)
		model := map[int64]float32{}
		step, newest := rapid.Int64Range(1, 1000).Draw(t, "first"), int64(0)
		for range rapid.IntRange(1, 400).Draw(t, "samples") {
			v := rapid.SampledFrom([]float32{0, 0, 0, 1, 2.5}).Draw(t, "value")
			r.add(step, []float32{v, -v})
			if step > newest || step < newest-slots {
				if step < newest {
					clear(model)
				}
				model[step], newest = v, step
			}
			step += rapid.SampledFrom([]int64{1, 1, 1, 1, 1, 1, 2, 61, 0, -1, 150, -300}).Draw(t, "steps later")
			step = max(step, 1)
		}
		for s := newest - 2*slots; s < newest+3; s++ {
			want, found := model[s]
			if !found || s <= newest-slots {
				want = float32(math.NaN())
			}
			if got := r.get(0, s); !same(float64(got), float64(want)) {
				t.Fatalf("step %d: got %v, want %v (newest %d)", s, got, want, newest)
			}
			if got := r.get(1, s); !same(float64(got), float64(-want)) {
				t.Fatalf("second column, step %d: got %v, want %v", s, got, -want)
			}
		}
	})
}

func TestRunSamplesAtTheEndOfEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		var read []time.Time
		go r.Run(ctx, func(context.Context) figures.Host {
			read = append(read, time.Now())
			return work(time.Now(), 10*len(read), 0)
		})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		time.Sleep(28 * time.Second)
		cancel()
		synctest.Wait()
		if len(read) != 3 || read[0] != read[0].Truncate(10*time.Second) {
			t.Errorf("read at %v", read)
		}
		s := r.Series("", false, time.Now())
		for i := range 3 {
			if got := at(s, "events_per_s", read[0].Add(time.Duration(i-1)*10*time.Second)); !same(got, 1) {
				t.Errorf("step %d: got %g, want 1", i, got)
			}
		}
	})
}
