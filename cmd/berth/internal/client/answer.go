package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/wire"
)

// Media types of answers.
const (
	JSONType    = "application/json"
	ProblemType = "application/problem+json"
	StreamType  = "text/event-stream"
)

// maxAnswer bounds an answer, in bytes: a page of 500 events of 1 MiB fits.
const maxAnswer = 1 << 30

// Success returns the statuses with which the API answers a successful request.
func Success(method, path string) []int {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case method == http.MethodDelete && strings.HasPrefix(path, "/api/v1/plugins/uninstall/"): // 200: it remains on other hosts
		return []int{http.StatusNoContent, http.StatusOK}
	case method == http.MethodDelete && !strings.HasPrefix(path, "/api/v1/events/scheduled/"):
		return []int{http.StatusNoContent}
	case method != http.MethodPost:
	case path == "/api/v1/events":
		return []int{http.StatusAccepted, http.StatusMultiStatus}
	case path == "/api/v1/events/replay", strings.HasPrefix(path, "/api/v1/events/") && strings.HasSuffix(path, "/copy"),
		strings.HasPrefix(path, "/api/v1/schedules/"):
		return []int{http.StatusAccepted}
	case path == "/api/v1/operations": // 200 is a preview's
		return []int{http.StatusAccepted, http.StatusOK}
	case path == "/api/v1/orders", path == "/api/v1/plugins/install", strings.HasPrefix(path, "/api/v1/session"):
		return []int{http.StatusCreated}
	}
	return []int{http.StatusOK}
}

// recognised refuses an answer of a server that is not a Berth host.
func (c *Client) recognised(resp *http.Response) error {
	if resp.Header.Get(wire.VersionHeader) != "" {
		return nil
	}
	what := resp.Status
	if kind := resp.Header.Get("Content-Type"); kind != "" {
		what += ", " + kind
	}
	if to := resp.Header.Get("Location"); to != "" {
		what += ", to " + to
	}
	return fmt.Errorf("the server at %s is not a Berth host, or an older one than this program: it answered %s %s with %s, and without "+
		"the header %s; set BERTH_URL to the address of the host itself",
		c.URL, resp.Request.Method, resp.Request.URL.Path, what, wire.VersionHeader)
}

// check checks the head of an answer, whose media type must be kind if it has a body. A
// problem is an error.
func (c *Client) check(resp *http.Response, method, path, kind string) error {
	if err := c.recognised(resp); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return readProblem(resp)
	}
	want := Success(method, path)
	if kind == StreamType {
		want = []int{http.StatusOK}
	}
	if !slices.Contains(want, resp.StatusCode) {
		return c.Unexpected(resp, fmt.Errorf("its status is %s", resp.Status))
	}
	if got := mediaType(resp); resp.StatusCode != http.StatusNoContent && got != kind {
		return c.Unexpected(resp, fmt.Errorf("it is %q, not %s", got, kind))
	}
	return nil
}

// Unexpected returns an error about an answer of a host.
func (c *Client) Unexpected(resp *http.Response, err error) error {
	return fmt.Errorf("%s %s: the answer is not what was expected: %w (the host has version %s, this program %s)",
		resp.Request.Method, resp.Request.URL.Path, err, resp.Header.Get(wire.VersionHeader), c.version)
}

// About refuses an answer about another thing than the requested one.
func About(what, is, asked string) error {
	if is == "" || is != asked {
		return fmt.Errorf("the answer is not what was expected: it is about the %s %q, not about %q", what, is, asked)
	}
	return nil
}

func mediaType(resp *http.Response) string {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return resp.Header.Get("Content-Type")
	}
	return kind
}

// readProblem reads the problem that a host answered.
func readProblem(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var p Problem
	if mediaType(resp) != ProblemType || Decode(text, &p.Problem) != nil || p.Status != resp.StatusCode {
		return fmt.Errorf("%s %s: the host answered %s, and does not say why", resp.Request.Method, resp.Request.URL.Path, resp.Status)
	}
	return p
}

// decoded reads and decodes an answer.
func (c *Client) decoded(resp *http.Response, answer any) (json.RawMessage, error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return nil, c.Unexpected(resp, fmt.Errorf("it is over the limit of %d bytes", maxAnswer))
	}
	if err := Decode(text, answer); err != nil {
		return nil, c.Unexpected(resp, err)
	}
	return bytes.TrimSpace(text), nil
}

// Decode decodes one JSON value. Members that the type does not omit when empty are required,
// and null is valid only for a pointer. Unknown members belong to a later version.
func Decode(text []byte, answer any) error {
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	if err := checkAnswer(text, reflect.TypeOf(answer).Elem(), "the answer"); err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	timeType = reflect.TypeFor[time.Time]()
)

// checkAnswer makes the checks of Decode that encoding/json does not make. at is the path of
// the text.
func checkAnswer(text []byte, t reflect.Type, at string) error {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) && t != rawType && t.Kind() != reflect.Interface {
		return fmt.Errorf("%s is null", at)
	}
	switch {
	case t == rawType, t == timeType:
	case t.Kind() == reflect.Struct:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return checkMembers(members, t, at)
	case t.Kind() == reflect.Slice:
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		for i, item := range items {
			if err := checkAnswer(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Map:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		for name, value := range members {
			if err := checkAnswer(value, t.Elem(), at+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkMembers checks an object's members against the fields of a struct.
func checkMembers(members map[string]json.RawMessage, t reflect.Type, at string) error {
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct: // encoding/json inlines its fields
			if err := checkMembers(members, field.Type, at); err != nil {
				return err
			}
			continue
		case !field.IsExported(), tag == "-":
			continue
		case name == "":
			name = field.Name
		}
		for key := range members {
			if key != name && strings.EqualFold(key, name) { // encoding/json accepts it
				return fmt.Errorf("%s.%s is written %s", at, name, key)
			}
		}
		value, there := members[name]
		of := field.Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
			if there && string(value) == "null" {
				continue
			}
		}
		switch {
		case there:
			if err := checkAnswer(value, of, at+"."+name); err != nil {
				return err
			}
		case !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero"):
			return fmt.Errorf("%s.%s is missing", at, name)
		}
	}
	return nil
}
