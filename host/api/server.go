package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/inflight"
	"github.com/berth-host/berth/host/api/search"
	"github.com/berth-host/berth/host/api/session"
	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// Server serves the API. It is safe for concurrent use.
type Server struct {
	cfg     Config
	echo    *echo.Echo
	http    *http.Server
	closing chan struct{} // closed when Shutdown begins
	changes chan struct{} // a token, which a request has while it enables, disables, pauses or resumes a plugin
	close   sync.Once

	noSniff, noStore, version []string // values of headers that every answer has

	guard    *guard.Guard
	sessions *session.Sessions
	searcher search.Searcher
	quotas   *inflight.Quotas
	streams  *stream.Streams
	refusals refusals
	table    []Route
	allow    map[string][]string // the methods of each path, for the header Allow

	hostName string // of the machine; "" if unknown
	// document makes /openapi.json at its first request, which few hosts ever get.
	document  func() (document, error)
	readiness struct {
		sync.Mutex
		said     string // why the host was not ready at the last probe; "" for ready
		wasReady bool
	}
}

// The bounds of connections that are not configured. Event streams set their own.
const (
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10         // bytes
	shutdownGrace = 10 * time.Second // Serve's, for requests that are under way
)

// New returns a server of these parts.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:      cfg,
		echo:     echo.New(),
		closing:  make(chan struct{}),
		changes:  make(chan struct{}, 1),
		noSniff:  []string{"nosniff"},
		noStore:  []string{"no-store"},
		version:  []string{cfg.Version},
		sessions: session.New(cfg.Guard.Tokens, nil),
		quotas:   inflight.New(cfg.MaxInflight, cfg.QuotaWait, inflight.Pacing{Stall: cfg.BodyStall, Whole: cfg.ReadTimeout}),
		refusals: refusals{rate: rate.NewLimiter(refusalRate, refusalBurst)},
		allow:    make(map[string][]string),
	}
	s.searcher = search.Searcher{Log: cfg.Events.Log, Schedule: cfg.Events.Schedule, Deliveries: cfg.Events.Deliveries, Handlers: s.pluginNames,
		DeadLetters: cfg.Events.DeadLetters, Retries: cfg.Actions}
	s.hostName, _ = os.Hostname() // only shown
	cfg.Guard.Sessions = s.sessions
	s.guard = guard.New(cfg.Guard)
	s.streams = stream.New(stream.Config{Log: cfg.Events.Published, Newest: s.newest, Activities: cfg.Events.Activities,
		Heartbeat: cfg.Heartbeat, Max: cfg.MaxStreams, Closing: s.closing, Logger: cfg.Logger})
	s.echo.HTTPErrorHandler = s.fail
	s.echo.Use(s.guarded)
	s.routes()
	s.document = sync.OnceValues(s.describe)
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

// document is /openapi.json.
type document struct {
	text []byte
	etag string // with its quotes
}

// describe makes the document.
func (s *Server) describe() (document, error) {
	text, err := describe.Document(s.cfg.Version, s.scopeOf)
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(text)
	return document{text, `"` + hex.EncodeToString(sum[:12]) + `"`}, nil
}

// scopeOf returns the scope of an operation of the description.
func (s *Server) scopeOf(method, path string) (string, bool) {
	at := slices.IndexFunc(s.table, func(r Route) bool { return r.Method == method && templated(r.Path) == path })
	if at < 0 {
		return "", false
	}
	return string(s.table[at].Scope), true
}

// templated writes a route's parameters in braces: :name becomes {name}.
func templated(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// newest returns the Seq of the newest event in the log; 0 for none.
func (s *Server) newest(ctx context.Context) (seq uint64, err error) {
	list, err := s.cfg.Events.Log.Events(ctx, event.Query{Limit: 1})
	for _, rec := range list {
		seq = rec.Seq
	}
	return seq, err
}

// pluginNames returns the names of all plugins.
func (s *Server) pluginNames() []string {
	list := s.cfg.Plugins.Registry.List()
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.Name
	}
	return names
}

// Handler returns the API as a handler, without the server's timeouts.
func (s *Server) Handler() http.Handler { return s.echo }

// Serve answers on this listener, which it closes, until ctx ends or Shutdown is called. It
// then waits for the requests under way, for at most ten seconds, and returns nil; any other
// end is an error.
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

// Shutdown closes the listener, answers 503 to further requests, ends the event streams, and
// waits until the requests under way are answered. When ctx ends first it closes their
// connections and returns fault.Timeout.
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

// guarded admits requests, before any handler and also before the answers to unknown paths.
// Refusals are recorded in the audit log. It turns a panic into an internal error, and
// releases what the request has reserved.
func (s *Server) guarded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		r := &request{Context: c, server: s}
		began, known := time.Now(), true
		defer func() {
			if r.reserved != nil {
				r.reserved.Release()
			}
			p := recover()
			if p == nil {
				s.count(c, began, known, err)
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // net/http ends the connection
			}
			err = fault.New(fault.Internal, "panic: %v\n%s", p, debug.Stack())
			s.count(c, began, known, err)
		}()
		header := c.Response().Header()
		// Every answer shares these slices: Set and Add elsewhere replace them, and never
		// write into them.
		header["X-Content-Type-Options"] = s.noSniff
		header["Cache-Control"] = s.noStore
		header[wire.VersionHeader] = s.version
		r.caller, err = s.guard.Admit(c.Request(), accessOf(c))
		if err == nil && s.isClosing() && guard.UnderAPI(c.Request()) {
			err = fault.New(fault.Unavailable, "the host is shutting down")
		}
		if err == nil && deeper(c) {
			err = echo.ErrNotFound
		}
		if err == nil {
			err = s.traced(r, next)
		}
		if errors.Is(err, echo.ErrNotFound) { // no endpoint has the path
			known = false
			err = s.page(r)
		}
		s.auditRefusal(r, err)
		return err
	}
}

// deeper reports whether a path has more segments than the route that Echo gave it to: its last
// parameter matches slashes too. In a segment they are %2F.
func deeper(c echo.Context) bool {
	route, u := c.Path(), c.Request().URL
	if !strings.Contains(route, "/:") {
		return false
	}
	path := u.RawPath
	if path == "" {
		path = u.Path
	}
	return strings.Count(path, "/") > strings.Count(route, "/")
}

// accessOf returns what a request needs.
func accessOf(c echo.Context) guard.Access {
	r := c.Request()
	switch path := c.Path(); {
	case path == "/healthz" || path == "/readyz":
		return guard.Probe
	case path == sessionPath && r.Method == http.MethodPost:
		return guard.Login
	case guard.UnderAPI(r):
		return guard.Token
	case path == guard.MetricsPath:
		return guard.Metrics
	}
	return guard.Public
}

// traced calls the handler of a request within its span. Only requests of the API that the
// guard has admitted by a token have one; event streams last too long for it.
func (s *Server) traced(r *request, next echo.HandlerFunc) (err error) {
	if s.cfg.Tracer == nil || !strings.HasPrefix(r.Path(), "/api/") || r.Path() == streamPath || r.Path() == sessionPath {
		return next(r)
	}
	ctx, end := s.cfg.Tracer.Request(r.Request(), r.Path())
	status := http.StatusInternalServerError // of a panic
	defer func() { end(status, err) }()
	r.SetRequest(r.Request().WithContext(ctx))
	if err = next(r); err != nil {
		status, _ = s.outcome(err, r)
		return err
	}
	status = r.Response().Status
	return nil
}

// scoped admits only tokens with this scope, see Route.
func scoped(scope string, next echo.HandlerFunc) echo.HandlerFunc {
	if scope == ScopeAny {
		scope = "" // the guard has required a token
	}
	return func(c echo.Context) error {
		if err := guard.CheckScope(requestOf(c).caller.Token, scope); err != nil {
			return err
		}
		return next(c)
	}
}
