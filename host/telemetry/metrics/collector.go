package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/telemetry/figures"
)

// kind is the type of a metric.
type kind string

const (
	counter    kind = "counter"
	gauge      kind = "gauge"
	histograms kind = "histogram"
)

// definition is one metric, and how it is read from the figures of a host.
type definition struct {
	name   string
	kind   kind
	help   string
	labels []string
	read   func(*figures.Host, emitter)
}

// Metric describes one metric for the documentation.
type Metric struct {
	Name, Type, Help string
	Labels           []string
}

// List returns every metric of the host, without those of the Go runtime and the process.
func List() (list []Metric) {
	for _, d := range definitions() {
		list = append(list, Metric{Name: d.name, Type: string(d.kind), Help: d.help, Labels: d.labels})
	}
	return list
}

// Collector implements prometheus.Collector: each scrape reads the figures once.
type Collector struct {
	read        func(context.Context) figures.Host
	definitions []definition
	descs       []*prometheus.Desc
}

// NewCollector returns a collector of what read returns. read must be safe for concurrent
// use.
func NewCollector(read func(context.Context) figures.Host) *Collector {
	c := &Collector{read: read, definitions: definitions()}
	for _, d := range c.definitions {
		c.descs = append(c.descs, prometheus.NewDesc(d.name, d.help, d.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	f := c.read(ctx)
	for i, d := range c.definitions {
		d.read(&f, emitter{ch: ch, desc: c.descs[i], counts: d.kind == counter})
	}
}

const (
	readTimeout = 5 * time.Second
	maxScrapes  = 4 // at once
)

// NewHandler returns the handler of GET /metrics: the figures that read returns, those of
// the Go runtime and those of the process, in the format that the request accepts. More
// than four scrapes at once get 503.
func NewHandler(read func(context.Context) figures.Host, logger *slog.Logger) (http.Handler, error) {
	registry := prometheus.NewPedanticRegistry()
	for _, c := range []prometheus.Collector{NewCollector(read), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, fault.New(fault.Internal, "register the metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	}), nil
}

// emitter emits the values of one metric.
type emitter struct {
	ch     chan<- prometheus.Metric
	desc   *prometheus.Desc
	counts bool // it is a counter
}

// value emits a value with the values of its labels.
func (e emitter) value(v float64, labels ...string) {
	kind := prometheus.GaugeValue
	if e.counts {
		kind = prometheus.CounterValue
	}
	e.send(prometheus.NewConstMetric(e.desc, kind, v, labels...))
}

// send emits a metric, or the reason why there is none.
func (e emitter) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(e.desc, err)
	}
	e.ch <- m
}

// flag emits 1 for true and 0 for false.
func (e emitter) flag(on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	e.value(v, labels...)
}

// timestamp emits a time; nothing for the zero time.
func (e emitter) timestamp(t time.Time, labels ...string) {
	if !t.IsZero() {
		e.value(unixSeconds(t), labels...)
	}
}

// durations emits a distribution of nanoseconds in seconds, with buckets from 10 µs to a
// minute.
func (e emitter) durations(h *histogram.Histogram, labels ...string) {
	e.distribution(h, float64(time.Second), []float64{1e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60}, labels)
}

// latencies is durations with buckets from 100 µs to an hour.
func (e emitter) latencies(h *histogram.Histogram, labels ...string) {
	e.distribution(h, float64(time.Second), []float64{1e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3600}, labels)
}

func (e emitter) fuel(h *histogram.Histogram, labels ...string) {
	e.distribution(h, 1, []float64{1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}, labels)
}

// sizes emits a distribution of numbers of things.
func (e emitter) sizes(h *histogram.Histogram, labels ...string) {
	e.distribution(h, 1, []float64{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}, labels)
}

func (e emitter) timings(list []figures.Timing) {
	for i := range list {
		e.durations(&list[i].Duration, list[i].Result)
	}
}

// distribution emits a histogram whose values are divided by unit. The counts of a bucket
// are exact where a bound is one of package histogram, and otherwise off by an eighth of the values near
// the bound at most.
func (e emitter) distribution(h *histogram.Histogram, unit float64, bounds []float64, labels []string) {
	if h == nil {
		h = new(histogram.Histogram)
	}
	buckets := make(map[float64]uint64, len(bounds))
	for _, bound := range bounds {
		buckets[bound] = h.Below(uint64(bound*unit + 0.5))
	}
	e.send(prometheus.NewConstHistogram(e.desc, h.Count(), float64(h.Sum())/unit, buckets, labels...))
}
