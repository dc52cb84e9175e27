package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/config/splice"
	"github.com/berth-host/berth/host/fault"
)

// maxSingly bounds the keys of a config that are written one by one: each needs the file to
// be parsed.
const maxSingly = 32

// SetHandlerConfig makes a JSON object the handlers.<name>.config, and returns the new
// configuration. Where the layout allows it only the keys that differ are written, so that
// the comments of the others stay; otherwise the whole section is replaced, by one line. A
// config that YAML cannot represent is fault.Invalid. check, unless nil, gets the new text
// and its configuration before they are written, and refuses them by its error.
func (e *Editor) SetHandlerConfig(name string, config json.RawMessage, check func([]byte, *Config) error) (*Config, error) {
	value := FlowText(config)
	alone, err := Parse("the config of "+name, []byte("handlers: {x: {config: "+value+"}}"))
	if err != nil {
		return nil, err
	}
	want := alone.Handlers["x"].Config
	if !sameJSON(want, config) {
		return nil, fault.Field("config", "YAML cannot represent this object: write its numbers and texts in ordinary form")
	}
	return e.edit(name, "config", func(c *Config) {
		h := c.handler(name)
		if !sameJSON(h.Config, want) {
			h.Config = want
			c.Handlers[name] = h
		}
	}, func(src []byte) ([][]byte, error) {
		path := []string{"handlers", name, "config"}
		texts := e.keyByKey(src, path, members(want))
		whole, err := splice.Remove(src, path)
		if err == nil && len(members(want)) > 0 {
			whole, err = setIn(whole, path, value)
		}
		if len(texts) > 0 {
			err = nil
		}
		return append(texts, whole...), err
	}, check)
}

// keyByKey proposes the text after the keys of a handler's config that differ from want are
// changed one after the other; none if the layout does not allow one of the changes.
func (e *Editor) keyByKey(src []byte, path []string, want map[string]json.RawMessage) [][]byte {
	former := e.configIn(src, path[1])
	all := maps.Clone(former)
	maps.Copy(all, want)
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool { return sameJSON(former[key], want[key]) })
	if len(want) == 0 || len(keys) > maxSingly {
		return nil
	}
	text := src
	for _, key := range keys {
		at, value := append(slices.Clone(path), key), want[key]
		texts, err := splice.Remove(text, at)
		if value != nil && err == nil {
			inserted, failed := setIn(texts, at, FlowText(value))
			texts, err = splice.Set(text, at, FlowText(value)) // a scalar keeps its line
			if err != nil {
				texts, err = nil, failed
			}
			texts = append(texts, inserted...)
		}
		expected := e.configIn(text, path[1])
		if delete(expected, key); value != nil {
			expected[key] = value
		}
		next := slices.IndexFunc(texts, func(text []byte) bool {
			return maps.EqualFunc(e.configIn(text, path[1]), expected, sameJSON)
		})
		if err != nil || next < 0 {
			return nil
		}
		text = texts[next]
	}
	return [][]byte{text}
}

// configIn returns the members of a handler's config in a text of the file; none if the
// text is not valid.
func (e *Editor) configIn(text []byte, name string) map[string]json.RawMessage {
	c, err := Parse(e.path, text)
	if err != nil {
		return map[string]json.RawMessage{}
	}
	return members(c.Handlers[name].Config)
}

// members returns the members of a JSON object; none of anything else.
func members(object json.RawMessage) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	if json.Unmarshal(object, &m) != nil || m == nil {
		return map[string]json.RawMessage{}
	}
	return m
}

// sameJSON reports whether two JSON values are equal, apart from blanks and the order of
// keys. Numbers are equal if their digits are. Absent equals absent only.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, failed := decoded(a)
	y, err := decoded(b)
	return failed == nil && err == nil && reflect.DeepEqual(x, y)
}

func decoded(text json.RawMessage) (v any, err error) {
	if !json.Valid(text) { // Decode reads the first value only
		return nil, errors.New("not one JSON value")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

// withConfigsOf returns the handlers a with the configs of b where these differ in the
// order of keys only.
func withConfigsOf(a, b map[string]Handler) map[string]Handler {
	var changed map[string]Handler
	for name, h := range a {
		other, known := b[name]
		if !known || bytes.Equal(h.Config, other.Config) || !sameJSON(h.Config, other.Config) {
			continue
		}
		if changed == nil {
			changed = maps.Clone(a)
		}
		h.Config = other.Config
		changed[name] = h
	}
	if changed == nil {
		return a
	}
	return changed
}

// FlowText writes a JSON value as a YAML flow value on one line: with a blank after each
// colon and comma, and with the characters escaped that YAML takes for controls or breaks.
func FlowText(value json.RawMessage) string {
	v, err := decoded(value)
	if err != nil {
		return string(value) // Parse reports what is wrong
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return string(value)
	}
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range strings.TrimSpace(text.String()) {
		if c >= 0x7f && c <= 0x9f || c == 0xfeff || c == 0xfffe || c == 0xffff {
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		}
		b.WriteRune(c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ':' || c == ','):
			b.WriteByte(' ')
		}
	}
	return b.String()
}
