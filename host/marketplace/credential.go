package marketplace

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// Credential authenticates the host to one server. It is sent to that server only, not
// after a redirect, not even to another port of the same name.
type Credential struct {
	Host   string         // host or host:port, as in the URL; without a port, that of the scheme
	Secret string         // name of the secret: a token, or user:password
	Type   CredentialType // of the secret
}

// CredentialType is the type of a credential's secret.
type CredentialType string

// The types of credentials.
const (
	Bearer CredentialType = "bearer" // a token
	Basic  CredentialType = "basic"  // user:password
)

func checkCredentials(list []Credential) error {
	for _, c := range list {
		u, err := url.Parse("https://" + c.Host)
		switch {
		case err != nil || u.Host != c.Host || u.Hostname() == "":
			return fault.Field("marketplace.credentials", "%q is not a host such as plugins.example.com or plugins.example.com:8443",
				c.Host)
		case c.Type != Bearer && c.Type != Basic:
			return fault.Field("marketplace.credentials", "%s: the type must be bearer or basic", c.Host)
		case c.Secret == "":
			return fault.Field("marketplace.credentials", "%s: names no secret", c.Host)
		}
	}
	return nil
}

// origin returns the scheme, host and port of a URL.
func origin(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return u.Scheme + "://" + canonical(u.Hostname()) + ":" + port
}

// CredentialFor returns the user and the password, or "" and the token, for a server (host
// or host:port of an https URL); found is false if none is configured. Errors are those of
// reading the secret, or fault.Invalid.
func (f *Fetcher) CredentialFor(host string) (user, secret string, found bool, err error) {
	return f.credential(&url.URL{Scheme: "https", Host: host})
}

func (f *Fetcher) credential(u *url.URL) (user, secret string, found bool, err error) {
	for _, c := range f.cfg.Credentials {
		if origin(&url.URL{Scheme: u.Scheme, Host: c.Host}) != origin(u) {
			continue
		}
		if f.cfg.Secret == nil {
			return "", "", false, fault.New(fault.NotFound, "the secret %s for %s: there are no secrets", c.Secret, c.Host)
		}
		secret, err := f.cfg.Secret(c.Secret)
		if err != nil {
			return "", "", false, fault.New(fault.CodeOf(err), "load credential for %s: %w", c.Host, err)
		}
		if secret == "" || strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", "", false, fault.New(fault.Invalid, "the secret %s for %s: must be one line of text", c.Secret, c.Host)
		}
		if c.Type == Bearer {
			return "", secret, true, nil
		}
		user, password, ok := strings.Cut(secret, ":")
		if !ok || user == "" {
			return "", "", false, fault.New(fault.Invalid, "the secret %s for %s: must be user:password", c.Secret, c.Host)
		}
		return user, password, true, nil
	}
	return "", "", false, nil
}

// guarded is a round tripper that checks every URL, adds the credential for the server of
// the original request, and removes credentials from requests to other servers.
type guarded struct {
	f    *Fetcher
	next http.RoundTripper
	own  bool // requests contain their credentials already
}

// RoundTrip implements http.RoundTripper.
func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.f.check(req.URL); err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	if strayed(req) {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
		return g.next.RoundTrip(req)
	}
	if !g.own {
		user, secret, found, err := g.f.credential(req.URL)
		switch {
		case err != nil:
			return nil, err
		case found && user == "":
			req.Header.Set("Authorization", "Bearer "+secret)
		case found:
			req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
		}
	}
	return g.next.RoundTrip(req)
}

// strayed reports whether redirects have led a request away from its server, even if they
// have led it back since: the URL is another server's choice then.
func strayed(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if origin(r.Response.Request.URL) != origin(req.URL) {
			return true
		}
	}
	return false
}
