package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// A question mark or a number sign would make each path a part of what follows it,
// though nothing does.
func TestHostURLHasNoQuery(t *testing.T) {
	for _, raw := range []string{"http://h?", "http://h/?", "http://h#", "http://h?a", "http://h#a"} {
		if got, err := hostURL(raw); err == nil || !strings.Contains(err.Error(), "query") {
			t.Errorf("%s: got %q, %v", raw, got, err)
		}
	}
	if got, err := hostURL("http://h/a/"); err != nil || got != "http://h/a" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A command that a person stops does not say that the host is away.
func TestInterruptedCallBlamesNoHost(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("interrupt signal received")
	cancel(stopped)
	c := &Client{URL: "http://127.0.0.1:1", HTTP: &http.Client{}}
	if _, err := c.Do(ctx, http.MethodGet, "/api/v1/events", JSONType, nil); !errors.Is(err, stopped) || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Do(t.Context(), http.MethodGet, "/api/v1/events", JSONType, nil); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("got %v", err)
	}
}

func TestDecode(t *testing.T) {
	type inner struct {
		N int `json:"n"`
	}
	type answer struct {
		inner
		Name  string           `json:"name"`
		At    time.Time        `json:"at"`
		List  []inner          `json:"list"`
		Map   map[string]inner `json:"map"`
		Maybe *inner           `json:"maybe"`
		Any   json.RawMessage  `json:"any"`
		Left  string           `json:"left,omitempty"`
		Zero  time.Time        `json:"zero,omitzero"`
	}
	const good = `{"n":1,"name":"x","at":"2026-05-01T10:00:00Z","list":[{"n":2}],"map":{"a":{"n":3}},"maybe":null,"any":null}`
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not there", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, tt := range []struct{ text, want string }{
		{good, ""},
		{" " + good + "\n", ""},
		{with(`"n":1`, `"n":1,"later":{"x":[]}`), ""},
		{with(`"maybe":null`, `"maybe":{"n":4}`), ""},
		{with(`"any":null`, `"any":[1,{"N":2}],"left":"y","zero":"2026-05-01T10:00:00Z"`), ""},
		{with(`"list":[{"n":2}]`, `"list":[]`), ""},

		{"", "unexpected end"},
		{"null", "the answer is null"},
		{"[]", "the answer: json: cannot unmarshal array"},
		{`"x"`, "cannot unmarshal string"},
		{good + "{}", "invalid character"},
		{with(`"n":1,`, ``), "the answer.n is missing"},
		{with(`"name":"x",`, ``), "the answer.name is missing"},
		{with(`"any":null`, `"left":"y"`), "the answer.any is missing"},
		{with(`"maybe":null,`, ``), "the answer.maybe is missing"},
		{with(`"name":"x"`, `"name":null`), "the answer.name is null"},
		{with(`"name":"x"`, `"name":7`), "cannot unmarshal number"},
		{with(`"name":"x"`, `"Name":"x"`), "the answer.name is written Name"},
		{with(`"name":"x"`, `"name":"x","NAME":"y"`), "the answer.name is written NAME"},
		{with(`"name":"x"`, "\"name\":\"\xff\""), "not UTF-8"},
		{with(`"list":[{"n":2}]`, `"list":null`), "the answer.list is null"},
		{with(`"list":[{"n":2}]`, `"list":{}`), "the answer.list: json"},
		{with(`{"n":2}`, `{"n":2},{}`), "the answer.list[1].n is missing"},
		{with(`{"n":2}`, `null`), "the answer.list[0] is null"},
		{with(`{"n":3}`, `{"n":null}`), "the answer.map.a.n is null"},
		{with(`"maybe":null`, `"maybe":{}`), "the answer.maybe.n is missing"},
		{with(`"at":"2026-05-01T10:00:00Z"`, `"at":null`), "the answer.at is null"},
		{with(`"at":"2026-05-01T10:00:00Z"`, `"at":"soon"`), "soon"},
		{with(`"any":null`, `"any":null,"zero":null`), "the answer.zero is null"},
		{with(`"any":null`, `"any":null,"left":7`), "cannot unmarshal number"},
	} {
		err := Decode([]byte(tt.text), new(answer))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

// FuzzDecode: what is taken is all there, so that it is taken again as it is
// encoded.
func FuzzDecode(f *testing.F) {
	plugin, err := json.Marshal(wire.Plugin{Name: "x", State: wire.Active, Subscribes: []string{}, Capabilities: []wire.Capability{{Name: "kv"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plugin)
	f.Add([]byte(`{"ok":true}`))
	f.Add([]byte(`{"Name":"x","capabilities":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p wire.Plugin
		if Decode(text, &p) != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q wire.Plugin
		if err := Decode(again, &q); err != nil {
			t.Errorf("%q was taken, and %s is not: %v", text, again, err)
		}
	})
}
