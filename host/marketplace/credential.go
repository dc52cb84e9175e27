package marketplace

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// Credential is how the host shows one server who it is. It is shown to that
// server only: not to one that an answer leads on to, be it of the same name on
// another port.
type Credential struct {
	Host   string         // host or host:port, as in the URL; without a port it is the scheme's own
	Secret string         // name of the secret: a token, or user:password
	Type   CredentialType // what the secret is
}

// CredentialType says what a credential's secret is.
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
			return fault.Field("marketplace.credentials", "%q is not a host such as plugins.example.com or plugins.example.com:8443", c.Host)
		case c.Type != Bearer && c.Type != Basic:
			return fault.Field("marketplace.credentials", "%s: the type must be bearer or basic", c.Host)
		case c.Secret == "":
			return fault.Field("marketplace.credentials", "%s: names no secret", c.Host)
		}
	}
	return nil
}

// origin is who answers a URL: scheme, host and port.
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

// CredentialFor returns the user and the password, or "" and the token, that the
// configuration has for a server (host or host:port of an https URL); found is
// false when there is none. Errors are those of reading the secret, or fault.Invalid.
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
			return "", "", false, fault.New(fault.CodeOf(err), "the credential of %s: %w", c.Host, err)
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

// guarded is a round tripper that checks every URL, shows a credential to the
// server that was asked in the first place, and takes away whatever would go to
// another.
type guarded struct {
	f    *Fetcher
	next http.RoundTripper
	own  bool // requests bring their credentials themselves
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

// strayed reports whether redirects have led a request away from the server it
// was for, also when they have led it back since: what is asked there then is
// another server's choice.
func strayed(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if origin(r.Response.Request.URL) != origin(req.URL) {
			return true
		}
	}
	return false
}
