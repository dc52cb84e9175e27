package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
)

func TestSetHandlerConfigPreservesLayout(t *testing.T) {
	for _, tt := range []struct{ name, before, config, after string }{
		{"a scalar", "handlers:\n  x:\n    config:\n      # how many\n      limit: 3 # at most\n      name: a\n", `{"name":"a","limit":5}`,
			"handlers:\n  x:\n    config:\n      # how many\n      limit: 5 # at most\n      name: a\n"},
		{"a new key", "handlers:\n  x:\n    config:\n      limit: 3 # at most\n", `{"limit":3,"name":"b: c"}`,
			"handlers:\n  x:\n    config:\n      name: \"b: c\"\n      limit: 3 # at most\n"},
		{"a removed key", "handlers:\n  x:\n    config:\n      limit: 3\n      # gone\n      name: a\n      last: 1\n", `{"limit":3,"last":1}`,
			"handlers:\n  x:\n    config:\n      limit: 3\n      # gone\n      last: 1\n"},
		{"a list", "handlers:\n  x:\n    config:\n      list:\n      - a\n      - b\n      limit: 3 # at most\n", `{"limit":3,"list":["c"]}`,
			"handlers:\n  x:\n    config:\n      list: [\"c\"]\n      limit: 3 # at most\n"},
		{"flow", "handlers: {x: {config: {a: 1, b: 2}}}\n", `{"a":1,"b":3}`, "handlers: {x: {config: {a: 1, b: 3}}}\n"},
		{"no config", "handlers:\n  x:\n    enabled: true\n", `{"a":1}`, "handlers:\n  x:\n    enabled: true\n    config:\n      a: 1\n"},
		{"no section", "# mine\n", `{"a":1}`, "# mine\nhandlers:\n  x:\n    config:\n      a: 1\n"},
		{"nothing is left", "handlers:\n  x:\n    enabled: true\n    config:\n      a: 1\n", `{}`, "handlers:\n  x:\n    enabled: true\n"},
		{"a key that is no word", "handlers:\n  x:\n    config: {a: 1}\n", `{"a":1,"b: [":2}`, "handlers:\n  x:\n    config: {\"a\": 1, \"b: [\": 2}\n"},
		{"characters that YAML refuses", "handlers: {x: {config: {a: 1}}}\n", `{"a":"\u007f\u0085\ud83d\ude00\u2028\ufeff<"}`,
			"handlers: {x: {config: {a: \"\\u007f\\u0085😀\\u2028\\ufeff<\"}}}\n"},
		{"equal apart from the order", "handlers: {x: {config: {b: 2, a: 1}}}\n", `{"a":1,"b":2}`, "handlers: {x: {config: {b: 2, a: 1}}}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, tt.before)
			if _, err := config.NewEditor(path).SetHandlerConfig("x", json.RawMessage(tt.config), nil); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != tt.after {
				t.Errorf("got\n%s, want\n%s", got, tt.after)
			}
		})
	}
}

func TestSetHandlerConfigChangesNothingWhenRefused(t *testing.T) {
	refusal := errors.New("no")
	for _, tt := range []struct {
		name, before, config string
		check                func([]byte, *config.Config) error
		want                 fault.Code
	}{
		{"by the caller", "handlers: {x: {config: {a: 1}}}\n", `{"a":2}`, func([]byte, *config.Config) error { return refusal }, fault.CodeOf(refusal)},
		{"no object", "handlers: {}\n", `[1]`, nil, fault.Invalid},
		{"no JSON", "handlers: {}\n", `{a: 1}}, y: {`, nil, fault.Invalid},
		{"a second handler", "handlers: {}\n", `{}}, y: {enabled: true`, nil, fault.Invalid},
		{"an alias", "handlers: {y: {config: &c {a: 1}}, x: {config: *c}}\n", `{"a":2}`, nil, fault.Conflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, tt.before)
			_, err := config.NewEditor(path).SetHandlerConfig("x", json.RawMessage(tt.config), tt.check)
			if err == nil || fault.CodeOf(err) != tt.want {
				t.Errorf("got %v, want the code %s", err, tt.want)
			}
			if got := read(t, path); got != tt.before {
				t.Errorf("the file changed to %s", got)
			}
		})
	}
}

// TestSetHandlerConfigProperty: a config that is written is read back, and the rest of the
// file stays as it is.
func TestSetHandlerConfigProperty(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Int(), func(n int) any { return n }), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.SliceOfN(rapid.StringMatching(`[ -~é]{0,6}`), 0, 3), func(l []string) any { return l }))
		object := rapid.MapOfN(rapid.StringMatching(`[a-z_]{1,4}|[ -~]{1,4}`), value, 0, 5)
		path := filepath.Join(dir, "c.yaml")
		head := rapid.SampledFrom([]string{"", "handlers: {y: {config: {a: 1}}}\n", "handlers:\n  y:\n    config:\n      a: 1\n  x:\n    paused: true\n"}).Draw(t, "file")
		if err := os.WriteFile(path, []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
		e := config.NewEditor(path)
		for range 3 {
			text, err := json.Marshal(object.Draw(t, "config"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := e.SetHandlerConfig("x", text, nil)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			again, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []*config.Config{c, again} {
				var got, want any = map[string]any{}, nil
				if c.Handlers["x"].Config == nil && string(text) == "{}" {
					continue // no section is needed for it
				}
				if err := errors.Join(json.Unmarshal(c.Handlers["x"].Config, &got), json.Unmarshal(text, &want)); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got %s, want %s", c.Handlers["x"].Config, text)
				}
			}
		}
	})
}
