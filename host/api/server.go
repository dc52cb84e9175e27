package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/fault"
)

// Config holds what a Server needs. Every part is required, but those that say
// otherwise.
type Config struct {
	Publisher  Publisher
	Events     EventLog
	Deliveries Deliveries
	Orders     Orders
	Plugins    Plugins
	Explainer  Explainer
	Installer  Installer
	Reloader   Reloader
	Activities Activities
	Published  PublishedLog
	Tokens     Verifier

	// Audit records every change of the scopes operate and install, and what is
	// refused. Nil: nothing is recorded.
	Audit Auditor
	// AuditLog reads what Audit has recorded. Nil: its endpoint answers 404.
	AuditLog AuditLog
	// RateLimit bounds each token's requests.
	RateLimit RateLimit
	// MaxInflight bounds the bodies of requests under way, and the answers with
	// events, in bytes; less than MinInflight is MinInflight.
	MaxInflight int64
	// TLS, with its certificate, makes Serve speak HTTPS. Nil: plain HTTP.
	TLS *tls.Config
	// Parts a host may be without (nil): their endpoints then answer 404.
	DeadLetters DeadLetters
	Router      Router // nil: receipts do not say whether an event is routed
	Replayer    Replayer
	Pauser      Pauser
	LogStatus   LogStatuser
	Marketplace Marketplace

	// Version is the program's, for the header wire.VersionHeader and /openapi.json; "" is "dev".
	Version string
	// Ready says why the host is not ready, or nil. Nil is always ready.
	Ready func() error

	// Listen is the address the host was told to listen on ("127.0.0.1:8080").
	// Its host may be named in requests; localhost, loopback addresses and the
	// address a connection came to always may.
	Listen string
	// AllowedHosts are further names or addresses, without port, that requests
	// may name, such as the public name of a proxy in front.
	AllowedHosts []string

	Heartbeat  time.Duration // between comments on an idle event stream; 0 is 15 s
	MaxStreams int           // event streams at once; 0 is 64
	TokenCheck time.Duration // between looks whether an open stream's token still counts; 0 is 2 s

	HeaderTimeout time.Duration // for a request's header; 0 is 10 s
	ReadTimeout   time.Duration // for a whole request; 0 is 1 minute
	BodyStall     time.Duration // in which 64 KiB of a body have to come, or all of it; 0 is 10 s
	QuotaWait     time.Duration // that a request waits for its share of MaxInflight; 0 is 2 s
	WriteTimeout  time.Duration // for a whole request and its answer; 0 is 2 minutes

	Logger *slog.Logger // nil discards
}

// Server serves the API. It is safe for concurrent use.
type Server struct {
	cfg       Config
	echo      *echo.Echo
	http      *http.Server
	hosts     map[string]bool
	streams   chan struct{} // one token for each open stream
	closing   chan struct{} // closed when Shutdown begins
	switching chan struct{} // one token: whoever switches a plugin has it
	close     sync.Once

	noSniff, noStore, version []string // values of headers that every answer has

	quotas   *quotas
	limits   limits
	refusals refusals
	table    []Route
	allow    map[string][]string // the methods of each path, for the header Allow
	document document            // of /openapi.json

	readiness struct {
		sync.Mutex
		said    string // why the host was not ready at the last probe; "" for ready
		reached bool   // it has been ready once
	}
}

// Route is one endpoint.
type Route struct {
	Method, Path string
	Scope        Scope  // that a token needs; "" for every caller the guard admits
	Now          string // not "": Path is its former one, still answered, and this is the one it has
}

// The bounds of connections. The event stream sets its own.
const (
	tokenCheck    = 2 * time.Second
	headerTimeout = 10 * time.Second
	readTimeout   = time.Minute     // of a whole request
	writeTimeout  = 2 * time.Minute // of a whole request and its answer
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10         // bytes
	shutdownGrace = 10 * time.Second // Serve's, for requests that are under way
)

// New returns a server of these parts.
func New(cfg Config) (*Server, error) {
	for name, missing := range map[string]bool{
		"Publisher": cfg.Publisher == nil, "Events": cfg.Events == nil, "Deliveries": cfg.Deliveries == nil,
		"Orders": cfg.Orders == nil, "Plugins": cfg.Plugins == nil, "Explainer": cfg.Explainer == nil, "Installer": cfg.Installer == nil, "Reloader": cfg.Reloader == nil,
		"Activities": cfg.Activities == nil, "Published": cfg.Published == nil, "Tokens": cfg.Tokens == nil,
	} {
		if missing {
			return nil, fault.New(fault.Internal, "api: Config.%s is not set", name)
		}
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	if cfg.Ready == nil {
		cfg.Ready = func() error { return nil }
	}
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = 64
	}
	for _, d := range []struct {
		set      *time.Duration
		standard time.Duration
	}{
		{&cfg.TokenCheck, tokenCheck}, {&cfg.HeaderTimeout, headerTimeout}, {&cfg.ReadTimeout, readTimeout}, {&cfg.WriteTimeout, writeTimeout},
		{&cfg.BodyStall, bodyStall}, {&cfg.QuotaWait, quotaWait},
	} {
		if *d.set <= 0 {
			*d.set = d.standard
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg:       cfg,
		hosts:     allowedHosts(cfg.Listen, cfg.AllowedHosts),
		streams:   make(chan struct{}, cfg.MaxStreams),
		closing:   make(chan struct{}),
		switching: make(chan struct{}, 1),

		noSniff: []string{"nosniff"},
		noStore: []string{"no-store"},
		version: []string{cfg.Version},

		allow:    make(map[string][]string),
		quotas:   newQuotas(cfg.MaxInflight, cfg.QuotaWait),
		limits:   newLimits(cfg.RateLimit),
		refusals: refusals{rate: rate.NewLimiter(refusalRate, refusalBurst)},
	}
	s.echo = echo.New()
	s.echo.HTTPErrorHandler = s.fail
	s.echo.Use(recovered, s.guarded, reserved)
	s.routes()
	if err := s.describe(); err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: cfg.HeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		TLSConfig:         cfg.TLS,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// endpoint is one method of one path.
type endpoint struct {
	method, path string
	scope        Scope // "" for everybody
	handler      echo.HandlerFunc
}

// formerPath is where a path of one plugin was before it moved, or "". In those
// paths the name stands beside words of the API, such as verify: see
// abi.ReservedName.
func formerPath(path string) string {
	rest, ok := strings.CutPrefix(path, pluginPath)
	switch {
	case ok && slices.Contains([]string{"", "/report", "/approve", "/upgrade", "/rollback"}, rest):
		return "/api/v1/plugins/:name" + rest
	}
	return ""
}

func (s *Server) routes() {
	for _, r := range s.endpoints() {
		s.add(r, Route{Method: r.method, Path: r.path, Scope: r.scope})
		if former := formerPath(r.path); former != "" && r.scope != "" {
			now := r.path
			r.path = former
			s.add(r, Route{Method: r.method, Path: r.path, Scope: r.scope, Now: now})
		}
	}
	for path, methods := range s.allow {
		s.echo.OPTIONS(path, func(c echo.Context) error {
			c.Response().Header().Set("Allow", strings.Join(methods, ", "))
			return c.NoContent(http.StatusNoContent)
		})
	}
}

// add serves one endpoint.
func (s *Server) add(r endpoint, route Route) {
	const get = http.MethodGet
	handler := scoped(r.scope, s.audited(r.method, r.path, r.scope, r.handler))
	s.echo.Add(r.method, r.path, handler)
	s.table = append(s.table, route)
	switch real := r.scope != "" || !strings.HasPrefix(r.path, "/api/"); {
	case r.method != get: // what is not real answers 405 by itself
	case real && r.path == streamPath: // which would not end
		s.echo.Add(http.MethodHead, r.path, nowhere)
	default: // net/http leaves the body out (RFC 9110, 9.3.2)
		s.echo.Add(http.MethodHead, r.path, handler)
		if real {
			s.allow[r.path] = append(s.allow[r.path], get, http.MethodHead)
		}
		return
	}
	s.allow[r.path] = append(s.allow[r.path], r.method)
}

// endpoints are all of them.
func (s *Server) endpoints() []endpoint {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return slices.Concat(s.deliveryEndpoints(), s.pluginEndpoints(), []endpoint{
		{get, "/healthz", "", serveJSON(s.health)},
		{get, "/readyz", "", serveJSON(s.ready)},
		{get, "/openapi.json", "", s.showDocument},

		{post, "/api/v1/events", ScopePublish, serveJSON(s.publish)},
		{get, "/api/v1/events", ScopeRead, serveJSON(s.listEvents)},
		{get, streamPath, ScopeRead, s.whileValid(s.stream)},
		{post, "/api/v1/events/reload-config", ScopeOperate, serveJSON(s.reload)},
		{get, "/api/v1/events/reload-config", "", nowhere}, // not an event's id
		{post, "/api/v1/events/explain", ScopeRead, serveJSON(s.explain)},
		{get, "/api/v1/events/explain", "", nowhere}, // not an event's id
		{get, "/api/v1/events/:id", ScopeRead, serveJSON(s.showEvent)},

		{get, "/api/v1/config", ScopeOperate, serveJSON(s.showConfig)},
		{get, "/api/v1/audit", ScopeOperate, serveJSON(s.listAudit)},
		{get, "/api/v1/orders", ScopeRead, serveJSON(s.listOrders)},
		{post, "/api/v1/orders", ScopePublish, serveJSON(s.createOrder)},
		{get, "/api/v1/orders/:id", ScopeRead, serveJSON(s.showOrder)},
		{post, "/api/v1/orders/:id/status", ScopePublish, serveJSON(s.moveOrder)},

		{get, "/api/v1/plugins/marketplace", ScopeRead, serveJSON(s.listMarketplace)},
		{post, "/api/v1/plugins/install", ScopeInstall, s.progress(http.StatusCreated, s.install)},
		{get, "/api/v1/plugins/install", "", nowhere}, // not a plugin's name
		{del, "/api/v1/plugins/uninstall/:name", ScopeInstall, serveJSON(s.uninstall)},
		{get, "/api/v1/plugins/verify", ScopeRead, serveJSON(s.verify)}, // not a plugin's name either
	})
}

// pluginPath is where one plugin is. No word of the API stands beside the name.
const pluginPath = "/api/v1/events/plugins/:name"

// pluginAt is the path of one plugin.
func pluginAt(name string) string {
	return strings.Replace(pluginPath, ":name", url.PathEscape(name), 1)
}

// pluginEndpoints are those about the plugins that are here.
func (s *Server) pluginEndpoints() []endpoint {
	const get, post = http.MethodGet, http.MethodPost
	list := []endpoint{
		{get, "/api/v1/events/plugins", ScopeRead, serveJSON(s.listPlugins)},
		{get, pluginPath, ScopeRead, serveJSON(s.showPlugin)},
		{get, pluginPath + "/report", ScopeRead, serveJSON(s.showReport)},
		{post, pluginPath + "/enable", ScopeOperate, serveJSON(s.enable)},
		{post, pluginPath + "/disable", ScopeOperate, serveJSON(s.disable)},
		{post, pluginPath + "/pause", ScopeOperate, serveJSON(s.pause)},
		{post, pluginPath + "/resume", ScopeOperate, serveJSON(s.resume)},
		{post, pluginPath + "/approve", ScopeOperate, serveJSON(s.approve)},
		{post, pluginPath + "/upgrade", ScopeInstall, s.progress(http.StatusOK, s.upgrade)},
		{post, pluginPath + "/rollback", ScopeInstall, s.progress(http.StatusOK, s.rollback)},
	}
	for _, r := range list {
		if r.method == post {
			list = append(list, endpoint{get, r.path, "", nowhere}) // not the path of an event
		}
	}
	return list
}

// streamPath is where the event stream is.
const streamPath = "/api/v1/events/stream"

// Routes returns every endpoint. Paths have parameters as :name.
func (s *Server) Routes() []Route { return slices.Clone(s.table) }

// Handler returns the API as a handler, without the server's timeouts.
func (s *Server) Handler() http.Handler { return s.echo }

// Serve answers on this listener, which it closes, until ctx ends or Shutdown
// is called. It then lets requests that are under way finish, for at most ten
// seconds, and returns nil; any other end is an error.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	served := make(chan error, 1)
	go func() {
		if s.cfg.TLS != nil {
			served <- s.http.ServeTLS(ln, "", "") // the certificate is in the configuration
			return
		}
		served <- s.http.Serve(ln)
	}()
	select {
	case err := <-served:
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the API: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := s.Shutdown(grace)
	<-served
	return err
}

// Shutdown stops intake: it closes the listener, answers 503 to what still
// comes, ends the event streams, and waits until the requests under way are
// answered. When ctx ends first it closes their connections and returns
// fault.Timeout.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close.Do(func() { close(s.closing) })
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(
			fault.New(fault.Timeout, "stop the API: requests were still under way: %w", err),
			s.http.Close())
	}
	return nil
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}
