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
	"time"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/wire"
)

// hostState is what a running host leaves in its data directory.
type hostState struct {
	URL string `json:"url"`
	PID int    `json:"pid"`

	CertFile string `json:"cert_file,omitempty"` // of the certificate it shows, when it speaks TLS
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
}

// connect finds the host: by BERTH_URL and BERTH_TOKEN, or by what a host that
// runs on this machine has written into its data directory.
func (a *app) connect() (*client, error) {
	c := &client{url: os.Getenv("BERTH_URL"), token: os.Getenv("BERTH_TOKEN"), ifMatch: a.ifMatch, http: &http.Client{Timeout: time.Minute}}
	if a.patience > 0 {
		c.http.Timeout = a.patience
	}
	dir := a.dataDirectory()
	if c.url != "" {
		var err error
		if c.url, err = hostURL(c.url); err != nil {
			return nil, err
		}
	} else {
		text, err := os.ReadFile(filepath.Join(dir, stateFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no host is running for the data directory %s: start one with 'berth serve', or say which with --data-dir or BERTH_URL", dir)
		}
		if err != nil {
			return nil, err
		}
		var state hostState
		if err := json.Unmarshal(text, &state); err != nil || state.URL == "" {
			return nil, fmt.Errorf("%s is damaged: restart the host", filepath.Join(dir, stateFile))
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

// hostURL is BERTH_URL as paths of the API follow it. What may be a password in it
// is not shown.
func hostURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("BERTH_URL is not the URL of a host: write it as http://127.0.0.1:8080 or https://berth.example.com")
	case u.User != nil:
		return "", errors.New("BERTH_URL has a user in it: a host knows tokens only; put one into BERTH_TOKEN")
	case u.RawQuery != "" || u.Fragment != "":
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

// do calls the API with a JSON body, or none when body is nil.
func (c *client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	return c.send(ctx, method, path, "", body)
}

// send is do, with the media type of the answer that is wanted, "" for any.
func (c *client) send(ctx context.Context, method, path, accept string, body any) (*http.Response, error) {
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
		req.Header.Set("Content-Type", cmp.Or(c.kind, "application/json"))
	}
	if c.ifMatch != "" {
		req.Header.Set("If-Match", c.ifMatch)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the host at %s does not answer (is it running?): %w", c.url, err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var p problem
	if json.Unmarshal(text, &p.Problem) != nil || p.Title == "" {
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil, p
}

// call is do, with the answer decoded. The raw answer is returned as well.
func (c *client) call(ctx context.Context, method, path string, body, answer any) (json.RawMessage, error) {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	return decoded(resp, answer)
}

// tagged gets something, and returns its ETag.
func (c *client) tagged(ctx context.Context, path string, answer any) (tag string, err error) {
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return "", err
	}
	_, err = decoded(resp, answer)
	return resp.Header.Get("ETag"), err
}

// decoded reads an answer to its end.
func decoded(resp *http.Response, answer any) (json.RawMessage, error) {
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("%s %s: the answer is not what was expected: %w", resp.Request.Method, resp.Request.URL.Path, err)
	}
	return text, nil
}

// fetch calls the API and prints its answer: as it is with --json, with show
// otherwise.
func fetch[T any](ctx context.Context, a *app, method, path string, body any, show func(T) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return fetchBy(ctx, a, c, method, path, body, show)
}

// fetchBy is fetch with a client.
func fetchBy[T any](ctx context.Context, a *app, c *client, method, path string, body any, show func(T) error) error {
	var answer T
	raw, err := c.call(ctx, method, path, body, &answer)
	if err != nil {
		return err
	}
	if a.json {
		_, err := fmt.Fprintf(a.stdout, "%s\n", bytes.TrimSpace(raw))
		return err
	}
	return show(answer)
}
