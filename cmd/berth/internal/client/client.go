// Package client calls the API of one host, and believes only answers of a Berth host to the
// request that was sent. It finds a host by its URL, or by the state that a host on this
// machine has written into its data directory. Read client.go first.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/wire"
)

// Config is the configuration of a client.
type Config struct {
	URL     string        // of the host; "" is the host of the data directory
	DataDir string        // of the host on this machine
	Timeout time.Duration // of a request; 0 is a minute
	Version string        // of this program, for errors
}

// Client calls the API of one host. It is safe for concurrent use; its fields must not be
// changed meanwhile.
type Client struct {
	URL     string
	Token   string
	Kind    string // media type of bodies; "" is application/json
	IfMatch string // the header If-Match; "" for none
	// IfAbsent makes a change fail if there is something already: If-None-Match: *.
	IfAbsent bool
	HTTP     *http.Client

	version string
	known   atomic.Bool // a Berth host has answered there
}

// Connect finds the host and its token: BERTH_TOKEN for the host at BERTH_URL, otherwise the
// admin token in the data directory.
func Connect(cfg Config) (*Client, error) {
	elsewhere := os.Getenv("BERTH_URL")
	c := &Client{URL: cfg.URL, Token: os.Getenv("BERTH_TOKEN"), version: cfg.Version,
		HTTP: &http.Client{Timeout: cmp.Or(cfg.Timeout, time.Minute), CheckRedirect: refuseRedirect}}
	if cfg.URL == "" && elsewhere != "" {
		c.Token = "" // BERTH_TOKEN belongs to the host at BERTH_URL
	}
	if c.URL != "" {
		var err error
		if c.URL, err = hostURL(c.URL); err != nil {
			return nil, err
		}
	} else {
		state, err := ReadState(cfg.DataDir)
		if err != nil {
			return nil, err
		}
		c.URL = strings.TrimRight(state.URL, "/")
		if state.CertFile != "" {
			if c.HTTP.Transport, err = pinned(state.CertFile); err != nil {
				return nil, fmt.Errorf("load the certificate of the host at %s: %w", c.URL, err)
			}
		}
	}
	if c.Token == "" {
		if !Loopback(c.URL) {
			return nil, fmt.Errorf("set BERTH_TOKEN for %s: the admin token of this machine's host is not sent elsewhere", c.URL)
		}
		token, err := auth.ReadToken(cfg.DataDir)
		if err != nil {
			return nil, fmt.Errorf("read the admin token (or set BERTH_TOKEN): %w", err)
		}
		c.Token = token
	}
	return c, checkToken(c.Token)
}

// Elsewhere reports whether BERTH_URL names another host than the one of a data directory.
func Elsewhere(dataDir string) bool {
	at := os.Getenv("BERTH_URL")
	if at == "" {
		return false
	}
	state, err := ReadState(dataDir)
	url, wrong := hostURL(at)
	return err != nil || wrong != nil || strings.TrimRight(state.URL, "/") != url
}

// refuseRedirect follows no redirect: a host sends none, and the token must not be sent to
// another server.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// hostURL returns BERTH_URL as paths of the API follow it. Errors do not quote it, since it
// may contain a password.
func hostURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("BERTH_URL is not the URL of a host: write it as http://127.0.0.1:8080 or https://berth.example.com")
	case u.User != nil:
		return "", errors.New("BERTH_URL has a user in it: a host knows tokens only; put one into BERTH_TOKEN")
	case strings.ContainsAny(raw, "?#"): // an empty one too: the path would be a part of it
		return "", errors.New("BERTH_URL has a query or a fragment in it: leave that out")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// checkToken refuses text that no header can carry.
func checkToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("BERTH_TOKEN is not a token: it holds a space, a line break or another character that no token has")
	}
	return nil
}

// pinned trusts exactly the certificate in this file, that of the host on this machine,
// whatever its names and its issuer.
func pinned(certFile string) (http.RoundTripper, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", certFile)
	}
	return &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection compares the certificate
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the host shows another certificate than %s: try again, or restart it", certFile)
			}
			return nil
		},
	}}, nil
}

// Loopback reports whether a URL names this machine by a loopback name or address.
func Loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	return LoopbackName(u.Hostname())
}

// LoopbackName is Loopback for a host name or address.
func LoopbackName(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Problem is an error that the API answered.
type Problem struct{ wire.Problem }

// Error implements error.
func (p Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Field != "" && !strings.HasPrefix(text, p.Field) {
		text = p.Field + ": " + text
	}
	return text
}

// Do calls the API with a JSON body, or none when body is nil. The answer is one of success,
// of the media type kind; the caller must close its body.
func (c *Client) Do(ctx context.Context, method, path, kind string, body any) (*http.Response, error) {
	if err := c.recognise(ctx); err != nil {
		return nil, err
	}
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case json.RawMessage:
		payload = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if payload != nil {
		req.Header.Set("Content-Type", cmp.Or(c.Kind, JSONType))
	}
	if c.IfMatch != "" {
		req.Header.Set("If-Match", c.IfMatch)
	}
	if c.IfAbsent {
		req.Header.Set("If-None-Match", "*")
	}
	if kind == StreamType {
		req.Header.Set("Accept", kind)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if err := c.check(resp, method, path, kind); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// recognise asks once, without a token, whether there is a Berth host at the URL, so that no
// other server gets the token.
func (c *Client) recognise(ctx context.Context) error {
	if c.known.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // streams have no other timeout
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10) // for the connection to be reused
	if err := c.recognised(resp); err != nil {
		return err
	}
	c.known.Store(true)
	return nil
}

// unreachable says why there is no answer: the command was interrupted, or the host is away.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("interrupted before the host at %s answered: %w", c.URL, context.Cause(ctx))
	}
	return fmt.Errorf("the host at %s does not answer (is it running?): %w", c.URL, err)
}

// Call is Do with the answer decoded; nil expects none. It also returns the raw answer.
func (c *Client) Call(ctx context.Context, method, path string, body, answer any) (json.RawMessage, error) {
	raw, _, err := c.Tagged(ctx, method, path, body, answer)
	return raw, err
}

// Tagged is Call, and also returns the answer's ETag. 204 leaves answer as it is.
func (c *Client) Tagged(ctx context.Context, method, path string, body, answer any) (raw json.RawMessage, tag string, err error) {
	resp, err := c.Do(ctx, method, path, JSONType, body)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if answer != nil && resp.StatusCode != http.StatusNoContent {
		raw, err = c.decoded(resp, answer)
	}
	return raw, resp.Header.Get("ETag"), err
}
