package measure

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

const (
	fillBatch = 500
	// echoed is the result of parse_echo.wasm.
	echoed = `{"echo":"` + traffic.Status + `"}`
)

// delivered are the figures for one number of handlers.
type delivered struct {
	handlers, events  int
	live, backlog     report.Series // deliveries a second
	liveCost, lagCost report.Series
	shown             report.Series // percent
}

// deliver measures deliveries a second, by the number of handlers.
func (s *Suite) deliver(ctx context.Context) ([]*report.Table, error) {
	all := make([]*delivered, len(s.Sizes.Handlers))
	for i, n := range s.Sizes.Handlers {
		all[i] = &delivered{handlers: n, events: min(100_000, max(s.Sizes.Deliveries/n, 2*fillBatch))}
	}
	err := s.repeat("deliver", func() error {
		for _, d := range all {
			setup := target.Setup{Handlers: target.Handlers(d.handlers, "parse_echo")}
			if err := s.withHost(ctx, setup, func(h *target.Host) error { return s.deliverTo(ctx, h, setup, d) }); err != nil {
				return fmt.Errorf("%d handlers: %w", d.handlers, err)
			}
		}
		return nil
	})
	table := &report.Table{
		Title: "Durable deliveries",
		Header: []string{"handlers", "events", "deliveries/s while events are published", "µs a delivery", "deliveries/s of a backlog",
			"µs a delivery", "results shown, %"},
		Notes: []string{
			fmt.Sprintf("From the first request to the last stored outcome; events in batches of %d over one connection. "+
				"For the backlog the handlers are paused until all is published; it counts from the reload that resumes them.", fillBatch),
			"µs is the host's processor time, publishing included in the first of the two. Results: of a sample, how many the API shows.",
		},
	}
	for _, d := range all {
		table.Add(d.handlers, report.Figure(float64(d.events)), d.live, d.liveCost, d.backlog, d.lagCost, d.shown)
	}
	return []*report.Table{table}, err
}

// deliverTo delivers events to running handlers, and as many as a backlog.
func (s *Suite) deliverTo(ctx context.Context, h *target.Host, setup target.Setup, d *delivered) error {
	total := d.handlers * d.events
	var live, lag stopwatch
	if err := live.start(h); err != nil {
		return err
	}
	if err := traffic.Fill(ctx, server(h), 0, d.events, fillBatch, keyed(0)); err != nil {
		return err
	}
	if err := h.API.AwaitDelivered(ctx, d.handlers); err != nil {
		return err
	}
	if err := live.stop(h); err != nil {
		return err
	}
	paused := setup
	paused.Paused = true
	if err := reconfigure(ctx, h, paused); err != nil {
		return err
	}
	if err := traffic.Fill(ctx, server(h), d.events, 2*d.events, fillBatch, keyed(0)); err != nil {
		return err
	}
	if err := lag.start(h); err != nil {
		return err
	}
	if err := h.Reconfigure(ctx, setup); err != nil {
		return err
	}
	if err := h.API.AwaitDelivered(ctx, d.handlers); err != nil {
		return err
	}
	if err := lag.stop(h); err != nil {
		return err
	}
	shown, err := s.shown(ctx, h, 2*d.events, d.handlers, func(int) string { return echoed })
	if err != nil {
		return err
	}
	d.live = append(d.live, report.PerSecond(total, live.elapsed))
	d.liveCost = append(d.liveCost, live.each(total))
	d.backlog = append(d.backlog, report.PerSecond(total, lag.elapsed))
	d.lagCost = append(d.lagCost, lag.each(total))
	d.shown = append(d.shown, shown)
	return nil
}

// shown returns how many percent of the results of a sample of the events 0 to n the API
// shows. A delivery that is not ok, or another result than want's, is an error.
func (s *Suite) shown(ctx context.Context, h *target.Host, n, handlers int, want func(number int) string) (float64, error) {
	events := min(s.Sizes.Sample, max(20, 20_000/handlers))
	kept, total := 0, 0
	for _, number := range sampled(0, n, events) {
		list, err := h.API.Deliveries(ctx, traffic.Key(number))
		if err != nil {
			return 0, err
		}
		if len(list) != handlers {
			return 0, Wrong{fmt.Sprintf("event %d has %d deliveries, want %d", number, len(list), handlers)}
		}
		for _, d := range list {
			total++
			switch {
			case d.Status != "ok":
				return 0, Wrong{fmt.Sprintf("event %d is %s at %s after %d attempts", number, d.Status, d.Plugin, d.Attempts)}
			case d.Kept():
				kept++
				if got := string(d.Result); got != want(number) {
					return 0, Wrong{fmt.Sprintf("event %d has the result %s at %s, want %s", number, got, d.Plugin, want(number))}
				}
			}
		}
	}
	return 100 * float64(kept) / float64(max(1, total)), nil
}
