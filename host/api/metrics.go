package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// metrics is GET /metrics.
func (s *Server) metrics(c echo.Context) error {
	s.cfg.Figures.Metrics.ServeHTTP(c.Response(), c.Request())
	return nil
}

// overview is GET /api/v1/overview.
func (s *Server) overview(ctx context.Context, _ struct{}) (wire.Overview, error) {
	o, err := s.cfg.Figures.Series.Overview(ctx)
	o.Handlers = orEmpty(o.Handlers)
	return o, err
}

// seriesQuery selects series.
type seriesQuery struct {
	plugin string
	day    bool
}

func (r *request) seriesQuery() (in seriesQuery) {
	q := r.query("plugin", "range")
	in.plugin = q.Get("plugin")
	if in.plugin != "" && !abi.ValidName(in.plugin) {
		r.fail(fault.Field("plugin", "%q is not the name of a plugin", problem.Short(in.plugin)))
	}
	switch text := q.Get("range"); text {
	case "", "1h":
	case "24h":
		in.day = true
	default:
		r.fail(fault.Field("range", "is %q; it must be 1h or 24h", problem.Short(text)))
	}
	return in
}

// series is GET /api/v1/series?plugin&range.
func (s *Server) series(ctx context.Context, in seriesQuery) (wire.Series, error) {
	if in.plugin != "" && !s.cfg.Plugins.Registry.Known(in.plugin) {
		return wire.Series{}, fault.New(fault.NotFound, "there is no plugin %q", in.plugin)
	}
	out, err := s.cfg.Figures.Series.Series(ctx, in.plugin, in.day)
	out.Markers = orEmpty(out.Markers)
	return out, err
}

// count counts an answered request; known means that its path has an endpoint.
func (s *Server) count(c echo.Context, began time.Time, known bool, err error) {
	method, path, status := c.Request().Method, c.Path(), c.Response().Status
	if err != nil && !c.Response().Committed {
		status, _ = s.outcome(err, c)
	}
	if !known || !slices.Contains(s.allow[path], method) {
		path = ""
	}
	streamed := path == streamPath || strings.HasPrefix(c.Response().Header().Get("Content-Type"), "text/event-stream")
	s.cfg.Traffic.Observe(method, path, status, time.Since(began), streamed)
}
