package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/event"
)

var (
	globPattern   = regexp.MustCompile(`^[a-z0-9_.*-]{1,128}$`)
	secretPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	hostPattern   = regexp.MustCompile(`^(?i)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
)

func anyText(s string) (string, error) { return s, nil }

// valid returns s, or the error about it unless ok.
func valid(s string, ok bool, format string, args ...any) (string, error) {
	if !ok {
		return s, errors.New(document.Quote(s) + " " + fmt.Sprintf(format, args...))
	}
	return s, nil
}

func parseGlob(s string) (string, error) {
	return valid(s, globPattern.MatchString(s), "is not an event type or a glob: it may hold a-z 0-9 _ . - and *, and is at most 128 long")
}

func parseName(s string) (string, error) {
	return valid(s, abi.ValidName(s), "is not a handler's name: it must be 1 to 63 of a-z 0-9 and -, and not begin with -")
}

func parseDirectory(s string) (string, error) { return filepath.Clean(s), nil }

func parsePointer(s string) (string, error) {
	return valid(s, len(s) <= 256 && abi.ValidPointer(s), `is not a JSON Pointer; write one like /metadata/subject, or "" for no order`)
}

// parseFairPointer takes a pointer to something that an envelope can have.
func parseFairPointer(s string) (string, error) {
	if s == "" || len(s) > 256 || !abi.ValidPointer(s) {
		return valid(s, false, `is not a JSON Pointer; write one like /data/tenant, or "" for no sharing`)
	}
	part, member, _ := strings.Cut(s[1:], "/")
	switch part {
	case "data":
		return s, nil
	case "metadata":
		members := event.MetadataMembers()
		return valid(s, slices.Contains(members, member), "names no member of the metadata, which are %s; what an event is about is under /data",
			strings.Join(members, ", "))
	}
	return valid(s, s == "/event_type", "names no part of the envelope, which are /event_type, /data and /metadata")
}

// pointerKind is a JSON Pointer (RFC 6901), or "" for none.
func pointerKind(parse func(string) (string, error)) kind[string] {
	k := textKind("JSON Pointer", parse)
	read := k.read
	k.text, k.read = jsonText[string], func(v document.Value) string {
		if v.Tag() == "!!str" && v.Raw() == "" {
			return ""
		}
		return read(v)
	}
	return k
}

func parseAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, "/ ") {
		return valid(s, false, "is not an address; write host:port, such as 127.0.0.1:8080")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return s, fmt.Errorf("the port %s is not a number from 0 to 65535", document.Quote(port))
	}
	return s, nil
}

// parseHostName takes a name or address of a request's Host header, without a port.
func parseHostName(s string) (string, error) {
	if strings.Contains(s, "*") { // a reader could take it for a wildcard
		return valid(s, false, "is not a host name: each one is listed, as it is")
	}
	return valid(s, !strings.ContainsAny(s, "/ @") && (!strings.Contains(s, ":") || net.ParseIP(s) != nil),
		"is not a host name; write it without scheme and port, such as berth.example.com")
}

// parseKey takes a minisign public key: the algorithm "Ed", 8 bytes of key id and 32
// of key (minisign's format description).
func parseKey(s string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	return valid(s, err == nil && len(raw) == 42 && string(raw[:2]) == "Ed",
		"is not a minisign public key; copy the line of the .pub file that starts with RW")
}

func parsePrivateHost(s string) (string, error) {
	_, noRange := netip.ParsePrefix(s)
	_, noAddress := netip.ParseAddr(s)
	return valid(s, noRange == nil || noAddress == nil || hostPattern.MatchString(s),
		"is not a host name, an address or a range such as 10.0.0.0/8")
}

// parseServer takes host or host:port, in lower case.
func parseServer(s string) (string, error) {
	u, err := url.Parse("https://" + s)
	return valid(s, err == nil && u.Host == s && u.Hostname() != "" && s == strings.ToLower(s),
		"is not a host such as plugins.example.com or registry.local:5000")
}

func parseSecretFile(s string) (string, error) {
	return valid(s, secretPattern.MatchString(s),
		"is not a secret's name; put the token into a file of the directory secrets, and name that here")
}

func parseSecret(s string) (string, error) {
	return valid(s, secretPattern.MatchString(s), "is not a secret's name: it must match %s", secretPattern)
}

// parseHost takes a target of http: a host name or address, "*." before a name for all
// names below it, and a port behind it for that port only.
func parseHost(s string) (string, error) {
	s = strings.ToLower(s)
	if strings.Contains(s, "/") {
		return valid(s, false, "must be a host, not a URL; write api.example.com or api.example.com:8443")
	}
	host := s
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.String(), nil
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if n, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil || n == 0 {
			return s, fmt.Errorf("the port %s is not a number from 1 to 65535", document.Quote(s[i+1:]))
		}
		host = s[:i]
		if trimmed, ok := strings.CutPrefix(host, "["); ok {
			if _, err := netip.ParseAddr(strings.TrimSuffix(trimmed, "]")); err == nil {
				return s, nil
			}
		}
	}
	return valid(s, len(host) <= 253 && hostPattern.MatchString(strings.TrimPrefix(host, "*.")),
		"is not a host; write api.example.com, *.example.com or 192.0.2.7:8080")
}
