package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

// Sizes bound the measurements.
type Sizes struct {
	Repeats    int           // runs of each figure
	Warmup     time.Duration // before each closed loop
	Window     time.Duration // of each closed loop
	OpenWindow time.Duration // of each open loop
	Publishers int           // at the maximum that the open loops take shares of
	Handlers   []int         // numbers of handlers
	Deliveries int           // of each run, about
	Sample     int           // events whose deliveries are looked at
	Retained   int           // events of the part retained
	Disk       int           // events of the part disk
	KV         int           // events of the part kv
	Results    int           // events of each variant of the part results
}

// Full returns the sizes for figures.
func Full() Sizes {
	return Sizes{Repeats: 5, Warmup: 500 * time.Millisecond, Window: 3 * time.Second, OpenWindow: 6 * time.Second, Publishers: 256,
		Handlers: []int{1, 10, 100, 300}, Deliveries: 1_000_000, Sample: 1000, Retained: 1_000_000, Disk: 50_000, KV: 10_000, Results: 20_000}
}

// Short returns the sizes for a test: every part, and no figure that means anything.
func Short() Sizes {
	return Sizes{Repeats: 1, Warmup: 10 * time.Millisecond, Window: 100 * time.Millisecond, OpenWindow: 200 * time.Millisecond, Publishers: 8,
		Handlers: []int{1, 3}, Deliveries: 1500, Sample: 50, Retained: 8000, Disk: 1000, KV: 500, Results: 600}
}

// Suite is a set of measurements of one binary.
type Suite struct {
	Target   target.Config
	Sizes    Sizes
	Progress func(format string, args ...any)
}

// Part is a measurement. Its tables are valid also with an error of the class Wrong.
type Part struct {
	Name string
	Do   func(context.Context) ([]*report.Table, error)
}

// Wrong is the error of a host that has answered, but not with what it must.
type Wrong struct{ Text string }

// Error implements error.
func (w Wrong) Error() string { return w.Text }

// Parts lists the measurements.
func (s *Suite) Parts() []Part {
	return []Part{
		{"publish", s.publish},
		{"deliver", s.deliver},
		{"latency", s.latency},
		{"retained", s.retained},
		{"disk", s.disk},
		{"kv", s.kv},
		{"results", s.results},
	}
}

// withHost runs do with a new host whose handlers are ready.
func (s *Suite) withHost(ctx context.Context, setup target.Setup, do func(*target.Host) error) (err error) {
	h, err := target.New(s.Target, setup)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Remove()) }()
	if _, err := h.Start(ctx); err != nil {
		return err
	}
	if err := ready(ctx, h, setup); err != nil {
		return err
	}
	return do(h)
}

// ready waits until the handlers of a setup are.
func ready(ctx context.Context, h *target.Host, setup target.Setup) error {
	state := "active"
	if setup.Paused {
		state = "paused"
	}
	return h.API.AwaitHandlers(ctx, len(setup.Handlers), state)
}

// reconfigure puts a setup in force and waits for it.
func reconfigure(ctx context.Context, h *target.Host, setup target.Setup) error {
	if err := h.Reconfigure(ctx, setup); err != nil {
		return err
	}
	return ready(ctx, h, setup)
}

// server is where the running host takes events.
func server(h *target.Host) traffic.Server { return traffic.Server{URL: h.API.URL, Token: h.API.Token} }

// repeat calls do Sizes.Repeats times.
func (s *Suite) repeat(what string, do func() error) error {
	for i := range s.Sizes.Repeats {
		s.Progress("%s: run %d of %d", what, i+1, s.Sizes.Repeats)
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// keyed makes events that Deliveries finds by traffic.Key.
func keyed(size int) func(n int) traffic.Event {
	return func(n int) traffic.Event { return traffic.Event{Number: n, Size: size, Subject: -1, Keyed: true} }
}

// sampled returns the numbers from to to, at most limit of them, evenly.
func sampled(from, to, limit int) (numbers []int) {
	n := min(limit, to-from)
	for i := range n {
		numbers = append(numbers, from+(to-from)*i/n)
	}
	return numbers
}
