package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

const (
	retainedBatch = 1000
	pageSize      = 50
	pageRepeats   = 21
)

// retention are the figures of a log with so many events.
type retention struct {
	fill, start, newest, oldest, replay, trim report.Series
	bytes                                     int64 // of the store, when it was full
	left                                      uint64
}

// retained measures a log with many events that its one handler has had: starting, listing,
// replaying and trimming.
func (s *Suite) retained(ctx context.Context) ([]*report.Table, error) {
	var r retention
	setup := target.Setup{Handlers: target.Handlers(1, "parse_echo")}
	err := s.withHost(ctx, setup, func(h *target.Host) error {
		if err := s.fillRetained(ctx, h, &r); err != nil {
			return err
		}
		if err := s.repeat("retained: start, list", func() error { return s.restart(ctx, h, setup, &r) }); err != nil {
			return err
		}
		if err := s.repeat("retained: replay", func() error { return s.replay(ctx, h, &r) }); err != nil {
			return err
		}
		s.Progress("retained: trim")
		return s.trim(ctx, h, setup, &r)
	})
	events := report.Figure(float64(s.Sizes.Retained))
	table := &report.Table{Title: events + " retained events", Header: []string{"what", "figure"}}
	table.Add(fmt.Sprintf("publish, batches of %d over two connections, with one handler, events/s", retainedBatch), r.fill)
	table.Add("size of the store, bytes an event with its delivery", report.Figure(float64(r.bytes)/float64(s.Sizes.Retained)))
	table.Add("start of the process until it takes events, ms", r.start)
	table.Add(fmt.Sprintf("list the newest %d events, ms", pageSize), r.newest)
	table.Add(fmt.Sprintf("list the oldest %d events, ms", pageSize), r.oldest)
	table.Add("replay of all events to the handler, events/s", r.replay)
	table.Add("trim, events/s", r.trim)
	table.Notes = []string{fmt.Sprintf("The store is in the page cache. Trim: bus.max_size is lowered to %s and an event published, "+
		"which waits until the oldest events are removed; %s events were left.", trimmedSize, report.Figure(float64(r.left)))}
	return []*report.Table{table}, err
}

func (s *Suite) fillRetained(ctx context.Context, h *target.Host, r *retention) error {
	const share = 5 // of the events are published between two lines of progress
	var clock stopwatch
	if err := clock.start(h); err != nil {
		return err
	}
	for i := range share {
		s.Progress("retained: %d %% of %d events are published", 100*i/share, s.Sizes.Retained)
		err := traffic.FillParallel(ctx, server(h), 2, s.Sizes.Retained*i/share, s.Sizes.Retained*(i+1)/share, retainedBatch, keyed(0))
		if err != nil {
			return err
		}
	}
	if err := h.API.AwaitDelivered(ctx, 1); err != nil {
		return err
	}
	if err := clock.stop(h); err != nil {
		return err
	}
	r.fill = append(r.fill, report.PerSecond(s.Sizes.Retained, clock.elapsed))
	return nil
}

// restart starts the host anew, and lists the ends of the log.
func (s *Suite) restart(ctx context.Context, h *target.Host, setup target.Setup, r *retention) (err error) {
	if err := h.Stop(); err != nil {
		return err
	}
	if r.bytes, err = h.StoreBytes(); err != nil {
		return err
	}
	took, err := h.Start(ctx)
	if err != nil {
		return err
	}
	r.start = append(r.start, report.Milliseconds(took))
	if err := ready(ctx, h, setup); err != nil {
		return err
	}
	log, err := h.API.Log(ctx)
	if err != nil {
		return err
	}
	if log.Events != uint64(s.Sizes.Retained) {
		return Wrong{fmt.Sprintf("the log has %d events after a restart, want %d", log.Events, s.Sizes.Retained)}
	}
	newest := fmt.Sprintf("/api/v1/events?limit=%d", pageSize)
	for path, series := range map[string]*report.Series{newest: &r.newest, fmt.Sprintf("%s&cursor=%d", newest, log.FirstSeq+pageSize): &r.oldest} {
		took, err := page(ctx, h, path)
		if err != nil {
			return err
		}
		*series = append(*series, took)
	}
	return nil
}

// page returns the median time of a list, in milliseconds.
func page(ctx context.Context, h *target.Host, path string) (float64, error) {
	var times report.Series
	for range pageRepeats {
		var list struct{ Items []json.RawMessage }
		began := time.Now()
		if err := h.API.Get(ctx, path, &list); err != nil {
			return 0, err
		}
		times = append(times, report.Milliseconds(time.Since(began)))
		if len(list.Items) != pageSize {
			return 0, Wrong{fmt.Sprintf("%s: %d events, want %d", path, len(list.Items), pageSize)}
		}
	}
	return times.Median(), nil
}

// replay delivers all events again.
func (s *Suite) replay(ctx context.Context, h *target.Host, r *retention) error {
	before, err := h.API.Delivered(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := h.API.Post(ctx, "/api/v1/events/replay", []byte(`{"plugin":"h000","from":"earliest"}`), new(any)); err != nil {
		return err
	}
	if err := h.API.AwaitDelivered(ctx, 1); err != nil {
		return err
	}
	r.replay = append(r.replay, report.PerSecond(s.Sizes.Retained, time.Since(began)))
	after, err := h.API.Delivered(ctx)
	if err == nil && after-before != uint64(s.Sizes.Retained) {
		err = Wrong{fmt.Sprintf("a replay of %d events delivered %d", s.Sizes.Retained, after-before)}
	}
	return err
}

const (
	trimmedSize = "2MiB" // the smallest bus.max_size
	trimLimit   = 30 * time.Minute
)

// trim lowers the size limit, so that the next event must wait until old ones are removed. A
// request that has waited for a minute is refused, and repeated.
func (s *Suite) trim(ctx context.Context, h *target.Host, setup target.Setup, r *retention) error {
	before, err := h.API.Log(ctx)
	if err != nil {
		return err
	}
	setup.MaxSize = trimmedSize
	if err := h.Reconfigure(ctx, setup); err != nil {
		return err
	}
	began := time.Now()
	for {
		err := traffic.Fill(ctx, server(h), s.Sizes.Retained, s.Sizes.Retained+1, 1, keyed(0))
		var refused traffic.Refused
		if err == nil {
			break
		}
		if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests || time.Since(began) > trimLimit {
			return err
		}
	}
	took := time.Since(began)
	after, err := h.API.Log(ctx)
	if err != nil {
		return err
	}
	r.left = after.Events
	if removed := int64(before.Events) + 1 - int64(after.Events); removed > 0 {
		r.trim = append(r.trim, report.PerSecond(int(removed), took))
	}
	return nil
}
