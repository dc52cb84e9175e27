package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/api/keyvalue"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Route is one endpoint.
type Route struct {
	Method, Path string
	Scope        string // that a token needs, ScopeAny for any token; "" for every caller the guard admits
	Now          string // not "": Path is a former path, still answered, of the endpoint at Now
	Missing      bool   // it answers 405, so that no other endpoint has the path
}

// ScopeAny is the scope of endpoints that are for any valid token.
const ScopeAny = "any"

// endpoint is one method of one path.
type endpoint struct {
	method, path string
	scope        string           // see Route
	handler      echo.HandlerFunc // nil answers 405, see Route.Missing
}

// Paths of more than one endpoint.
const (
	eventsPath   = "/api/v1/events"
	eventPath    = eventsPath + "/:id"
	oneEventPath = eventsPath + "/:event_id" // its id is no word, as a key could be
	streamPath   = eventsPath + "/stream"
	ordersPath   = "/api/v1/orders"
	pluginPath   = eventsPath + "/plugins/:name" // no word of the API has the position of the name
	installPath  = "/api/v1/plugins"
)

// pluginAt is the path of one plugin.
func pluginAt(name string) string {
	return strings.Replace(pluginPath, ":name", url.PathEscape(name), 1)
}

// endpoints lists every endpoint.
func (s *Server) endpoints() []endpoint {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	const read, publish, operate, install, admin = spec.ScopeRead, spec.ScopePublish, spec.ScopeOperate, spec.ScopeInstall, spec.ScopeAdmin
	plugins := s.cfg.Plugins.Registry
	return []endpoint{
		{get, "/healthz", "", serveJSON(s, nothing, s.health)},
		{get, "/readyz", "", serveJSON(s, nothing, s.ready)},
		{get, "/openapi.json", "", s.showDocument},
		{get, guard.MetricsPath, read, s.metrics},
		{get, "/api/v1/overview", read, serveJSON(s, nothing, s.overview)},
		{get, "/api/v1/series", read, serveJSON(s, (*request).seriesQuery, s.series)},

		{post, eventsPath, publish, s.serve(s.publish)},
		{get, eventsPath, read, s.serve(s.listEvents)},
		{get, streamPath, read, s.stream},
		{post, eventsPath + "/explain", read, serveJSON(s, (*request).event, s.cfg.Events.Router.Explain)},
		{get, eventsPath + "/log", read, serveJSON(s, noQuery, s.showLog)},
		{post, eventsPath + "/reload-config", operate, serveJSON(s, nothing, s.reload)},
		{get, eventPath, read, s.serve(s.showEvent)},
		{get, oneEventPath + "/tree", read, s.serve(s.showTree)},
		{post, oneEventPath + "/retry", operate, s.serve(s.retryEvent)},
		{post, oneEventPath + "/skip", operate, s.serve(s.skipEvent)},
		{post, oneEventPath + "/copy", operate, s.serve(s.copyEvent)},

		{post, sessionPath, "", s.serve(s.login)},
		{get, sessionPath, ScopeAny, s.serve(s.showSession)},
		{del, sessionPath, ScopeAny, s.serve(s.logout)},
		{post, sessionPath + "/links", admin, s.serve(s.newLoginLink)},

		{get, "/api/v1/config", operate, s.serve(s.showConfig)},
		{get, "/api/v1/config/file", operate, serveJSON(s, noQuery, s.showFile)},
		{post, "/api/v1/config/adopt", operate, serveJSON(s, body[wire.Adopt], s.adopt)},
		{post, "/api/v1/config/plan", read, serveJSON(s, body[wire.NewPlan], s.cfg.Admin.Planner.Plan)},
		{get, "/api/v1/doctor", operate, serveJSON(s, noQuery, s.examine)},
		{get, "/api/v1/audit", operate, s.serve(s.listAudit)},
		{post, "/api/v1/backup", admin, s.backup},
		{get, ordersPath, read, serveJSON(s, (*request).orderQuery, s.listOrders)},
		{post, ordersPath, publish, s.serve(s.createOrder)},
		{get, ordersPath + "/:id", read, s.serve(s.showOrder)},
		{post, ordersPath + "/:id/status", publish, s.serve(s.moveOrder)},

		{get, eventsPath + "/plugins", read, serveJSON(s, (*request).pluginQuery, s.listPlugins)},
		{get, pluginPath, read, serveJSON(s, (*request).pluginName, s.showPlugin)},
		{get, pluginPath + "/report", read, serveJSON(s, (*request).pluginName, s.showReport)},
		{get, pluginPath + "/logs", read, serveJSON(s, (*request).logQuery, s.showLogs)},
		{get, pluginPath + "/config", operate, s.serve(s.showHandlerConfig)},
		{http.MethodPut, pluginPath + "/config", operate, s.serve(s.setHandlerConfig)},
		{post, pluginPath + "/enable", operate, s.change(plugins.SetEnabled, true)},
		{post, pluginPath + "/disable", operate, s.change(plugins.SetEnabled, false)},
		{post, pluginPath + "/pause", operate, s.change(plugins.SetPaused, true)},
		{post, pluginPath + "/resume", operate, s.change(plugins.SetPaused, false)},
		{post, pluginPath + "/approve", operate, s.serve(s.approve)},
		{post, pluginPath + "/upgrade", install, s.progress(http.StatusOK, s.upgrade)},
		{post, pluginPath + "/rollback", install, s.progress(http.StatusOK, s.rollback)},

		{get, installPath + "/marketplace", read, serveJSON(s, (*request).marketplaceQuery, s.listMarketplace)},
		{post, installPath + "/install", install, s.progress(http.StatusCreated, s.install)},
		{del, installPath + "/uninstall/:name", install, s.serve(s.uninstall)},
		{get, installPath + "/verify", read, serveJSON(s, nothing, s.verify)},
	}
}

// routes registers every endpoint, and what belongs to it: its former path, and 405 for GET
// at a path that would otherwise be an event's id or a plugin's name.
func (s *Server) routes() {
	for _, e := range slices.Concat(s.endpoints(), s.more(s.cfg.Incidents.Endpoints()), s.more(s.cfg.Catalog.Endpoints()), s.more(s.cfg.Membership.Endpoints()), s.more(s.deferred().Endpoints()),
		s.more(incident.LogEndpoints(s.cfg.Events.DeadLetters, s.cfg.Events.Replayer)),
		s.more(keyvalue.Endpoints(s.cfg.Plugins.State, s.cfg.Plugins.Registry.Known))) {
		s.add(e, "")
		if former := formerPath(e.path); former != "" {
			now := e.path
			e.path = former
			s.add(e, now)
			e.path = now
		}
		if e.method == http.MethodPost && (strings.HasPrefix(e.path, eventsPath+"/") || e.path == installPath+"/install") {
			s.add(endpoint{method: http.MethodGet, path: e.path}, "")
		}
	}
	for path, methods := range s.allow {
		s.echo.OPTIONS(path, func(c echo.Context) error {
			c.Response().Header().Set("Allow", strings.Join(methods, ", "))
			return c.NoContent(http.StatusNoContent)
		})
	}
}

// formerPath returns the path that an endpoint of one plugin had before it moved, or "". In
// those paths the name has the position of words of the API, such as verify: see
// abi.ReservedName.
func formerPath(path string) string {
	suffix, ok := strings.CutPrefix(path, pluginPath)
	if ok && slices.Contains([]string{"", "/report", "/approve", "/upgrade", "/rollback"}, suffix) {
		return installPath + "/:name" + suffix
	}
	return ""
}

// add serves one endpoint.
func (s *Server) add(e endpoint, now string) {
	const get = http.MethodGet
	missing := e.handler == nil
	if missing {
		e.handler = nowhere
	}
	handler := scoped(e.scope, s.audited(e.method, e.path, e.scope, e.handler))
	s.echo.Add(e.method, e.path, handler)
	s.table = append(s.table, Route{Method: e.method, Path: e.path, Scope: e.scope, Now: now, Missing: missing})
	switch {
	case e.method != get:
	case !missing && e.path == streamPath: // HEAD would not end
		s.echo.Add(http.MethodHead, e.path, nowhere)
	default: // net/http leaves the body out (RFC 9110, 9.3.2)
		s.echo.Add(http.MethodHead, e.path, handler)
		if !missing {
			s.allow[e.path] = append(s.allow[e.path], get, http.MethodHead)
		}
		return
	}
	s.allow[e.path] = append(s.allow[e.path], e.method)
}

// nowhere answers 405.
func nowhere(echo.Context) error { return echo.ErrMethodNotAllowed }

// Routes returns every endpoint. Paths have parameters as :name.
func (s *Server) Routes() []Route { return slices.Clone(s.table) }
