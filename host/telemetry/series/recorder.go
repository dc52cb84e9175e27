package series

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/wire"
)

// MaxHandlers bounds the handlers whose series are recorded.
const MaxHandlers = 1000

// Recorder keeps the series of the host and of its handlers. It is safe for concurrent use.
type Recorder struct {
	mu       sync.Mutex
	host     *track
	handlers map[string]*track
}

// New returns a recorder of a host that starts now: all counters are zero.
func New(now time.Time) *Recorder {
	return &Recorder{host: newTrack(columnCount, sample{at: now}), handlers: make(map[string]*track)}
}

// Run records what read returns at the end of each step of 10 s, until ctx ends.
func (r *Recorder) Run(ctx context.Context, read func(context.Context) figures.Host) {
	for {
		now := time.Now()
		timer := time.NewTimer(now.Truncate(fineStep).Add(fineStep).Sub(now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		r.Add(read(ctx))
	}
}

// Add records the figures of one moment. The caller does not change them afterwards.
func (r *Recorder) Add(f figures.Host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	host := sample{at: f.At, events: f.Appended, cpu: f.CPU, processors: f.Processors, memory: float64(f.MemoryBytes),
		store: float64(f.Files.Data + f.Files.WAL)}
	for i := range f.Handlers {
		h := &f.Handlers[i]
		s := handlerSample(f.At, h)
		host.add(s)
		if t := r.track(h.Plugin, f); t != nil {
			t.add(s)
		}
	}
	r.host.add(host)
}

// track returns the track of a handler, nil beyond MaxHandlers.
func (r *Recorder) track(name string, f figures.Host) *track {
	t := r.handlers[name]
	if t != nil {
		return t
	}
	if len(r.handlers) >= MaxHandlers && !r.evict(f) {
		return nil
	}
	t = newTrack(hostColumns, sample{at: r.host.last.at})
	r.handlers[name] = t
	return t
}

// evict removes the handler that was recorded last the longest ago, unless all exist.
func (r *Recorder) evict(f figures.Host) bool {
	present := make(map[string]bool, len(f.Handlers))
	for i := range f.Handlers {
		present[f.Handlers[i].Plugin] = true
	}
	oldest := ""
	for name, t := range r.handlers {
		if !present[name] && (oldest == "" || t.last.at.Before(r.handlers[oldest].last.at)) {
			oldest = name
		}
	}
	delete(r.handlers, oldest)
	return oldest != ""
}

// handlerSample returns a handler's sample: its versions together.
func handlerSample(at time.Time, h *figures.Handler) sample {
	s := sample{at: at, lag: float64(h.Lag), instances: float64(h.Instances), memory: float64(h.MemoryBytes)}
	if !h.OldestAt.IsZero() {
		s.oldest = max(0, at.Sub(h.OldestAt).Seconds())
	}
	for i := range h.Versions {
		v := &h.Versions[i]
		failed := v.Failed()
		s.ended += v.OK + v.Dead
		s.ok += v.OK
		s.failed += failed
		if v.Fuel != nil {
			s.fuel += v.Fuel.Sum()
		}
		s.duration, s.latency = sum(s.duration, v.Duration), sum(s.latency, v.Latency)
	}
	return s
}

// sum returns a distribution of the values of both, and changes neither.
func sum(a, b *histogram.Histogram) *histogram.Histogram {
	switch {
	case b == nil || b.Count() == 0:
		return a
	case a == nil:
		return b
	}
	both := *a
	both.Add(b)
	return &both
}

// add adds a handler to the sample of the host. Its oldest event is that of all handlers.
func (s *sample) add(h sample) {
	s.ended, s.ok, s.failed, s.fuel = s.ended+h.ended, s.ok+h.ok, s.failed+h.failed, s.fuel+h.fuel
	s.duration, s.latency = sum(s.duration, h.duration), sum(s.latency, h.latency)
	s.oldest, s.lag, s.instances = max(s.oldest, h.oldest), s.lag+h.lag, s.instances+h.instances
}

// Series returns the series of a plugin, or of the host for "", up to now: of the last hour
// in steps of 10 s or, if day is set, of the last 24 hours in steps of a minute. A
// plugin that was not recorded has no value at any time. It has no markers.
func (r *Recorder) Series(plugin string, day bool, now time.Time) wire.Series {
	step, slots := fineStep, fineSlots
	if day {
		step, slots = coarseStep, coarseSlots
	}
	first := stepOf(now, step) - slots + 1
	s := wire.Series{Plugin: plugin, Start: time.Unix(first*int64(step/time.Second), 0).UTC(), StepS: int(step / time.Second),
		Values: make(map[string][]*float64), Markers: []wire.VersionMarker{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, columns := r.host, columnCount
	if plugin != "" {
		t, columns = r.handlers[plugin], hostColumns
	}
	for column, name := range names() {
		if column == columns {
			break
		}
		list := make([]*float64, slots)
		if t != nil {
			t.copy(list, column, first, day)
		}
		s.Values[name] = list
	}
	return s
}

// copy copies the values of a column from a step on.
func (t *track) copy(list []*float64, column int, first int64, day bool) {
	ring := t.fine
	if day {
		ring = t.coarse
	}
	values := make([]float64, len(list))
	for i := range list {
		if v := float64(ring.get(column, first+int64(i))); !math.IsNaN(v) {
			values[i], list[i] = v, &values[i]
		}
	}
}

// Recent are the figures of a handler, or of the host, lately. Rates are of the last
// minute; shares and Duration of the last 45 to 60 minutes; Latency is of the last minute or two.
// All are since the start where that is later.
type Recent struct {
	EventsPerS, DeliveriesPerS, AttemptsPerS float64
	OKShare, FailedShare                     float64 // of the attempts; 1 and 0 without any
	FuelPerEvent                             float64 // 0 without attempts
	Duration, Latency                        Quantiles
}

// Quantiles are quantiles in milliseconds, 0 without values.
type Quantiles struct{ P50MS, P99MS float64 }

// Recent returns the recent figures of the host and of each handler up to f, which is read after all
// that were added.
func (r *Recorder) Recent(f figures.Host) (host Recent, handlers map[string]Recent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := sample{at: f.At, events: f.Appended}
	handlers = make(map[string]Recent, len(f.Handlers))
	for i := range f.Handlers {
		h := &f.Handlers[i]
		s := handlerSample(f.At, h)
		total.add(s)
		t := r.handlers[h.Plugin]
		if t == nil {
			start := sample{at: r.host.last.at}
			t = &track{recent: []sample{start}, hour: []sample{start}, before: start}
		}
		handlers[h.Plugin] = t.until(s)
	}
	return r.host.until(total), handlers
}

// until returns the recent figures up to a sample.
func (t *track) until(s sample) Recent {
	minute, hour, latency := s.counters(), s.since(&t.hour[0]), s.since(&t.before)
	c := minute.since(&t.recent[0])
	return Recent{
		EventsPerS: c.perS(c.events), DeliveriesPerS: c.perS(c.ended), AttemptsPerS: c.perS(c.ok + c.failed),
		OKShare: orElse(hour.share(hour.ok), 1), FailedShare: orElse(hour.share(hour.failed), 0),
		FuelPerEvent: orElse(ratio(float64(hour.fuel), float64(hour.ok+hour.failed)), 0),
		Duration:     quantiles(hour.duration), Latency: quantiles(latency.latency),
	}
}

func quantiles(h *histogram.Histogram) Quantiles {
	return Quantiles{orElse(quantileMS(h, 0.5), 0), orElse(quantileMS(h, 0.99), 0)}
}

// orElse returns v, or another value where v is not known.
func orElse(v, other float64) float64 {
	if math.IsNaN(v) {
		return other
	}
	return v
}
