package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

const tokenKey = "berth.token" // of the request's echo.Context

// guarded checks Host, Origin, the bearer token and the rates, before any
// handler and also before the answers to unknown paths. What is refused goes
// into the audit log.
func (s *Server) guarded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		// The same lists for every answer: Set and Add elsewhere replace them, and
		// never write into them.
		header["X-Content-Type-Options"] = s.noSniff
		header["Cache-Control"] = s.noStore
		header[wire.VersionHeader] = s.version
		err := s.admit(c)
		if err == nil {
			err = next(c)
		}
		s.auditRefusal(c, err)
		return err
	}
}

// admit answers why a request may not come in, or nil. It sets the token.
func (s *Server) admit(c echo.Context) error {
	r := c.Request()
	if c.Path() == "/healthz" || c.Path() == "/readyz" {
		return s.limits.anonymous.take(remoteOf(r)) // asked by address, by whatever supervises the host; they tell nothing
	}
	if err := s.checkHost(r); err != nil {
		return or(s.limits.anonymous.take(remoteOf(r)), err)
	}
	if !underAPI(r) {
		return s.limits.anonymous.take(remoteOf(r))
	}
	secret, err := bearer(r.Header.Get("Authorization"))
	if err != nil {
		return or(s.limits.failures.take(remoteOf(r)), err)
	}
	token, known := s.cfg.Tokens.Verify(secret)
	if !known {
		return or(s.limits.failures.take(remoteOf(r)), unauthenticated(`Bearer realm="berth", error="invalid_token"`,
			"the bearer token is not known here, was revoked or has expired; the admin token is the file admin.token in the host's data directory"))
	}
	c.Set(tokenKey, token)
	if err := s.limits.tokens.take(token.ID); err != nil {
		return err
	}
	if s.isClosing() {
		return fault.New(fault.Unavailable, "the host is shutting down")
	}
	return nil
}

// or returns the first error there is.
func or(first, otherwise error) error {
	if first != nil {
		return first
	}
	return otherwise
}

func underAPI(r *http.Request) bool {
	return r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/")
}

// scoped lets only tokens with this scope through; "" is for everybody.
func scoped(scope Scope, next echo.HandlerFunc) echo.HandlerFunc {
	if scope == "" {
		return next
	}
	return func(c echo.Context) error {
		if !tokenOf(c).Allows(scope) {
			return &refusal{
				status: http.StatusForbidden,
				header: [2]string{"WWW-Authenticate", `Bearer realm="berth", error="insufficient_scope", scope="` + string(scope) + `"`},
				error:  fault.New(fault.Denied, "the token does not have the scope %s", scope),
			}
		}
		return next(c)
	}
}

// tokenOf is the token of an admitted request; the zero Token allows nothing.
func tokenOf(c echo.Context) Token {
	token, _ := c.Get(tokenKey).(Token)
	return token
}

// whileValid ends the context of a request that lasts when its token is revoked
// or expires.
func (s *Server) whileValid(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithCancel(c.Request().Context())
		c.SetRequest(c.Request().WithContext(ctx))
		token := tokenOf(c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(s.cfg.TokenCheck)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if !s.cfg.Tokens.Valid(token) {
					cancel()
				}
			}
		}()
		defer func() {
			cancel()
			<-done
		}()
		return next(c)
	}
}

// bearer takes the token out of an Authorization header (RFC 6750, section 2.1).
func bearer(header string) (string, error) {
	const challenge = `Bearer realm="berth"`
	if header == "" {
		return "", unauthenticated(challenge,
			"a bearer token is required: Authorization: Bearer TOKEN; the admin token is the file admin.token in the host's data directory")
	}
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(secret) == "" {
		return "", unauthenticated(challenge, "the header must be Authorization: Bearer TOKEN")
	}
	return strings.TrimSpace(secret), nil
}

func unauthenticated(challenge, reason string) error {
	return &refusal{
		status: http.StatusUnauthorized,
		header: [2]string{"WWW-Authenticate", challenge},
		error:  &fault.Error{Code: fault.Denied, Field: "Authorization", Reason: reason},
	}
}

// allowedHosts is the set of configured hosts that a request may name.
func allowedHosts(listen string, more []string) map[string]bool {
	hosts := map[string]bool{"localhost": true}
	for _, h := range append([]string{listen}, more...) {
		if h = hostOf(h); h != "" {
			hosts[h] = true
		}
	}
	// Addresses to listen on everywhere, and no host's name.
	delete(hosts, "0.0.0.0")
	delete(hosts, "::")
	return hosts
}

// checkHost refuses a request that names a host this server is not known by: a
// browser that was led here by another site's name (DNS rebinding). A request
// made by a page (Origin) must come from this very host, and so must one of
// which the browser says so otherwise (Sec-Fetch-Site, of the Fetch Metadata
// specification): pages of other sites may only link to the console.
func (s *Server) checkHost(r *http.Request) error {
	if !s.hosts[r.Host] && !s.known(r, hostOf(r.Host)) { // as it is configured, most often
		return &fault.Error{Code: fault.Denied, Field: "Host",
			Reason: fmt.Sprintf("%q is not a name of this host; use localhost or the address it listens on, or allow the name in the configuration", shown(r.Host))}
	}
	origins := r.Header.Values("Origin")
	if len(origins) > 0 {
		u, err := url.Parse(origins[0])
		if len(origins) > 1 || err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return &fault.Error{Code: fault.Denied, Field: "Origin",
				Reason: fmt.Sprintf("pages of %q may not use this host", shown(strings.Join(origins, ", ")))}
		}
	}
	link := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !underAPI(r)
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" && !link {
			return &fault.Error{Code: fault.Denied, Field: "Sec-Fetch-Site",
				Reason: fmt.Sprintf("is %q: pages of other sites may not use this host", shown(site))}
		}
	}
	return nil
}

func (s *Server) known(r *http.Request, host string) bool {
	if s.hosts[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	// An address cannot be rebound: it may be named if the connection came to it.
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return local.AddrPort().Addr().Unmap() == ip.Unmap()
	}
	return false
}

// hostOf returns the host of "host:port", "[v6]:port" or "host", in lower case.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// recovered turns a panic into an internal error.
func recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // net/http's own way to end a connection
			}
			err = fault.New(fault.Internal, "panic: %v\n%s", p, debug.Stack())
		}()
		return next(c)
	}
}
