// Package guard admits requests: it checks the host that a request names, its origin, its
// bearer token or session, and the rates. A page of another site cannot use a local host by DNS
// rebinding, and guessing tokens is slow. A Guard is safe for concurrent use; its buckets
// hold a lock for the time of one arithmetic operation. Read guard.go first.
package guard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/api/session"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Config holds what a Guard checks requests against.
type Config struct {
	Tokens Verifier
	// Rate bounds each token's requests.
	Rate RateLimit
	// Listen is the address that the host was configured to listen on ("127.0.0.1:8080").
	// Requests may name its host; they may always name localhost, loopback addresses and
	// the address that their connection was made to.
	Listen string
	// AllowedHosts are further names or addresses, without port, that requests may name,
	// such as the public name of a proxy.
	AllowedHosts []string
	// OpenMetrics admits requests for MetricsPath without a token, as one with the scope
	// read, from this machine.
	OpenMetrics bool
	// TokenCheck is the interval at which WhileValid checks a caller.
	TokenCheck time.Duration
	// Sessions are accepted in place of tokens; nil for none.
	Sessions Sessions
}

// Sessions finds the sessions of browsers by the id in their cookie. It must be safe for
// concurrent use.
type Sessions interface {
	// Find returns a session that has not ended, and counts as its use.
	Find(id string) (session.Session, bool)
	// Lasts reports whether a session has not ended, without counting as its use.
	Lasts(id string) bool
}

// Access is what a request needs to be admitted.
type Access int

// The kinds of access. Health probes name the host by its address, and are only rate
// limited.
const (
	Token  Access = iota // a bearer token, or a session
	Public               // nothing: the console's files
	Login                // nothing yet; the header of a session
	Probe
	Metrics // as Token; nothing from this machine if Config.OpenMetrics is set
)

// MetricsPath is the path of the metrics, which needs a token although it is not under /api.
const MetricsPath = "/metrics"

// Caller is who makes a request. The zero Caller may do nothing.
type Caller struct {
	Token   spec.Token
	Session string // id of the session in place of the token; "" for none
}

// Guard admits requests. It is safe for concurrent use.
type Guard struct {
	cfg    Config
	hosts  map[string]bool
	limits limits
}

// New returns a guard.
func New(cfg Config) *Guard {
	return &Guard{cfg: cfg, hosts: allowedHosts(cfg.Listen, cfg.AllowedHosts), limits: newLimits(cfg.Rate)}
}

// Admit returns the caller of a request that needs a token, the zero Caller of others, or
// the refusal.
func (g *Guard) Admit(r *http.Request, access Access) (Caller, error) {
	if access == Probe {
		return Caller{}, g.limits.anonymous.take(remoteOf(r))
	}
	if err := g.checkHost(r); err != nil {
		return Caller{}, or(g.limits.anonymous.take(remoteOf(r)), err)
	}
	switch header := r.Header.Get("Authorization"); {
	case access == Login:
		return Caller{}, or(g.limits.anonymous.take(remoteOf(r)), checkConsole(r))
	case access == Public:
		return Caller{}, g.limits.anonymous.take(remoteOf(r))
	case access == Metrics && g.cfg.OpenMetrics && header == "" && fromThisMachine(r):
		return Caller{Token: spec.Token{Name: "loopback", Scopes: []string{spec.ScopeRead}}}, g.limits.anonymous.take(remoteOf(r))
	case header == "" && g.cfg.Sessions != nil && session.ID(r) != "":
		return g.admitSession(r, session.ID(r))
	default:
		secret, err := bearer(header)
		if err != nil {
			return Caller{}, or(g.limits.failures.take(remoteOf(r)), err)
		}
		token, known := g.cfg.Tokens.Verify(secret)
		if !known {
			return Caller{}, g.RefuseLogin(r, "the bearer token is not known here, was revoked or has expired; the admin token is the "+
				"file admin.token in the host's data directory")
		}
		return Caller{Token: token}, g.limits.tokens.take(token.ID)
	}
}

// admitSession admits a request with the cookie of a session. checkHost has refused those of
// other pages that the browser names as such; a change also needs a header that only this
// host's own pages can set. An id cannot be guessed, so that a wrong one, as of a page that
// was open when its session ended, does not count against logins.
func (g *Guard) admitSession(r *http.Request, id string) (Caller, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if err := checkConsole(r); err != nil {
			return Caller{}, or(g.limits.anonymous.take(remoteOf(r)), err)
		}
	}
	found, ok := g.cfg.Sessions.Find(id)
	if !ok {
		return Caller{}, or(g.limits.anonymous.take(remoteOf(r)), unauthenticated(`Bearer realm="berth"`, "the session has ended; log in again"))
	}
	return Caller{Token: found.Token, Session: id}, g.limits.tokens.take(found.Token.ID)
}

// checkConsole refuses a request without the header of the console's pages.
func checkConsole(r *http.Request) error {
	if r.Header.Get(session.ConsoleHeader) == "1" {
		return nil
	}
	return &fault.Error{Code: fault.Denied, Field: session.ConsoleHeader,
		Reason: "must be 1: a session is for this host's own pages; other clients send Authorization: Bearer TOKEN"}
}

// RefuseLogin returns the refusal of a request with a wrong secret. It counts against the
// address, whose further attempts are refused for a while when there are too many.
func (g *Guard) RefuseLogin(r *http.Request, reason string) error {
	return or(g.limits.failures.take(remoteOf(r)), unauthenticated(`Bearer realm="berth", error="invalid_token"`, reason))
}

// TakeToken counts a request of a token that was admitted without one.
func (g *Guard) TakeToken(t spec.Token) error { return g.limits.tokens.take(t.ID) }

// or returns the first error there is.
func or(first, otherwise error) error {
	if first != nil {
		return first
	}
	return otherwise
}

// fromThisMachine reports whether a program on this machine made a request to this host
// for itself: its address and the name that it uses are of loopback, and no proxy has
// forwarded it.
func fromThisMachine(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	name := hostOf(r.Host)
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

// UnderAPI reports whether a request needs a token.
func UnderAPI(r *http.Request) bool {
	return r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/")
}

// WhileValid returns a context that also ends when the caller's token is revoked or expires,
// or its session ends. The caller of WhileValid must call cancel.
func (g *Guard) WhileValid(parent context.Context, caller Caller) (ctx context.Context, cancel func()) {
	ctx, end := context.WithCancel(parent)
	var checks sync.WaitGroup
	checks.Go(func() {
		tick := time.NewTicker(g.cfg.TokenCheck)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if !g.valid(caller) {
					end()
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() {
		end()
		checks.Wait()
	}
}

func (g *Guard) valid(caller Caller) bool {
	if caller.Session != "" {
		return g.cfg.Sessions.Lasts(caller.Session)
	}
	return g.cfg.Tokens.Valid(caller.Token)
}

// bearer returns the token of an Authorization header (RFC 6750, section 2.1).
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
	return &problem.Refusal{
		Status: http.StatusUnauthorized,
		Header: [2]string{"WWW-Authenticate", challenge},
		Err:    &fault.Error{Code: fault.Denied, Field: "Authorization", Reason: reason},
	}
}

// allowedHosts returns the configured hosts that a request may name.
func allowedHosts(listen string, more []string) map[string]bool {
	hosts := map[string]bool{"localhost": true}
	for _, h := range append([]string{listen}, more...) {
		if h = hostOf(h); h != "" {
			hosts[h] = true
		}
	}
	// Wildcard addresses to listen on are not names of a host.
	delete(hosts, "0.0.0.0")
	delete(hosts, "::")
	return hosts
}

// checkHost refuses a request that names a host which is not this one: another site's name
// has led a browser here (DNS rebinding). The Origin of a request that a page made must be
// this host. So must be its site (Sec-Fetch-Site, Fetch Metadata); pages of other sites may
// only link to the console.
func (g *Guard) checkHost(r *http.Request) error {
	if !g.hosts[r.Host] && !g.known(r, hostOf(r.Host)) { // the map has the usual spelling
		return &fault.Error{Code: fault.Denied, Field: "Host",
			Reason: fmt.Sprintf("%q is not a name of this host; use localhost or the address it listens on, or allow the name in the "+
				"configuration", problem.Short(r.Host))}
	}
	origins := r.Header.Values("Origin")
	if len(origins) > 0 {
		u, err := url.Parse(origins[0])
		if len(origins) > 1 || err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return &fault.Error{Code: fault.Denied, Field: "Origin",
				Reason: fmt.Sprintf("pages of %q may not use this host", problem.Short(strings.Join(origins, ", ")))}
		}
	}
	link := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !UnderAPI(r) && r.URL.Path != MetricsPath
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" && !link {
			return &fault.Error{Code: fault.Denied, Field: "Sec-Fetch-Site",
				Reason: fmt.Sprintf("is %q: pages of other sites may not use this host", problem.Short(site))}
		}
	}
	return nil
}

func (g *Guard) known(r *http.Request, host string) bool {
	if g.hosts[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	// An address cannot be rebound: a request may name the one its connection was made to.
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
