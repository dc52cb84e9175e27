package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// databaseURL is the URL of a PostgreSQL database, divided as libpq does it: net/url refuses a list of
// servers.
type databaseURL struct {
	scheme     string
	user       string // "" for none
	password   bool   // there is one, which may be empty
	servers    []string
	database   string
	options    url.Values
	behindUser string // of the text
}

const wantDatabase = "write postgres://USER@HOST:5432/DATABASE"

// splitDatabase divides the URL of a database. Its errors do not repeat the URL, which may have a
// password in any place.
func splitDatabase(s string) (u databaseURL, err error) {
	noURL := errors.New("is not the URL of a PostgreSQL database; " + wantDatabase)
	u.scheme, u.behindUser, _ = strings.Cut(s, "://")
	if u.scheme != "postgres" && u.scheme != "postgresql" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return u, noURL
	}
	if i := strings.IndexAny(u.behindUser, "@/"); i >= 0 && u.behindUser[i] == '@' {
		var password string
		u.user, password, u.password = strings.Cut(u.behindUser[:i], ":")
		u.behindUser = u.behindUser[i+1:]
		_, badPassword := url.PathUnescape(password)
		if u.user, err = url.PathUnescape(u.user); err != nil || badPassword != nil {
			return u, noURL
		}
	}
	location, query, _ := strings.Cut(u.behindUser, "?")
	servers, database, _ := strings.Cut(location, "/")
	u.database = strings.Trim(database, "/")
	if _, err := url.PathUnescape(location); err != nil || strings.Contains(servers, "@") {
		return u, noURL
	}
	if u.options, err = url.ParseQuery(query); err != nil {
		return u, errors.New("has options after the ? that cannot be read; " + wantDatabase + "?sslmode=verify-full")
	}
	if servers != "" {
		u.servers = strings.Split(servers, ",")
	}
	return u, nil
}

// checkServer returns why a server of a list, with or without a port, cannot be used.
func checkServer(s string) error {
	host, port, _ := strings.Cut(s, ":")
	if address, bracketed := strings.CutPrefix(s, "["); bracketed {
		address, after, closed := strings.Cut(address, "]")
		unescaped, err := url.PathUnescape(address)
		ip, bad := netip.ParseAddr(unescaped)
		if err != nil || bad != nil || !closed || !ip.Is6() || after != "" && after[0] != ':' {
			return errors.New("has something in brackets that is not an IPv6 address; write postgres://USER@[2001:db8::1]:5432/DATABASE")
		}
		host = address
		_, port, _ = strings.Cut(after, ":")
	} else if strings.Contains(port, ":") {
		return errors.New("has an IPv6 address without brackets; write postgres://USER@[2001:db8::1]:5432/DATABASE")
	}
	if host == "" {
		return errors.New("has a server without a name; write postgres://USER@HOST:5432,HOST:5432/DATABASE")
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return errors.New("has a port that is not 1 to 65535; " + wantDatabase)
	}
	return nil
}

// parseDatabase takes the URL of a PostgreSQL database without a password. Its errors do
// not repeat the URL, which may hold one.
func parseDatabase(s string) (string, error) {
	u, err := splitDatabase(s)
	if err != nil {
		return s, err
	}
	if u.database == "" && !u.options.Has("dbname") {
		return s, errors.New("names no database; " + wantDatabase)
	}
	if u.password || u.options.Has("password") || u.options.Has("sslpassword") || u.options.Has("passwd") {
		return s, errors.New("must not hold a password, which everyone who reads the file would know: take it out, and name it under " +
			"bus.postgres.password as {secret: NAME}, {file: PATH} or {env: NAME}")
	}
	if u.servers == nil && u.options.Get("host") == "" {
		return s, errors.New("names no host; " + wantDatabase + ", or ?host=/run/postgresql for a Unix socket")
	}
	for _, server := range u.servers {
		if err := checkServer(server); err != nil {
			return s, err
		}
	}
	for _, owned := range []string{"search_path", "options", "pool_max_conns"} {
		if u.options.Has(owned) {
			return s, errors.New("must not have the option " + owned + ": bus.postgres.schema and max_connections are for that")
		}
	}
	return s, nil
}

// WithPassword returns the URL with a password for its user. The caller must not show it.
func (p Postgres) WithPassword(password string) (string, error) {
	u, err := splitDatabase(p.URL)
	if err != nil { // the configuration was checked
		return "", fault.Field("bus.postgres.url", "%v", err)
	}
	if u.user == "" {
		u.user = u.options.Get("user")
	}
	if u.user == "" {
		return "", fault.Field("bus.postgres.url", "names no user, to whom the password of bus.postgres.password belongs: write postgres://USER@HOST/DATABASE")
	}
	return u.scheme + "://" + url.UserPassword(u.user, password).String() + "@" + u.behindUser, nil
}
