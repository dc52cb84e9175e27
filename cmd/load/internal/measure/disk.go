package measure

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

const (
	diskHandlers = 4
	diskBatch    = 500
	distinctSize = 100 // bytes of a distinct result
)

// disk measures the bytes that an event and a plain success take in the store.
func (s *Suite) disk(ctx context.Context) ([]*report.Table, error) {
	table := &report.Table{Title: "Disk", Header: []string{"what", "bytes"}, Notes: []string{
		fmt.Sprintf("Size of the store's files after the host has stopped, with %s events in batches of %d; each batch is delivered before "+
			"the next is published. Successes: what the store is larger than without handlers, for each of %d handlers.",
			report.Figure(float64(s.Sizes.Disk)), diskBatch, diskHandlers)}}
	empty, _, err := s.stored(ctx, nil, 0)
	if err != nil {
		return nil, err
	}
	bare, _, err := s.stored(ctx, nil, s.Sizes.Disk)
	if err != nil {
		return nil, err
	}
	body := keyed(distinctSize)(s.Sizes.Disk).Append(nil)
	table.Add(fmt.Sprintf("event that is published with %d bytes, without deliveries", len(body)), report.Figure(float64(bare-empty)/float64(s.Sizes.Disk)))
	for _, kind := range []struct {
		name     string
		handlers []target.Handler
	}{
		{"plain success, equal results of 18 bytes", target.Handlers(diskHandlers, "parse_echo")},
		{fmt.Sprintf("plain success, distinct results with %d random letters", distinctSize), salted(diskHandlers)},
	} {
		size, skipped, err := s.stored(ctx, kind.handlers, s.Sizes.Disk)
		if err != nil {
			return nil, err
		}
		table.Add(kind.name, report.Figure(float64(size-bare)/float64(uint64(s.Sizes.Disk*diskHandlers)-skipped)))
	}
	return []*report.Table{table}, nil
}

// stored returns the size of a store with n events that the handlers have had, and how many
// successes an older host has not stored.
func (s *Suite) stored(ctx context.Context, handlers []target.Handler, n int) (size int64, skipped uint64, err error) {
	s.Progress("disk: %d events, %d handlers", n, len(handlers))
	err = s.withHost(ctx, target.Setup{Handlers: handlers}, func(h *target.Host) error {
		for from := 0; from < n; from += diskBatch {
			if err := traffic.Fill(ctx, server(h), from, min(n, from+diskBatch), diskBatch, keyed(distinctSize)); err != nil {
				return err
			}
			if err := h.API.AwaitDelivered(ctx, len(handlers)); err != nil {
				return err
			}
		}
		log, err := h.API.Log(ctx)
		if err != nil {
			return err
		}
		for _, reader := range log.Handlers {
			skipped += reader.HistorySkipped
		}
		if err := h.Stop(); err != nil {
			return err
		}
		size, err = h.StoreBytes()
		return err
	})
	return size, skipped, err
}
