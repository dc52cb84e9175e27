package api

import (
	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// reload is POST /api/v1/events/reload-config.
func (s *Server) reload(c echo.Context) (reply, error) {
	result, err := s.cfg.Reloader.Reload(c.Request().Context())
	if err != nil {
		return reply{}, err
	}
	if result.Changed == nil {
		result.Changed = []string{}
	}
	if result.NeedsRestart == nil {
		result.NeedsRestart = []string{}
	}
	return reply{body: result}, nil
}

// showConfig is GET /api/v1/config?handler.
func (s *Server) showConfig(c echo.Context) (reply, error) {
	q, err := query(c, "handler")
	if err != nil {
		return reply{}, err
	}
	name := q.Get("handler")
	if q.Has("handler") && !abi.ValidName(name) {
		return reply{}, fault.Field("handler", "%q is not the name of a handler", shown(name))
	}
	return reply{body: s.cfg.Reloader.InForce(name)}, nil
}

// listPlugins is GET /api/v1/events/plugins.
func (s *Server) listPlugins(echo.Context) (reply, error) {
	list := wire.List[wire.Plugin]{Items: []wire.Plugin{}}
	for _, p := range s.cfg.Plugins.List() {
		list.Items = append(list.Items, whole(p))
	}
	return reply{body: list}, nil
}

// showPlugin is GET /api/v1/events/plugins/:name.
func (s *Server) showPlugin(c echo.Context) (reply, error) {
	name, err := param(c, "name")
	if err != nil {
		return reply{}, err
	}
	p, found := s.cfg.Plugins.Plugin(name)
	if !found {
		return reply{}, fault.New(fault.NotFound, "there is no plugin %q", shown(name))
	}
	return pluginReply(p), nil
}

// showReport is GET /api/v1/events/plugins/:name/report: what berth plugin inspect
// prints of the plugin's file.
func (s *Server) showReport(c echo.Context) (reply, error) {
	name, err := param(c, "name")
	if err != nil {
		return reply{}, err
	}
	p, found := s.cfg.Plugins.Plugin(name)
	if !found {
		return reply{}, fault.New(fault.NotFound, "there is no plugin %q", shown(name))
	}
	report, found := s.cfg.Plugins.Report(p.SHA256)
	if !found {
		return reply{}, fault.New(fault.NotFound, "plugin %q was not vetted since the host started: it is %s", shown(name), p.State)
	}
	return reply{body: report}, nil
}

// whole gives a plugin's lists their empty form.
func whole(p wire.Plugin) wire.Plugin {
	if p.Subscribes == nil {
		p.Subscribes = []string{}
	}
	if p.Capabilities == nil {
		p.Capabilities = []wire.Capability{}
	}
	return p
}

// health is GET /healthz: the process answers.
func (s *Server) health(echo.Context) (reply, error) {
	return reply{body: map[string]string{"status": "ok"}}, nil
}

// ready is GET /readyz: the host takes events.
func (s *Server) ready(echo.Context) (reply, error) {
	if s.isClosing() {
		return reply{}, fault.New(fault.Unavailable, "the host is shutting down")
	}
	err := s.cfg.Ready()
	s.noteReady(err)
	if err != nil {
		if !fault.Is(err, fault.Unavailable) { // asked without a token: say no more than needed
			err = fault.New(fault.Unavailable, "the host is not ready; its log says why")
		}
		return reply{}, err
	}
	return reply{body: map[string]string{"status": "ready"}}, nil
}

// noteReady logs that the host is or is not ready when that has changed since the
// last probe. Before it was ready for the first time this is no reason for alarm:
// a start takes as long as the modules that are new to it.
func (s *Server) noteReady(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.readiness.Lock()
	defer s.readiness.Unlock()
	before, first := s.readiness.said, !s.readiness.reached
	s.readiness.said, s.readiness.reached = text, !first || err == nil
	switch {
	case err == nil && before != "":
		s.cfg.Logger.Info("ready")
	case err == nil || text == before:
	case first && fault.Is(err, fault.Unavailable):
		s.cfg.Logger.Info("not ready yet", "reason", text)
	default:
		s.cfg.Logger.Warn("not ready", "error", err)
	}
}
