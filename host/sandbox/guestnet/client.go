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

	"github.com/berth-host/berth/host/fault"
)

// Limits of a request and its answer.
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

// Client makes the client of a plugin that reaches what is both asked for and
// granted. An empty granted takes in all that is asked for.
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
	c.http = http.Client{Transport: &n.transport, CheckRedirect: c.redirect}
	return c, nil
}

// Send sends the request that text is (ABI v1, http) and answers the response as
// JSON. Errors: fault.Invalid for what is malformed, fault.Denied for what may
// not be reached or set, fault.Exhausted in a field for a request or response
// that is too large, fault.Timeout and fault.Unavailable when no answer came.
// Their texts are for the guest; why no answer came is told by the cause alone.
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
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "berth")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return "", fault.New(fault.Unavailable, "%s switched to another protocol, which nobody had asked for", r.url.Host)
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

// check asks whether the plugin may reach a URL.
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

// redirect checks every redirect as if the guest had asked for it, and takes
// what may be secret out of a request that goes to another origin.
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
	req.Header.Del("Referer") // the URL before may hold a secret
	return nil
}

// failed gives an error of the transport its code.
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
	// net/http has no value for it; the texts are of its two protocols.
	if text := err.Error(); strings.Contains(text, "response headers exceeded") || strings.Contains(text, "response header list larger") {
		return tooLarge("response headers", -1, maxHeader)
	}
	return &fault.Error{Code: fault.Unavailable, Reason: "no answer came: " + why(err), Err: err}
}

// why tells a guest what went wrong. The error's own text is not for it: it has the
// addresses of name servers and of the host, and what a name stands for inside.
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

// encode makes the JSON that the guest gets.
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
