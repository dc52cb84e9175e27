package desk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/guestnet"
)

// Exchange is a recorded answer to an HTTP request.
type Exchange struct {
	Request  Request   `json:"request"`
	Response *Response `json:"response,omitzero"`
	Error    string    `json:"error,omitzero"` // the code that the guest gets instead: UNAVAILABLE, TIMEOUT or TOO_LARGE
}

// Request selects requests: those with this method and URL and, where they are given, these
// headers and this body.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitzero"`
	Body    *string           `json:"body,omitzero"`
}

// Response is the answer. BodyBase64 is for a body that is not text.
type Response struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers,omitzero"`
	Body       string            `json:"body,omitzero"`
	BodyBase64 string            `json:"body_base64,omitzero"`
}

// check returns an error for an exchange that cannot be answered.
func (x Exchange) check() error {
	switch {
	case x.Request.Method == "" || x.Request.URL == "":
		return fault.New(fault.Invalid, "request: method and url are required")
	case (x.Response == nil) == (x.Error == ""):
		return fault.New(fault.Invalid, "%s %s: exactly one of response and error is required", x.Request.Method, x.Request.URL)
	case x.Error != "" && failureOf(x.Error) == nil:
		return fault.New(fault.Invalid, "%s %s: error is %q, not UNAVAILABLE, TIMEOUT or TOO_LARGE", x.Request.Method, x.Request.URL, x.Error)
	}
	if x.Response != nil {
		if status := x.Response.Status; status < 200 || status > 599 {
			return fault.New(fault.Invalid, "%s %s: the status %d is not 200 to 599", x.Request.Method, x.Request.URL, status)
		}
		if _, err := base64.StdEncoding.DecodeString(x.Response.BodyBase64); err != nil {
			return fault.New(fault.Invalid, "%s %s: body_base64: %w", x.Request.Method, x.Request.URL, err)
		}
	}
	return nil
}

// failureOf returns the failure that a guest gets as the code, nil for another text.
func failureOf(code string) error {
	switch code {
	case "UNAVAILABLE":
		return fault.New(fault.Unavailable, "no answer came, as recorded")
	case "TIMEOUT":
		return fault.New(fault.Timeout, "no answer came in time, as recorded")
	case "TOO_LARGE":
		return &fault.Error{Code: fault.Exhausted, Field: "response", Reason: "is larger than 1 MiB, as recorded"}
	}
	return nil
}

// matches reports whether the exchange is for this request.
func (r Request) matches(req *http.Request, body string) bool {
	if r.Method != req.Method || r.URL != req.URL.String() || r.Body != nil && *r.Body != body {
		return false
	}
	for name, value := range r.Headers {
		if req.Header.Get(name) != value {
			return false
		}
	}
	return true
}

// answers answers requests as they were recorded: equal requests get their answers in
// order, and then the last one again. It implements http.RoundTripper and is safe for
// concurrent use.
type answers struct {
	exchanges []Exchange

	mu   sync.Mutex
	used map[int]bool // by index
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close() // it has been read
	}
	x := a.find(req, string(body))
	if x == nil {
		return nil, fault.New(fault.Unavailable, "no answer is recorded for %s %s", req.Method, req.URL)
	}
	if x.Error != "" {
		return nil, failureOf(x.Error)
	}
	content := []byte(x.Response.Body)
	if x.Response.BodyBase64 != "" {
		var err error
		if content, err = base64.StdEncoding.DecodeString(x.Response.BodyBase64); err != nil {
			return nil, err
		}
	}
	resp := &http.Response{
		StatusCode: x.Response.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        make(http.Header),
		Body:          io.NopCloser(strings.NewReader(string(content))),
		ContentLength: int64(len(content)),
		Request:       req,
	}
	for name, value := range x.Response.Headers {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

// find returns the next answer to a request, nil for none.
func (a *answers) find(req *http.Request, body string) *Exchange {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := -1
	for i := range a.exchanges {
		if !a.exchanges[i].Request.matches(req, body) {
			continue
		}
		if last = i; !a.used[i] {
			break
		}
	}
	if last < 0 {
		return nil
	}
	if a.used == nil {
		a.used = make(map[int]bool)
	}
	a.used[last] = true
	return &a.exchanges[last]
}

// Call is a request that the guest has sent.
type Call struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Status int    `json:"status,omitzero"`
	Error  string `json:"error,omitzero"` // why it got no response
}

// String returns the call as one line.
func (c Call) String() string {
	if c.Error != "" {
		return fmt.Sprintf("%s %s: %s", c.Method, c.URL, c.Error)
	}
	return fmt.Sprintf("%s %s %d", c.Method, c.URL, c.Status)
}

// client sends a guest's requests under its grants, and records them. It implements
// sandbox.HTTP and is safe for concurrent use.
type client struct {
	client *guestnet.Client

	mu    sync.Mutex
	calls []Call
}

// Send implements sandbox.HTTP.
func (c *client) Send(ctx context.Context, request []byte) (string, error) {
	response, err := c.client.Send(ctx, request)
	var call Call
	if json.Unmarshal(request, &call) != nil { // it was refused
		call = Call{}
	}
	call.Status, call.Error = 0, ""
	if err != nil {
		call.Error = err.Error()
	} else {
		var answer struct {
			Status int `json:"status"`
		}
		if err := json.Unmarshal([]byte(response), &answer); err != nil {
			return "", fault.New(fault.Internal, "read a recorded answer: %w", err)
		}
		call.Status = answer.Status
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
	return response, err
}

// take returns the calls since the last call of take.
func (c *client) take() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}
