package config

import (
	"encoding/base64"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	globPattern   = regexp.MustCompile(`^[a-z0-9_.*-]{1,128}$`)
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	secretPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

func checkGlob(v value, glob string) {
	if !globPattern.MatchString(glob) {
		v.fail("%s is not an event type or a glob: it may hold a-z 0-9 _ . - and *, and is at most 128 long", quoted(glob))
	}
}

func checkName(v value, name string) {
	if !namePattern.MatchString(name) {
		v.fail("%s is not a handler's name: it must match %s", quoted(name), namePattern)
	}
}

func readName(v value) string {
	name := v.text()
	if name != "" {
		checkName(v, name)
	}
	return name
}

func readDirectory(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	return filepath.Clean(s)
}

// readPointer reads a JSON Pointer (RFC 6901), or "" for no order at all.
func readPointer(v value) string {
	if v.tag() == "!!str" && v.node.Value == "" {
		return ""
	}
	s := v.text()
	if s != "" && !validPointer(s) {
		v.fail(`%s is not a JSON Pointer; write one like /metadata/subject, or "" for no order`, quoted(s))
	}
	return s
}

func validPointer(s string) bool {
	if len(s) > 256 || s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}

func readAddress(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, "/ ") {
		v.fail("%s is not an address; write host:port, such as 127.0.0.1:8080", quoted(s))
		return ""
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.fail("the port %s is not a number from 0 to 65535", quoted(port))
	}
	return s
}

// readHostName reads a name or address that requests may carry as their Host,
// without a port.
func readHostName(v value) string {
	s := v.text()
	if strings.Contains(s, "*") { // which a reader might take for "every name", and would be none
		v.fail("%s is not a host name: each one is listed, as it is", quoted(s))
		return s
	}
	if strings.ContainsAny(s, "/ @") || strings.Contains(s, ":") && net.ParseIP(s) == nil {
		v.fail("%s is not a host name; write it without scheme and port, such as berth.example.com", quoted(s))
	}
	return s
}

// readKey reads a minisign public key: the algorithm "Ed", 8 bytes of key id,
// 32 of key (minisign's format description).
func readKey(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != 42 || string(raw[:2]) != "Ed" {
		v.fail("%s is not a minisign public key; copy the line of the .pub file that starts with RW", quoted(s))
	}
	return s
}

func readPrivateHost(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return s
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return s
	}
	if !hostPattern.MatchString(s) {
		v.fail("%s is not a host name, an address or a range such as 10.0.0.0/8", quoted(s))
	}
	return s
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

func readGlob(v value) string {
	s := v.text()
	if s != "" {
		checkGlob(v, s)
	}
	return s
}

func readSecret(v value) string {
	s := v.text()
	if s != "" && !secretPattern.MatchString(s) {
		v.fail("%s is not a secret's name: it must match %s", quoted(s), secretPattern)
	}
	return s
}

var hostPattern = regexp.MustCompile(`^(?i)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// readHost reads whom an http grant reaches: a host name or address, "*." before
// a name for all below it, and a port behind it for that port only.
func readHost(v value) string {
	s := strings.ToLower(v.text())
	if s == "" {
		return ""
	}
	if strings.Contains(s, "://") || strings.Contains(s, "/") {
		v.fail("%s must be a host, not a URL; write api.example.com or api.example.com:8443", quoted(s))
		return ""
	}
	host := s
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.String()
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if n, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil || n == 0 {
			v.fail("the port %s is not a number from 1 to 65535", quoted(s[i+1:]))
			return ""
		}
		host = s[:i]
		if trimmed, ok := strings.CutPrefix(host, "["); ok {
			if _, err := netip.ParseAddr(strings.TrimSuffix(trimmed, "]")); err == nil {
				return s
			}
		}
	}
	if len(host) > 253 || !hostPattern.MatchString(strings.TrimPrefix(host, "*.")) {
		v.fail("%s is not a host; write api.example.com, *.example.com or 192.0.2.7:8080", quoted(s))
	}
	return s
}
