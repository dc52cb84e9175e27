package run

import (
	"context"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/telemetry/figures"
)

// MeanDuration returns the mean duration of a handler's attempts since the host started, and
// false without any.
func (r *Runner) MeanDuration(handler string) (time.Duration, bool) {
	var all histogram.Histogram
	for _, of := range r.Dispatcher.Measure(handler).Versions {
		all.Add(&of.Counts.Duration)
	}
	count := all.Count()
	if count == 0 {
		return 0, false
	}
	return time.Duration(all.Sum() / count), true
}

// Figures fills in what the queue, the instances and the attempts of a handler know.
func (r *Runner) Figures(ctx context.Context, h *figures.Handler) error {
	h.MemoryBytes = uint64(max(0, r.live.memory(h.Plugin)))
	m := r.Dispatcher.Measure(h.Plugin)
	h.Ready = uint64(m.Ready)
	for _, of := range m.Versions {
		c := &of.Counts
		v := figures.Version{Version: r.Versions.Of(h.Plugin, of.SHA256), SHA256: of.SHA256, OK: c.OK, Dead: c.Dead, Conflicts: c.Conflicts,
			Failures: make(map[string]uint64, len(c.Failures)), Fuel: &c.Fuel, Duration: &c.Duration, Latency: &c.Latency}
		for class, n := range c.Failures {
			v.Failures[string(class)] = n
		}
		h.Versions = append(h.Versions, v)
	}
	f, err := r.figures(ctx, h.Plugin)
	h.Open = f.Open
	if err != nil || f.Lag == 0 {
		return err
	}
	oldest, err := r.Read(ctx, f.Oldest, 1)
	var bad *event.Unreadable
	if errors.As(err, &bad) { // the time of an unreadable event is unknown
		return nil
	}
	if len(oldest) > 0 {
		h.OldestAt = oldest[0].Event.Start()
	}
	return err
}
