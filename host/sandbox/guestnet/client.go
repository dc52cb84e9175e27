package guestnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Limits of a request and its response.
const (
	MaxRequest   = 1 << 20 // bytes of the request's JSON
	MaxResponse  = 1 << 20 // bytes of the response's body
	MaxRedirects = 3
)

// Client sends the requests of one plugin.
type Client struct {
	asked, granted []Pattern
	http           http.Client
}

// Client returns the client of a plugin, which connects to hosts that are both requested
// (asked) and granted. An empty granted grants all requested hosts.
func (n *Network) Client(asked, granted []string) (*Client, error) {
	c := &Client{}
	for _, list := range []struct {
		to   *[]Pattern
		from []string
	}{{&c.asked, asked}, {&c.granted, granted}} {
		for _, s := range list.from {
			p, err := ParsePattern(s)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, p)
		}
	}
	c.http = http.Client{Transport: n.requests, CheckRedirect: c.redirect}
	return c, nil
}

// Send sends a request in the JSON form of ABI v1 (http) and returns the response as JSON.
// Errors: fault.Invalid for a malformed request, fault.Denied for a host that is not
// granted or a header of the host, fault.Exhausted with a field for a request or response
// that is too large, fault.Timeout and fault.Unavailable when no response came. The texts
// are for the guest; the detailed reason of fault.Unavailable is in the cause.
func (c *Client) Send(ctx context.Context, text []byte) (string, error) {
	if len(text) > MaxRequest {
		return "", tooLarge("request", len(text), MaxRequest)
	}
	r, err := parse(text)
	if err != nil {
		return "", err
	}
	if err := c.check(r.url); err != nil {
		return "", err
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), body)
	if err != nil {
		return "", fault.New(fault.Invalid, "%w", err)
	}
	req.Header = r.header
	req.Header.Set("Accept-Encoding", "identity")
	if key := event.IdempotencyKeyOf(ctx); key != "" && req.Header.Values("Idempotency-Key") == nil {
		req.Header.Set("Idempotency-Key", key)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "berth")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return "", fault.New(fault.Unavailable, "%s switched to another protocol without a request", r.url.Host)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	if err != nil {
		return "", failed(err)
	}
	if len(content) > MaxResponse {
		return "", tooLarge("response", -1, MaxResponse)
	}
	return encode(resp, content)
}

// check returns fault.Denied for a URL that is not granted.
func (c *Client) check(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return fault.New(fault.Denied, "the scheme %q is neither http nor https", u.Scheme)
	}
	if u.User != nil {
		return fault.New(fault.Denied, "a URL must not hold a user and password; use the header authorization")
	}
	match := func(p Pattern) bool { return p.match(u) }
	if !slices.ContainsFunc(c.asked, match) || len(c.granted) > 0 && !slices.ContainsFunc(c.granted, match) {
		return fault.New(fault.Denied, "the host %s is not granted to this plugin", u.Host)
	}
	return nil
}

// redirect checks every redirect like a request of the guest, and removes headers that may
// be secret from a request to another origin.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fault.New(fault.Denied, "it was redirected more than %d times", MaxRedirects)
	}
	if err := c.check(req.URL); err != nil {
		return fault.New(fault.Denied, "it was redirected: %w", err)
	}
	for _, earlier := range via {
		if earlier.URL.Scheme != req.URL.Scheme || earlier.URL.Host != req.URL.Host {
			for name := range req.Header {
				switch name {
				case "Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "User-Agent":
				default:
					req.Header.Del(name)
				}
			}
		}
	}
	req.Header.Del("Referer") // the previous URL may contain a secret
	return nil
}

// failed returns the fault for an error of the transport.
func failed(err error) error {
	var known *fault.Error
	var wait net.Error
	switch {
	case errors.As(err, &known):
		return &fault.Error{Code: known.Code, Field: known.Field, Reason: known.Reason, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &wait) && wait.Timeout():
		return fault.New(fault.Timeout, "no answer came in time")
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the URL
	}
	// net/http has no error value for it; these are the texts of its two protocols
	if text := err.Error(); strings.Contains(text, "response headers exceeded") || strings.Contains(text, "response header list larger") {
		return tooLarge("response headers", -1, maxHeader)
	}
	return &fault.Error{Code: fault.Unavailable, Reason: "no answer came: " + why(err), Err: err}
}

// why returns the reason of an error for a guest. The error's own text has addresses of name
// servers, of the host, and of internal names.
func why(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	is := func(errs ...error) bool {
		return slices.ContainsFunc(errs, func(e error) bool { return errors.Is(err, e) })
	}
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "there is no host of that name"
	case errors.As(err, &name):
		return "the host's name cannot be resolved"
	case errors.As(err, &certificate):
		return "the server's certificate is not accepted"
	case errors.As(err, &record), errors.As(err, &alert):
		return "TLS failed"
	case is(syscall.ECONNREFUSED):
		return "the connection was refused"
	case is(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL):
		return "the host cannot be reached"
	case is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE),
		// net/http's error when the server closes before the request is written has no name.
		strings.Contains(err.Error(), "server closed idle connection"):
		return "the connection was broken off"
	}
	return "the exchange failed"
}

func tooLarge(what string, size, limit int) error {
	reason := "is larger than"
	if size >= 0 {
		reason = "is " + itoa(size) + " bytes; the limit is"
	}
	return &fault.Error{Code: fault.Exhausted, Field: what, Reason: reason + " " + itoa(limit) + " bytes"}
}

// encode returns the response as JSON.
func encode(resp *http.Response, content []byte) (string, error) {
	out := struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    *string           `json:"body,omitempty"`
		Base64  string            `json:"body_base64,omitempty"`
	}{Status: resp.StatusCode, Headers: make(map[string]string, len(resp.Header))}
	for name, values := range resp.Header {
		out.Headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	if utf8.Valid(content) {
		text := string(content)
		out.Body = &text
	} else {
		out.Base64 = base64.StdEncoding.EncodeToString(content)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return "", fault.New(fault.Internal, "encode a response: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
