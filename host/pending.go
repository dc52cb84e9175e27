package host

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// figuresTimeout bounds the reading of a plugin's figures.
const figuresTimeout = 2 * time.Second

// waiting gives a plugin that is not at work the lag of its handler: its events wait.
func (h *Host) waiting(p wire.Plugin) wire.Plugin {
	if p.Instances > 0 || p.Lag > 0 {
		return p
	}
	ctx, cancel := context.WithTimeout(context.Background(), figuresTimeout)
	defer cancel()
	f, err := h.runner.dispatcher.Figures(ctx, p.Name)
	if err != nil {
		h.logger.Warn("the lag of a plugin is not known", "plugin", p.Name, "error", err)
		return p
	}
	p.Lag = f.Lag
	return p
}

// awaited are the deliveries of events with those that wait for handlers that are not
// open, such as disabled ones.
type awaited struct {
	*delivery.Dispatcher
	log bus.State
	h   *Host
}

// Deliveries implements api.Deliveries.
func (a awaited) Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error) {
	list, err := a.Dispatcher.Deliveries(ctx, rec)
	if err != nil {
		return nil, err
	}
	cursors, err := a.log.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range cursors {
		name, is := strings.CutPrefix(c.Name, "handler/")
		known := slices.ContainsFunc(list, func(d wire.Delivery) bool { return d.Plugin == name })
		if !is || known || c.Seq >= rec.Seq || a.IsOpen(name) || !a.takes(name, rec.Event) {
			continue
		}
		list = append(list, delivery.Wire(event.Delivery{Handler: name, Seq: rec.Seq, Status: event.StatusPending, At: rec.Event.Metadata().Time}))
	}
	slices.SortFunc(list, func(x, y wire.Delivery) int { return strings.Compare(x.Plugin, y.Plugin) })
	return list, nil
}

// takes reports whether the handler of a plugin that is not at work takes an event, by
// its manifest and the routes. One whose file is gone is not known to.
func (a awaited) takes(name string, ev *event.Event) bool {
	manifest, known := a.h.plugins.Manifest(name)
	if !known {
		return false
	}
	filter, err := newFilter(name, manifest)
	if err != nil {
		return false
	}
	takes, err := a.h.table.Load().Takes(name, filter, ev)
	return err == nil && takes
}
