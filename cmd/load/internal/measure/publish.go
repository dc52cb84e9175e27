package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

// publish measures durable events a second, without handlers.
func (s *Suite) publish(ctx context.Context) ([]*report.Table, error) {
	loops := []traffic.Closed{
		{Publishers: 1, Batch: 1},
		{Publishers: 64, Batch: 1},
		{Publishers: 256, Batch: 1},
		{Publishers: 1, Batch: 100},
		{Publishers: 16, Batch: 100},
	}
	rates, costs := make([]report.Series, len(loops)), make([]report.Series, len(loops))
	err := s.repeat("publish", func() error {
		return s.withHost(ctx, target.Setup{}, func(h *target.Host) error {
			for i, loop := range loops {
				loop.Warmup, loop.Window = s.Sizes.Warmup, s.Sizes.Window
				rate, cost, err := closed(ctx, h, loop)
				if err != nil {
					return err
				}
				rates[i], costs[i] = append(rates[i], rate), append(costs[i], cost)
			}
			return nil
		})
	})
	table := &report.Table{
		Title:  "Durable events over HTTP",
		Header: []string{"publishers", "events in a request", "events/s", "processor time of the host, µs an event"},
		Notes: []string{fmt.Sprintf("Closed loop of %v after %v; each publisher waits for its 202, which means flushed to disk. No handlers. "+
			"The generator shares the machine with the host.", s.Sizes.Window, s.Sizes.Warmup)},
	}
	for i, loop := range loops {
		table.Add(loop.Publishers, loop.Batch, rates[i], costs[i])
	}
	return []*report.Table{table}, err
}

// closed runs a closed loop, and returns the events a second and the host's processor time
// for each, in microseconds.
func closed(ctx context.Context, h *target.Host, loop traffic.Closed) (rate, cost float64, err error) {
	var clock stopwatch
	seen, err := loop.Run(ctx, server(h), func() error { return clock.start(h) }, func() error { return clock.stop(h) })
	if err != nil {
		return 0, 0, err
	}
	return report.PerSecond(seen.Events, seen.Elapsed), clock.each(seen.Events), nil
}

// stopwatch measures the time between two moments, and the processor time of the host.
type stopwatch struct {
	began   time.Time
	used    time.Duration
	elapsed time.Duration
	cpu     time.Duration
}

func (w *stopwatch) start(h *target.Host) (err error) {
	w.used, err = h.CPU()
	w.began = time.Now()
	return err
}

func (w *stopwatch) stop(h *target.Host) error {
	w.elapsed = time.Since(w.began)
	used, err := h.CPU()
	w.cpu = used - w.used
	return err
}

// each returns the processor time for each of n, in microseconds.
func (w *stopwatch) each(n int) float64 {
	return float64(w.cpu) / float64(time.Microsecond) / float64(max(1, n))
}
