package marketplace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// Session is a group of fetches that share their connections. It is safe for concurrent
// use. Close it soon: a connection was checked when it was made, not later.
type Session struct {
	f         *Fetcher
	transport *http.Transport
	client    *http.Client
}

// Session begins a session.
func (f *Fetcher) Session() *Session {
	t := f.transport()
	return &Session{f: f, transport: t, client: &http.Client{Transport: guarded{f: f, next: t}, CheckRedirect: f.redirect}}
}

// Close closes the connections that are not in use.
func (s *Session) Close() { s.transport.CloseIdleConnections() }

// Client returns an HTTP client under the same checks as the Fetcher, for packages with a
// protocol of their own. It sends no configured credential: such a package calls
// CredentialFor.
func (s *Session) Client() *http.Client {
	return &http.Client{Transport: guarded{f: s.f, next: s.transport, own: true}, CheckRedirect: s.f.redirect}
}

// Explain adds a code to an error of Client, as for other fetches, and removes the URL.
func (s *Session) Explain(u *url.URL, err error) error { return s.f.explain(u, err) }

// CheckURL refuses a URL with another scheme than https, http for a host that is not
// listed, or a private address: fault.Invalid.
func (s *Session) CheckURL(u *url.URL) error { return s.f.check(u) }

// request is one request.
type request struct {
	accept string
	offset int64 // of the first byte wanted
}

// do requests a URL. The response has a success status and the identity encoding.
func (s *Session) do(ctx context.Context, u *url.URL, r request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fault.Field("url", "is not a URL")
	}
	req.Header.Set("Accept", r.accept)
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "berth")
	if r.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", r.offset))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	coding := resp.Header.Get("Content-Encoding")
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		err = unavailable("the server answers %s", resp.Status)
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		err = &fault.Error{Code: fault.Invalid, Field: "url", Reason: "the server answers " + resp.Status, Err: ErrAbsent}
	case resp.StatusCode != http.StatusOK && (r.offset == 0 || resp.StatusCode != http.StatusPartialContent):
		err = fault.Field("url", "the server answers %s", resp.Status)
	case coding != "" && !strings.EqualFold(coding, "identity"):
		err = fault.Field("url", "the server sends the content encoded as %q although it was asked not to; it is fetched as it is", coding)
	}
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

// ErrAbsent is in the error of a URL without content: 404 or 410.
var ErrAbsent = errors.New("there is nothing")

// Get returns a file of at most limit bytes. Errors name the field url: fault.Invalid if
// a retry will not help (with ErrAbsent if there is no content), fault.Exhausted if the
// content is too large, fault.Unavailable if the server cannot be reached or has failed,
// fault.Timeout if it was too slow.
func (s *Session) Get(ctx context.Context, rawURL string, limit int64) ([]byte, error) {
	u, err := s.f.parse(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.f.cfg.Timeout)
	defer cancel()
	content, err := s.small(ctx, u, limit)
	switch {
	case ctx.Err() != nil:
		// The connection was closed in the middle; a server that notices may end its
		// response properly.
		return nil, s.f.late(u, ctx.Err())
	case err != nil:
		return nil, s.f.explain(u, err)
	}
	return content, nil
}

func (s *Session) small(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	resp, err := s.do(ctx, u, request{accept: "application/json, */*;q=0.1"})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = tooLarge(limit)
	}
	return content, err
}

// Open streams the content of a URL from a byte on. If the server cannot begin there, the
// bytes before are read and dropped. Reads fail with fault.Timeout if nothing arrives for
// Config.Stall, and with fault.Unavailable if the connection ends early; both can be
// resumed. ctx bounds the whole, the reader its size. Close it.
func (s *Session) Open(ctx context.Context, rawURL string, offset int64) (io.ReadCloser, error) {
	u, err := s.f.parse(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	b := &stream{f: s.f, u: u, cause: func() error { return context.Cause(ctx) }, cancel: cancel}
	b.timer = time.AfterFunc(s.f.cfg.Stall, func() { cancel(errStalled) })
	resp, err := s.do(ctx, u, request{accept: "application/wasm, */*;q=0.1", offset: offset})
	if err != nil {
		err = b.explain(err)
		b.end()
		return nil, err
	}
	b.body = resp.Body
	skip := offset
	if resp.StatusCode == http.StatusPartialContent {
		if from := firstOf(resp.Header.Get("Content-Range")); from != offset {
			return nil, errors.Join(fault.Field("url", "the server was asked for the content from byte %d on, and sends another part",
				offset), b.Close())
		}
		skip = 0
	}
	if n, err := io.CopyN(io.Discard, b, skip); err != nil {
		if errors.Is(err, io.EOF) {
			err = fault.Field("url", "the content ends after %d bytes, before byte %d", n, offset)
		}
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// firstOf returns the offset of the first byte in a Content-Range; -1 if there is none.
func firstOf(header string) int64 {
	span, ok := strings.CutPrefix(header, "bytes ")
	first, _, dash := strings.Cut(span, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if !ok || !dash || err != nil {
		return -1
	}
	return n
}

var errStalled = errors.New("no data for too long")

// stream is a response body with a bound on the time between two reads.
type stream struct {
	f      *Fetcher
	u      *url.URL
	body   io.ReadCloser
	cause  func() error // why the request was ended, or nil
	cancel context.CancelCauseFunc
	timer  *time.Timer
	closed atomic.Bool
}

// Read implements io.Reader.
func (b *stream) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if n > 0 {
		b.timer.Reset(b.f.cfg.Stall)
	}
	if err != nil && (!errors.Is(err, io.EOF) || b.cause() != nil) {
		err = b.explain(err) // a server that notices a broken connection may end in good order
	}
	return n, err
}

func (b *stream) explain(err error) error {
	switch {
	case errors.Is(b.cause(), errStalled):
		return &fault.Error{Code: fault.Timeout, Field: "url", Reason: fmt.Sprintf("%s sent nothing for %v", b.u.Host, b.f.cfg.Stall),
			Err: errStalled}
	case errors.Is(b.cause(), context.Canceled):
		return cancelled(b.u, b.cause())
	case b.cause() != nil:
		return &fault.Error{Code: fault.Timeout, Field: "url", Reason: b.u.Host + " did not send the content in time", Err: b.cause()}
	}
	return b.f.explain(b.u, err)
}

// end stops the goroutines of the body.
func (b *stream) end() {
	b.timer.Stop()
	b.cancel(nil)
}

// Close implements io.Closer.
func (b *stream) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	b.end()
	return b.body.Close()
}
