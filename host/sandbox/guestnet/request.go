package guestnet

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// request is a decoded request of a guest.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte // nil for none
}

// parse decodes {"method", "url", "headers"?, "body"?, "body_base64"?}.
func parse(text []byte) (*request, error) {
	var in struct {
		Method  *string           `json:"method"`
		URL     *string           `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    *string           `json:"body"`
		Base64  *string           `json:"body_base64"`
	}
	if err := event.DecodeWith(strictjson.Decoder{LoneSurrogates: true}, "", text, &in); err != nil {
		return nil, err
	}
	switch method := in.Method; {
	case method == nil:
		return nil, fault.Field("method", "is required")
	case !token(*method):
		return nil, fault.Field("method", "is not a method")
	case strings.EqualFold(*method, http.MethodConnect) || strings.EqualFold(*method, http.MethodTrace):
		return nil, denied("method", *method+" is not let through")
	case in.URL == nil:
		return nil, fault.Field("url", "is required")
	case in.Body != nil && in.Base64 != nil:
		return nil, fault.Field("body", "and body_base64 exclude each other")
	}
	r := &request{method: *in.Method, header: make(http.Header)}
	var err error
	if r.url, err = url.Parse(*in.URL); err != nil || r.url.Hostname() == "" || r.url.Opaque != "" {
		return nil, fault.Field("url", "is not an absolute URL")
	}
	r.url.Fragment, r.url.RawFragment = "", ""
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		if err := r.addHeader(name, in.Headers[name]); err != nil {
			return nil, err
		}
	}
	if in.Body != nil {
		r.body = []byte(*in.Body)
	} else if in.Base64 != nil {
		if r.body, err = base64.StdEncoding.DecodeString(*in.Base64); err != nil {
			return nil, fault.Field("body_base64", "is not base64")
		}
	}
	return r, nil
}

func denied(field, reason string) error {
	return &fault.Error{Code: fault.Denied, Field: field, Reason: reason}
}

// addHeader adds one header. The host sets the headers of the connection and those
// that follow from the URL and the body.
func (r *request) addHeader(name, value string) error {
	field := "headers." + name
	switch {
	case !token(name):
		return fault.Field(field, "is not the name of a header")
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return fault.Field(field, "has a control character")
	}
	canonical := http.CanonicalHeaderKey(name)
	switch canonical {
	case "Host", "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Accept-Encoding", "Expect", "Http2-Settings":
		return denied(field, "is set by the host")
	}
	if strings.HasPrefix(canonical, "Proxy-") {
		return denied(field, "is set by the host")
	}
	if _, there := r.header[canonical]; there {
		return fault.Field(field, "is set twice")
	}
	r.header[canonical] = []string{value}
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
