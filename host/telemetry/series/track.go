package series

import (
	"math"
	"time"

	"github.com/berth-host/berth/host/histogram"
)

// The series, by column. Those from hostColumns on are of the host only.
const (
	deliveriesPerS = iota
	failedPerS
	okShare
	latencyP50
	latencyP99
	durationP50
	durationP99
	fuelPerEvent
	oldest
	lag
	instances
	memoryBytes
	eventsPerS
	cpuShare
	storeBytes
	columnCount

	hostColumns = eventsPerS
)

// names are the names of the series in the API, by column.
func names() [columnCount]string {
	return [columnCount]string{
		deliveriesPerS: "deliveries_per_s",
		failedPerS:     "failed_per_s",
		okShare:        "ok_share",
		latencyP50:     "latency_p50_ms",
		latencyP99:     "latency_p99_ms",
		durationP50:    "duration_p50_ms",
		durationP99:    "duration_p99_ms",
		fuelPerEvent:   "fuel_per_event",
		oldest:         "oldest_s",
		lag:            "lag",
		instances:      "instances",
		memoryBytes:    "memory_bytes",
		eventsPerS:     "events_per_s",
		cpuShare:       "cpu_share",
		storeBytes:     "store_bytes",
	}
}

// sample are the figures of the host or of a handler at one moment.
type sample struct {
	at                time.Time
	events            uint64 // appended to the log
	ended, ok, failed uint64 // deliveries that ended; attempts that succeeded, that failed
	fuel              uint64
	cpu               time.Duration
	processors        int
	duration, latency *histogram.Histogram // not changed after they are taken

	oldest, lag, instances, memory, store float64
}

// attempts returns the number of completed attempts.
func (s *sample) attempts() uint64 { return s.ok + s.failed }

// since returns what happened between two samples. Counters that are lower than before
// began anew, with the handler.
func (s *sample) since(before *sample) change {
	if s.ended < before.ended || s.attempts() < before.attempts() || s.fuel < before.fuel {
		before = &sample{at: before.at, events: before.events, cpu: before.cpu}
	}
	c := change{took: s.at.Sub(before.at), events: s.events - min(before.events, s.events), ended: s.ended - before.ended,
		ok: s.ok - min(before.ok, s.ok), failed: s.failed - min(before.failed, s.failed), fuel: s.fuel - before.fuel, cpu: s.cpu - before.cpu}
	c.duration, c.latency = between(s.duration, before.duration), between(s.latency, before.latency)
	return c
}

func between(now, before *histogram.Histogram) *histogram.Histogram {
	switch {
	case now == nil || now == before:
		return nil
	case before == nil:
		return now
	case now.Count() < before.Count():
		return now
	}
	d := now.Since(before)
	return &d
}

// change is what happened between two samples.
type change struct {
	took                      time.Duration
	events, ended, ok, failed uint64
	fuel                      uint64
	cpu                       time.Duration
	duration, latency         *histogram.Histogram // nil: none
}

// perS returns a rate; 0 for no time.
func (c *change) perS(n uint64) float64 {
	if c.took <= 0 {
		return 0
	}
	return float64(n) / c.took.Seconds()
}

// share returns a part of the attempts; unknown without any.
func (c *change) share(n uint64) float64 {
	return ratio(float64(n), float64(c.ok+c.failed))
}

// ratio is NaN where there is nothing to measure.
func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// quantileMS returns a quantile of nanoseconds in milliseconds; unknown without values.
func quantileMS(h *histogram.Histogram, q float64) float64 {
	if h == nil || h.Count() == 0 {
		return math.NaN()
	}
	return h.Quantile(q) / float64(time.Millisecond)
}

// values returns a step's values: those of the change up to s, and s itself.
func (c *change) values(s *sample) []float32 {
	v := [columnCount]float64{
		deliveriesPerS: c.perS(c.ended),
		failedPerS:     c.perS(c.failed),
		okShare:        c.share(c.ok),
		latencyP50:     quantileMS(c.latency, 0.5),
		latencyP99:     quantileMS(c.latency, 0.99),
		durationP50:    quantileMS(c.duration, 0.5),
		durationP99:    quantileMS(c.duration, 0.99),
		fuelPerEvent:   ratio(float64(c.fuel), float64(c.ok+c.failed)),
		oldest:         s.oldest,
		lag:            s.lag,
		instances:      s.instances,
		memoryBytes:    s.memory,
		eventsPerS:     c.perS(c.events),
		cpuShare:       ratio(c.cpu.Seconds(), c.took.Seconds()*float64(s.processors)),
		storeBytes:     s.store,
	}
	list := make([]float32, columnCount)
	for i, x := range v {
		list[i] = float32(x)
	}
	return list
}

// The lengths of the steps, and for how long their values are kept.
const (
	fineStep    = 10 * time.Second
	fineSlots   = int64(time.Hour / fineStep)
	coarseStep  = time.Minute
	coarseSlots = int64(24 * time.Hour / coarseStep)

	hourSamples = 4 // with which the last hour is measured: it is 45 to 60 minutes
)

// track are the series of the host or of one handler.
type track struct {
	fine, coarse *ring
	last         sample     // the newest one
	minute       sample     // at the end of the newest step of a minute
	before       sample     // at the end of the one before
	peaks        [2]float64 // of oldest and lag since then
	recent       []sample   // of the last minute, oldest first, without distributions
	hour         []sample   // of the last hour, oldest first
}

func newTrack(columns int, start sample) *track {
	return &track{fine: newRing(columns, fineSlots), coarse: newRing(columns, coarseSlots),
		last: start, minute: start, before: start, recent: []sample{start.counters()}, hour: []sample{start}}
}

// counters returns a sample without its distributions, which are large.
func (s sample) counters() sample {
	s.duration, s.latency = nil, nil
	return s
}

// add records a sample.
func (t *track) add(s sample) {
	s.duration, s.latency = shared(s.duration, t.last.duration), shared(s.latency, t.last.latency)
	step := stepOf(s.at, fineStep)
	c := s.since(&t.last)
	t.fine.add(step, c.values(&s))
	t.peaks = [2]float64{max(t.peaks[0], s.oldest), max(t.peaks[1], s.lag)}
	if minute := stepOf(s.at, coarseStep); minute > stepOf(t.minute.at, coarseStep) {
		c := s.since(&t.minute)
		peak := s
		peak.oldest, peak.lag = t.peaks[0], t.peaks[1]
		t.coarse.add(minute, c.values(&peak))
		t.before, t.minute, t.peaks = t.minute, s, [2]float64{}
	}
	t.last = s
	t.recent = append(t.recent, s.counters())
	for len(t.recent) > 2 && s.at.Sub(t.recent[1].at) >= time.Minute {
		t.recent = t.recent[1:]
	}
	if s.at.Sub(t.hour[len(t.hour)-1].at) >= time.Hour/hourSamples {
		t.hour = append(t.hour, s)
	}
	for len(t.hour) > 1 && s.at.Sub(t.hour[0].at) > time.Hour {
		t.hour = t.hour[1:]
	}
}

// shared returns the former distribution if no value was added to it since, so that idle
// handlers have one.
func shared(now, former *histogram.Histogram) *histogram.Histogram {
	if now != nil && former != nil && now.Count() == former.Count() {
		return former
	}
	return now
}

// stepOf returns the newest step that had ended at a time.
func stepOf(at time.Time, step time.Duration) int64 { return at.Unix()/int64(step/time.Second) - 1 }
