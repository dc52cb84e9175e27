package config

import (
	"net/url"
	"strings"
	"time"
)

// readCredentials reads a list of {host, secret, type}. The secret itself never
// stands in the file: only its name does.
func (m *Marketplace) readCredentials(v value) {
	items := v.items()
	if len(items) > 100 {
		v.fail("has %d items; the limit is 100", len(items))
		return
	}
	seen := map[string]bool{}
	for _, item := range items {
		c := Credential{Type: "bearer"}
		item.fields(map[string]func(value){
			"host":   func(v value) { c.Host = readCredentialHost(v) },
			"secret": func(v value) { c.Secret = readSecretName(v) },
			"type":   func(v value) { c.Type = oneOf(v, "bearer", "basic") },
		})
		switch {
		case c.Host == "" || c.Secret == "":
			item.fail("needs host and secret")
		case seen[c.Host]:
			item.fail("%s is here twice", quoted(c.Host))
		}
		seen[c.Host] = true
		m.Credentials = append(m.Credentials, c)
	}
}

// readRefresh reads how often the list is fetched: never, or not so often that it is
// a burden on the marketplace.
func (m *Marketplace) readRefresh(v value) {
	const least = time.Minute
	m.Refresh = v.duration(0, 30*24*time.Hour)
	if m.Refresh != 0 && m.Refresh < least {
		v.fail("is %s; it must be 0s, for never, or at least %s", m.Refresh, least)
	}
}

// readCredentialHost reads who gets a credential: host or host:port, in lower case.
func readCredentialHost(v value) string {
	s := v.text()
	u, err := url.Parse("https://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || s != strings.ToLower(s) {
		v.fail("%s is not a host such as plugins.example.com or registry.local:5000", quoted(s))
	}
	return s
}

func readSecretName(v value) string {
	s := v.text()
	if !secretPattern.MatchString(s) {
		v.fail("%s is not a secret's name; put the token into a file of the directory secrets, and name that here", quoted(s))
	}
	return s
}
