package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

// quantiles are those of the tables: p50, p99, p999.
var quantiles = [...]float64{0.5, 0.99, 0.999}

// loaded are the latencies at one share of the maximum, in milliseconds.
type loaded struct {
	share              float64
	rate               report.Series
	answered, outcomes [len(quantiles)]report.Series
	late               report.Series // p99 of the generator
}

// latency measures the times to the answer and to the outcome, with one handler, at shares of
// the maximum of a closed loop.
func (s *Suite) latency(ctx context.Context) ([]*report.Table, error) {
	levels := []*loaded{{share: 0.1}, {share: 0.5}, {share: 0.8}}
	var maximum report.Series
	err := s.repeat("latency", func() error {
		return s.withHost(ctx, target.Setup{Handlers: target.Handlers(1, "parse_echo")}, func(h *target.Host) error {
			rate, _, err := closed(ctx, h, traffic.Closed{Publishers: s.Sizes.Publishers, Batch: 1, Warmup: s.Sizes.Warmup, Window: s.Sizes.Window})
			if err != nil {
				return err
			}
			maximum = append(maximum, rate)
			first := 0
			for _, l := range levels {
				if err := h.API.AwaitDelivered(ctx, 1); err != nil {
					return err
				}
				n, err := s.latencyAt(ctx, h, l, rate*l.share, first)
				if err != nil {
					return fmt.Errorf("at %.0f %%: %w", 100*l.share, err)
				}
				first += n
			}
			return nil
		})
	})
	table := &report.Table{
		Title: "Latency",
		Header: []string{"load, % of the maximum", "events/s", "202: p50, ms", "p99", "p999", "outcome: p50, ms", "p99", "p999",
			"generator late by, p99, ms"},
		Notes: []string{
			fmt.Sprintf("The maximum, of a closed loop of %d publishers with one handler, was %v events/s.", s.Sizes.Publishers, maximum),
			fmt.Sprintf("Open loop of %v: requests are sent at arrival times drawn beforehand (Poisson), and a time counts from the arrival, "+
				"however late the request went out: no coordinated omission. The generator's own lateness is within the figures.", s.Sizes.OpenWindow),
			fmt.Sprintf("Outcome: until the handler's outcome, for %d events of each run. Medians of the runs' quantiles.", s.Sizes.Sample),
		},
	}
	for _, l := range levels {
		cells := []any{fmt.Sprintf("%.0f", 100*l.share), l.rate}
		for _, series := range append(l.answered[:], l.outcomes[:]...) {
			cells = append(cells, series)
		}
		table.Add(append(cells, l.late)...)
	}
	return []*report.Table{table}, err
}

// latencyAt runs one open loop whose events are numbered from first, and returns how many
// there were.
func (s *Suite) latencyAt(ctx context.Context, h *target.Host, l *loaded, rate float64, first int) (n int, err error) {
	seen, err := traffic.Open{Rate: rate, Window: s.Sizes.OpenWindow, Connections: s.Sizes.Publishers, First: first}.Run(ctx, server(h))
	if err != nil {
		return 0, err
	}
	if err := h.API.AwaitDelivered(ctx, 1); err != nil {
		return 0, err
	}
	var outcomes []time.Duration
	for _, i := range sampled(0, len(seen.Arrivals), s.Sizes.Sample) {
		list, err := h.API.Deliveries(ctx, traffic.Key(first+i))
		if err != nil {
			return 0, err
		}
		if len(list) != 1 || list[0].Status != "ok" {
			return 0, Wrong{fmt.Sprintf("event %d has the deliveries %+v, want one that is ok", first+i, list)}
		}
		if list[0].Kept() {
			outcomes = append(outcomes, list[0].At.Sub(seen.Arrivals[i]))
		}
	}
	l.rate = append(l.rate, report.PerSecond(len(seen.Responses), s.Sizes.OpenWindow))
	for i, q := range quantiles {
		l.answered[i] = append(l.answered[i], report.Milliseconds(traffic.Quantile(seen.Responses, q)))
		if len(outcomes) > 0 {
			l.outcomes[i] = append(l.outcomes[i], report.Milliseconds(traffic.Quantile(outcomes, q)))
		}
	}
	l.late = append(l.late, report.Milliseconds(traffic.Quantile(seen.Late, 0.99)))
	return len(seen.Arrivals), nil
}
