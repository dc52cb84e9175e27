package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
)

const tokenKey = "berth.token" // of the request's echo.Context

// guarded checks Host, Origin and the bearer token, in this order, before any
// handler and also before the answers to unknown paths.
func (s *Server) guarded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		header := c.Response().Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		if c.Path() == "/healthz" || c.Path() == "/readyz" {
			return next(c) // asked by address, by whatever supervises the host; they tell nothing
		}
		if err := s.checkHost(r); err != nil {
			return err
		}
		if r.URL.Path != "/api" && !strings.HasPrefix(r.URL.Path, "/api/") {
			return next(c)
		}
		secret, err := bearer(r.Header.Get("Authorization"))
		if err != nil {
			return err
		}
		token, known := s.cfg.Tokens.Verify(secret)
		if !known {
			return unauthenticated(`Bearer realm="berth", error="invalid_token"`,
				"the bearer token is not known here; the admin token is the file admin.token in the host's data directory")
		}
		if s.isClosing() {
			return fault.New(fault.Unavailable, "the host is shutting down")
		}
		c.Set(tokenKey, token)
		return next(c)
	}
}

// scoped lets only tokens with this scope through; "" is for everybody.
func scoped(scope Scope, next echo.HandlerFunc) echo.HandlerFunc {
	if scope == "" {
		return next
	}
	return func(c echo.Context) error {
		token, _ := c.Get(tokenKey).(Token)
		if !token.Allows(scope) {
			return &refusal{
				status: http.StatusForbidden,
				header: [2]string{"WWW-Authenticate", `Bearer realm="berth", error="insufficient_scope", scope="` + string(scope) + `"`},
				error:  fault.New(fault.Denied, "the token does not have the scope %s", scope),
			}
		}
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
// made by a page (Origin) must come from this very host.
func (s *Server) checkHost(r *http.Request) error {
	if !s.known(r, hostOf(r.Host)) {
		return &fault.Error{Code: fault.Denied, Field: "Host",
			Reason: fmt.Sprintf("%q is not a name of this host; use localhost or the address it listens on, or allow the name in the configuration", r.Host)}
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return nil
	}
	u, err := url.Parse(origins[0])
	if len(origins) > 1 || err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return &fault.Error{Code: fault.Denied, Field: "Origin",
			Reason: fmt.Sprintf("pages of %q may not use this host", strings.Join(origins, ", "))}
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
