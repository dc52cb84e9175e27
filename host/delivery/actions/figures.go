package actions

import (
	"context"

	"github.com/berth-host/berth/host/delivery/stored"
)

// Figures returns the figures of a handler. For a handler that is not open they are the counts
// after it is opened.
func (a *Actions) Figures(ctx context.Context, handler string) (f stored.Figures, err error) {
	if h, open := a.cfg.Handler(handler); open {
		f = h.Figures(a.cfg.Last())
	} else if f, err = stored.FiguresOf(ctx, a.cfg.Store, handler, a.cfg.Last()); err != nil {
		return f, err
	}
	if f.Open > 0 {
		redriven, err := a.cfg.Store.Redriven(ctx, handler, 0, 1)
		if err != nil {
			return f, err
		}
		if len(redriven) > 0 {
			f.Oldest = min(f.Oldest, redriven[0].Seq)
		}
	}
	return f, nil
}

// Stuck returns a handler that cannot read on in the log, the first by name, and where it
// is stuck, such as "event 41"; "" when none is.
func (a *Actions) Stuck() (handler, at string) {
	for _, h := range a.cfg.Handlers() {
		if name, position := h.Stuck(); position != "" && (at == "" || name < handler) {
			handler, at = name, position
		}
	}
	return handler, at
}
