package session

import (
	"net"
	"net/http"
	"net/url"
)

// cookieName begins the name of the cookie.
const cookieName = "berth_session"

// ConsoleHeader must be "1" in every request of a session that changes something, and in a
// login: a form or a link of another page cannot set it.
const ConsoleHeader = "Berth-Console"

// nameFor returns the name of the cookie of the host that a request names. Browsers keep
// cookies by the host's name without its port: two hosts on one machine would replace each
// other's, so the port is a part of the name.
func nameFor(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		return cookieName + "_" + port
	}
	return cookieName
}

// ID returns the id in a request's cookie; "" for none, and for more than one, of which
// another page has set one.
func ID(r *http.Request) string {
	list := r.CookiesNamed(nameFor(r))
	if len(list) != 1 {
		return ""
	}
	return list[0].Value
}

// Cookie returns the cookie of a session for the answer to a request.
func Cookie(r *http.Request, id string) *http.Cookie {
	return &http.Cookie{
		Name:     nameFor(r),
		Value:    id,
		Path:     "/",
		MaxAge:   int(Life.Seconds()),
		Secure:   secure(r),
		HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	}
}

// NoCookie returns the cookie that removes a session's from the browser.
func NoCookie(r *http.Request) *http.Cookie {
	c := Cookie(r, "")
	c.MaxAge = -1
	return c
}

// secure reports whether the browser speaks TLS: to this host, or to a proxy before it, as
// the page's own origin says.
func secure(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	return r.TLS != nil || err == nil && origin.Scheme == "https"
}
