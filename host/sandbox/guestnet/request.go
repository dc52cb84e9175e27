package guestnet

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/internal/strict"
)

// request is what a guest wants to send.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte // nil for none
}

// parse reads {"method", "url", "headers"?, "body"?, "body_base64"?}.
func parse(text []byte) (*request, error) {
	r := &request{header: make(http.Header)}
	bodies := 0
	err := strict.Object(text, func(key string, value []byte) (err error) {
		if key == "headers" {
			return strict.Object(value, r.addHeader)
		}
		s, err := "", error(nil)
		switch key {
		case "method", "url", "body", "body_base64":
			if s, err = strict.Text(value); err != nil {
				return err
			}
		default:
			return strict.ErrUnknown
		}
		switch key {
		case "method":
			r.method = s
			if !token(s) {
				return fault.New(fault.Invalid, "is not a method")
			}
			if strings.EqualFold(s, http.MethodConnect) || strings.EqualFold(s, http.MethodTrace) {
				return fault.New(fault.Denied, "%s is not let through", s)
			}
		case "url":
			if r.url, err = url.Parse(s); err != nil || r.url.Hostname() == "" || r.url.Opaque != "" {
				return fault.New(fault.Invalid, "is not an absolute URL")
			}
			r.url.Fragment, r.url.RawFragment = "", ""
		case "body":
			bodies++
			r.body = []byte(s)
		case "body_base64":
			bodies++
			if r.body, err = base64.StdEncoding.DecodeString(s); err != nil {
				return fault.New(fault.Invalid, "is not base64")
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case r.method == "":
		return nil, fault.Field("method", "is required")
	case r.url == nil:
		return nil, fault.Field("url", "is required")
	case bodies > 1:
		return nil, fault.Field("body", "and body_base64 exclude each other")
	}
	return r, nil
}

// addHeader takes one header. Those of the connection, and what the URL and the
// body say, are the host's.
func (r *request) addHeader(name string, value []byte) error {
	s, err := strict.Text(value)
	switch {
	case err != nil:
		return err
	case !token(name):
		return fault.New(fault.Invalid, "is not the name of a header")
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return fault.New(fault.Invalid, "has a control character")
	}
	canonical := http.CanonicalHeaderKey(name)
	switch canonical {
	case "Host", "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Accept-Encoding", "Expect", "Http2-Settings":
		return fault.New(fault.Denied, "is set by the host")
	}
	if strings.HasPrefix(canonical, "Proxy-") {
		return fault.New(fault.Denied, "is set by the host")
	}
	if _, there := r.header[canonical]; there {
		return fault.New(fault.Invalid, "is there twice")
	}
	r.header[canonical] = []string{s}
	return nil
}

// token reports whether s is a token of RFC 9110, section 5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func itoa(n int) string { return strconv.Itoa(n) }
