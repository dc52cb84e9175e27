package main

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
	jsonType    = "application/json"
	problemType = "application/problem+json"
	streamType  = "text/event-stream"
)

// maxAnswer bounds an answer, in bytes: a page of 500 events of 1 MiB fits.
const maxAnswer = 1 << 30

// success are the statuses with which the API answers a request that it has done.
func success(method, path string) []int {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case method == http.MethodDelete:
		return []int{http.StatusNoContent}
	case method != http.MethodPost:
	case path == "/api/v1/events":
		return []int{http.StatusAccepted, http.StatusMultiStatus}
	case path == "/api/v1/events/replay":
		return []int{http.StatusAccepted}
	case path == "/api/v1/orders", path == "/api/v1/plugins/install":
		return []int{http.StatusCreated}
	}
	return []int{http.StatusOK}
}

// recognised refuses an answer that no Berth host gave.
func (c *client) recognised(resp *http.Response) error {
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
	return fmt.Errorf("the server at %s is not a Berth host, or an older one than this program: it answered %s %s with %s, and without the header %s; set BERTH_URL to the address of the host itself",
		c.url, resp.Request.Method, resp.Request.URL.Path, what, wire.VersionHeader)
}

// check answers what is wrong with the head of an answer to which nothing but this
// media type is expected, "" for an answer without a body; a problem is an error.
func (c *client) check(resp *http.Response, method, path, kind string) error {
	if err := c.recognised(resp); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return problemIn(resp)
	}
	want := success(method, path)
	if kind == streamType {
		want = []int{http.StatusOK}
	}
	if !slices.Contains(want, resp.StatusCode) {
		return c.unexpected(resp, fmt.Errorf("its status is %s", resp.Status))
	}
	if got := mediaType(resp); want[0] != http.StatusNoContent && got != kind {
		return c.unexpected(resp, fmt.Errorf("it is %q, not %s", got, kind))
	}
	return nil
}

// unexpected is an error about an answer of a host.
func (c *client) unexpected(resp *http.Response, err error) error {
	return fmt.Errorf("%s %s: the answer is not what was expected: %w (the host has version %s, this program %s)",
		resp.Request.Method, resp.Request.URL.Path, err, resp.Header.Get(wire.VersionHeader), version)
}

// about refuses an answer about another thing than the one asked about.
func about(what, is, asked string) error {
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

// problemIn reads the problem that a host answered.
func problemIn(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var p problem
	if mediaType(resp) != problemType || decodeAnswer(text, &p.Problem) != nil || p.Status != resp.StatusCode {
		return fmt.Errorf("%s %s: the host answered %s, and does not say why", resp.Request.Method, resp.Request.URL.Path, resp.Status)
	}
	return p
}

// decoded reads an answer to its end.
func (c *client) decoded(resp *http.Response, answer any) (json.RawMessage, error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(text) > maxAnswer:
		return nil, c.unexpected(resp, fmt.Errorf("it is over the limit of %d bytes", maxAnswer))
	}
	if err := decodeAnswer(text, answer); err != nil {
		return nil, c.unexpected(resp, err)
	}
	return bytes.TrimSpace(text), nil
}

// decodeAnswer decodes one JSON value, in which everything must be there that the
// type does not leave out when it is empty, and null only where the type has a
// pointer. Members that the type does not have are those of a later version.
func decodeAnswer(text []byte, answer any) error {
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

// checkAnswer is what of decodeAnswer encoding/json does not check. at says where
// the text stands.
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
		case field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct: // its fields are members here
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
			if key != name && strings.EqualFold(key, name) { // which encoding/json takes for it
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
