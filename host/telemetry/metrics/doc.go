// Package metrics answers the figures of a host in the formats of Prometheus. Nothing is
// counted for it when events are delivered: a scrape reads what the parts of the host know
// anyway. The exceptions are Published and Timings, which count here.
//
// Counters start at zero with the host; what is stored, such as the number of dead letters,
// is a gauge. docs/metrics.md lists every metric, and is generated from definitions.go.
//
// A Collector, Published and Timings are safe for concurrent use. Read definitions.go first.
package metrics
