package main

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
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/wire"
)

// hostState is what a running host leaves in its data directory.
type hostState struct {
	URL string `json:"url"`
	PID int    `json:"pid"`

	CertFile string `json:"cert_file,omitempty"` // of the certificate it shows, when it speaks TLS

	Directory string `json:"directory,omitempty"` // what relative paths of its configuration are relative to
	Config    string `json:"config,omitempty"`    // its configuration, which need not be there
}

// Files of the data directory.
const (
	stateFile = "host.json"
	tokenFile = auth.TokenFile
)

const defaultDataDir = "data"

// client calls the API of one host.
type client struct {
	url, token string
	kind       string // media type of bodies; "" is application/json
	ifMatch    string // the header If-Match; "" for none
	http       *http.Client
	known      atomic.Bool // a Berth host has answered there
}

// connect finds the host: by BERTH_URL and BERTH_TOKEN, or by what a host that
// runs on this machine has written into its data directory.
func (a *app) connect() (*client, error) {
	return a.connectTo(os.Getenv("BERTH_URL"))
}

// connectTo is connect to the host at a URL; "" is the one of the data directory.
func (a *app) connectTo(at string) (*client, error) {
	c := &client{url: at, token: os.Getenv("BERTH_TOKEN"), ifMatch: a.ifMatch, http: &http.Client{Timeout: time.Minute, CheckRedirect: refuseRedirect}}
	if at == "" && os.Getenv("BERTH_URL") != "" {
		c.token = "" // BERTH_TOKEN is of the host there
	}
	if a.timeout > 0 {
		c.http.Timeout = a.timeout
	}
	dir := a.dataDirectory()
	if c.url != "" {
		var err error
		if c.url, err = hostURL(c.url); err != nil {
			return nil, err
		}
	} else {
		state, err := a.hostState()
		if err != nil {
			return nil, err
		}
		c.url = strings.TrimRight(state.URL, "/")
		if state.CertFile != "" {
			if c.http.Transport, err = pinned(state.CertFile); err != nil {
				return nil, fmt.Errorf("the certificate of the host at %s: %w", c.url, err)
			}
		}
	}
	if c.token == "" {
		if !loopback(c.url) {
			return nil, fmt.Errorf("set BERTH_TOKEN for %s: the admin token of this machine's host is not sent elsewhere", c.url)
		}
		token, err := auth.ReadToken(dir)
		if err != nil {
			return nil, fmt.Errorf("read the admin token (or set BERTH_TOKEN): %w", err)
		}
		c.token = token
	}
	return c, checkToken(c.token)
}

// elsewhere reports whether BERTH_URL leads to another host than the one that runs
// on the data directory.
func (a *app) elsewhere() bool {
	at := os.Getenv("BERTH_URL")
	if at == "" {
		return false
	}
	state, err := a.hostState()
	url, wrong := hostURL(at)
	return err != nil || wrong != nil || strings.TrimRight(state.URL, "/") != url
}

// refuseRedirect follows no redirect: a host sends none, and the token is not for wherever
// another server leads.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// hostState reads what the host on this machine has written into its data directory.
func (a *app) hostState() (state hostState, err error) {
	dir := a.dataDirectory()
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("no host is running for the data directory %s: start one with 'berth serve', or say which with --data-dir or BERTH_URL", dir)
	}
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(text, &state); err != nil || state.URL == "" {
		return state, fmt.Errorf("%s is damaged: restart the host", filepath.Join(dir, stateFile))
	}
	return state, nil
}

// hostURL is BERTH_URL as paths of the API follow it. What may be a password in it
// is not shown.
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

// checkToken refuses what cannot be a token; it could not even be sent.
func checkToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("BERTH_TOKEN is not a token: it holds a space, a line break or another character that no token has")
	}
	return nil
}

// dataDirectory is the data directory that a command is about.
func (a *app) dataDirectory() string {
	if a.dataDir != "" {
		return a.dataDir
	}
	if dir := os.Getenv("BERTH_DATA_DIR"); dir != "" {
		return dir
	}
	return defaultDataDir
}

// pinned trusts exactly the certificate in this file: that of the host on this
// machine, whatever name it is for and whoever signed it.
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
		InsecureSkipVerify: true, // the comparison takes its place
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the host shows another certificate than %s: try again, or restart it", certFile)
			}
			return nil
		},
	}}, nil
}

// loopback reports whether a URL leads to this machine.
func loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}

// problem is an error that the API answered.
type problem struct{ wire.Problem }

// Error implements error.
func (p problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Field != "" && !strings.HasPrefix(text, p.Field) {
		text = p.Field + ": " + text
	}
	return text
}

// do calls the API with a JSON body, or none when body is nil. The answer is one
// of success, of the media type kind.
func (c *client) do(ctx context.Context, method, path, kind string, body any) (*http.Response, error) {
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
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if payload != nil {
		req.Header.Set("Content-Type", cmp.Or(c.kind, jsonType))
	}
	if c.ifMatch != "" {
		req.Header.Set("If-Match", c.ifMatch)
	}
	if kind == streamType {
		req.Header.Set("Accept", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if err := c.check(resp, method, path, kind); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// recognise asks, the first time, what is at the host's address. A token is shown
// to nobody but a Berth host: not to a login page, nor to whatever else listens
// there since the host has gone.
func (c *client) recognise(ctx context.Context) error {
	if c.known.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // a stream has no other bound
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10) // so that the connection serves again
	if err := c.recognised(resp); err != nil {
		return err
	}
	c.known.Store(true)
	return nil
}

func (c *client) unreachable(err error) error {
	return fmt.Errorf("the host at %s does not answer (is it running?): %w", c.url, err)
}

// call is do, with the answer decoded; nil expects none. The raw answer is returned
// as well.
func (c *client) call(ctx context.Context, method, path string, body, answer any) (json.RawMessage, error) {
	raw, _, err := c.tagged(ctx, method, path, body, answer)
	return raw, err
}

// tagged is call, and returns the answer's ETag too.
func (c *client) tagged(ctx context.Context, method, path string, body, answer any) (raw json.RawMessage, tag string, err error) {
	resp, err := c.do(ctx, method, path, jsonType, body)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if answer != nil {
		raw, err = c.decoded(resp, answer)
	}
	return raw, resp.Header.Get("ETag"), err
}

// fetch calls the API and prints its answer, which must pass the checks: as it is
// with --json, with show otherwise.
func fetch[T any](ctx context.Context, a *app, method, path string, body any, show func(T) error, checks ...func(T) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return fetchBy(ctx, a, c, method, path, body, show, checks...)
}

// fetchBy is fetch with a client.
func fetchBy[T any](ctx context.Context, a *app, c *client, method, path string, body any, show func(T) error, checks ...func(T) error) error {
	var answer T
	raw, err := c.call(ctx, method, path, body, &answer)
	if err != nil {
		return err
	}
	for _, check := range checks {
		if err := check(answer); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(raw)
	}
	return show(answer)
}
