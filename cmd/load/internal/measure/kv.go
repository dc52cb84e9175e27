package measure

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

// kvInstances are the numbers of instances.
var kvInstances = [...]int{1, 4, 32}

const kvSubjects = 256

// kv measures a handler that gets and compares-and-swaps a key for each event, by its number
// of instances.
func (s *Suite) kv(ctx context.Context) ([]*report.Table, error) {
	table := &report.Table{
		Title:  "kv",
		Header: []string{"instances", "events/s", "processor time of the host, µs an event", "results shown, %"},
		Notes: []string{fmt.Sprintf("A backlog of %s events of %d subjects; each event is one get and one compare-and-swap of its subject's key. "+
			"The results, which count the subject's events, are right.", report.Figure(float64(s.Sizes.KV)), kvSubjects)},
	}
	lines := make([]swaps, len(kvInstances))
	err := s.repeat("kv", func() error {
		for i, n := range kvInstances {
			if err := s.swap(ctx, n, &lines[i]); err != nil {
				return fmt.Errorf("%d instances: %w", n, err)
			}
		}
		return nil
	})
	for i, line := range lines {
		table.Add(kvInstances[i], line.rate, line.cost, line.shown)
	}
	return []*report.Table{table}, err
}

// swaps are the figures for one number of instances.
type swaps struct{ rate, cost, shown report.Series }

// swap delivers one backlog.
func (s *Suite) swap(ctx context.Context, instances int, line *swaps) error {
	handlers := []target.Handler{{Name: "h000", Guest: "kv_subjects", Concurrency: instances, KV: true}}
	event := func(n int) traffic.Event { return traffic.Event{Number: n, Subject: n % kvSubjects, Keyed: true} }
	return s.withHost(ctx, target.Setup{Handlers: handlers, Paused: true}, func(h *target.Host) error {
		if err := traffic.Fill(ctx, server(h), 0, s.Sizes.KV, fillBatch, event); err != nil {
			return err
		}
		var clock stopwatch
		if err := clock.start(h); err != nil {
			return err
		}
		if err := h.Reconfigure(ctx, target.Setup{Handlers: handlers}); err != nil {
			return err
		}
		if err := h.API.AwaitDelivered(ctx, 1); err != nil {
			return err
		}
		if err := clock.stop(h); err != nil {
			return err
		}
		percent, err := s.shown(ctx, h, s.Sizes.KV, 1, func(n int) string { return fmt.Sprintf(`{"count":%d}`, n/kvSubjects+1) })
		line.rate = append(line.rate, report.PerSecond(s.Sizes.KV, clock.elapsed))
		line.cost = append(line.cost, clock.each(s.Sizes.KV))
		line.shown = append(line.shown, percent)
		return err
	})
}
