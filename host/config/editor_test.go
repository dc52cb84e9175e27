package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSetHandlerEnabledPreservesLayout(t *testing.T) {
	tests := []struct{ name, before, after string }{ // enabled: false for x
		{"the key is there", "handlers:\n  x:\n    enabled: true # on\n    order_by: /a\n", "handlers:\n  x:\n    enabled: false # on\n    order_by: /a\n"},
		{"no key, block", "handlers:\n  x:\n    # ordered\n    order_by: /a\n", "handlers:\n  x:\n    enabled: false\n    # ordered\n    order_by: /a\n"},
		{"no key, flow", "handlers:\n  x: {order_by: /a}\n", "handlers:\n  x: {enabled: false, order_by: /a}\n"},
		{"no key, empty flow", "handlers:\n  x: { }\n", "handlers:\n  x: {enabled: false }\n"},
		{"no key, flow over lines", "handlers: {\n  x: {\n    order_by: /a,\n  },\n}\n", "handlers: {\n  x: {\n    enabled: false, order_by: /a,\n  },\n}\n"},
		{"nothing below the handler", "handlers:\n  x: # todo\n  y: {}\n", "handlers:\n  x: # todo\n    enabled: false\n  y: {}\n"},
		{"nothing below the handler, at the end", "handlers:\n  x:", "handlers:\n  x:\n    enabled: false"},
		{"null handler", "handlers:\n  x: ~ # none\n", "handlers:\n  x: {enabled: false} # none\n"},
		{"no value", "handlers:\n  x:\n    enabled: # ?\n", "handlers:\n  x:\n    enabled: false # ?\n"},
		{"handler without colon", "handlers: {x}\n", "handlers: {x: {enabled: false}}\n"},
		{"quoted keys", "\"handlers\":\n  'x':\n    \"enabled\": TRUE\n", "\"handlers\":\n  'x':\n    \"enabled\": false\n"},
		{"another handler", "handlers:\n    y:\n        enabled: true\n\n# the server\nserver: {}\n", "handlers:\n    y:\n        enabled: true\n    x:\n        enabled: false\n\n# the server\nserver: {}\n"},
		{"another handler with a comment below", "handlers:\n  y: {}\n  # z: {}\n\nserver: {}\n", "handlers:\n  y: {}\n  # z: {}\n  x:\n    enabled: false\n\nserver: {}\n"},
		{"another handler, flow", "handlers: {y: {}}\n", "handlers: {x: {enabled: false}, y: {}}\n"},
		{"empty flow", "data_dir: d\nhandlers: {}\n", "data_dir: d\nhandlers: {x: {enabled: false}}\n"},
		{"empty section", "handlers:\nserver: {}\n", "handlers:\n  x:\n    enabled: false\nserver: {}\n"},
		{"no section", "# mine\ndata_dir: d\n", "# mine\ndata_dir: d\nhandlers:\n  x:\n    enabled: false\n"},
		{"no section, no newline", "data_dir: d", "data_dir: d\nhandlers:\n  x:\n    enabled: false"},
		{"no section, blank lines at the end", "routes:\n  a: {}\n\n\n", "routes:\n  a: {}\nhandlers:\n  x:\n    enabled: false\n\n\n"},
		{"no section, flow document", "{data_dir: d}\n", "{handlers: {x: {enabled: false}}, data_dir: d}\n"},
		{"comments only", "# mine\n", "# mine\nhandlers:\n  x:\n    enabled: false\n"},
		{"empty file", "", "handlers:\n  x:\n    enabled: false\n"},
		{"document start", "---\n", "---\nhandlers:\n  x:\n    enabled: false\n"},
		{"document end", "data_dir: d\n...\n", "data_dir: d\nhandlers:\n  x:\n    enabled: false\n...\n"},
		{"CRLF", "handlers:\r\n  y: {}\r\nserver: {}\r\n", "handlers:\r\n  y: {}\r\n  x:\r\n    enabled: false\r\nserver: {}\r\n"},
		{"byte order mark", "\ufeffhandlers: {x: {enabled: true}}\n", "\ufeffhandlers: {x: {enabled: false}}\n"},
		{"byte order mark only", "\ufeff", "\ufeffhandlers:\n  x:\n    enabled: false\n"},
		{"characters before it", "handlers: {y: {config: {é: ü}}, x: {enabled: true}}\n", "handlers: {y: {config: {é: ü}}, x: {enabled: false}}\n"},
		{"tabs in blanks", "handlers:\t# tab\n  x:\t\n    enabled:\ttrue\t# on\n", "handlers:\t# tab\n  x:\t\n    enabled:\tfalse\t# on\n"},
		{"a comment in a text", "handlers:\n  y:\n    config:\n      a: |\n        one\n# two\nserver: {}\n", "handlers:\n  y:\n    config:\n      a: |\n        one\n  x:\n    enabled: false\n# two\nserver: {}\n"},
		{"a blank end of a text", "handlers:\n  y:\n    config:\n      a: |+\n        one\n\n\nserver: {}\n", "handlers:\n  y:\n    config:\n      a: |+\n        one\n\n\n  x:\n    enabled: false\nserver: {}\n"},
		{"compact list", "plugin_directories:\n- a\n- b\n", "plugin_directories:\n- a\n- b\nhandlers:\n  x:\n    enabled: false\n"},
		{"explicit keys", "? handlers\n: x:\n    enabled: true\n", "? handlers\n: x:\n    enabled: false\n"},
		{"an anchor elsewhere", "handlers:\n  y: &y {order_by: /a}\n  x: {<<: *y}\n", "handlers:\n  y: &y {order_by: /a}\n  x: {enabled: false, <<: *y}\n"},
		{"it says so already", "handlers: {x: {enabled: False}}\n", "handlers: {x: {enabled: False}}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, tt.before)
			c, err := config.NewEditor(path).SetHandlerEnabled("x", false)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != tt.after {
				t.Errorf("got\n%q, want\n%q", got, tt.after)
			}
			if h := c.Handlers["x"]; h.Enabled == nil || *h.Enabled {
				t.Error("the returned configuration does not have the change")
			}
		})
	}
}

func TestSetHandlerEnabledRefusesUnsafeEdits(t *testing.T) {
	tests := []struct {
		name, before string
		code         fault.Code
		want         string
	}{
		{"alias", "handlers:\n  y: &y {order_by: /a}\n  x: *y\n", fault.Conflict, "line 3: handlers.x is an alias (*y)"},
		{"anchor", "handlers:\n  x: &x {order_by: /a}\n  y: *x\n", fault.Conflict, "line 2: handlers.x is an anchor (&x)"},
		{"tag", "handlers: !!map\n  x: {}\n", fault.Conflict, "line 1: handlers is a tag (!!map)"},
		{"not valid", "handlers:\n  x: {enable: true}\n", fault.Invalid, "c.yaml:2: handlers.x.enable: unknown key; the nearest known key is enabled"},
		{"no YAML", "handlers: [\n", fault.Invalid, "malformed YAML"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, tt.before)
			_, err := config.NewEditor(path).SetHandlerEnabled("x", false)
			if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s: %s", err, tt.code, tt.want)
			}
			if got := read(t, path); got != tt.before {
				t.Errorf("got %q, want it untouched", got)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	if _, err := config.NewEditor(path).SetHandlerEnabled("X: y", true); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad name: got %v, want invalid", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a bad name made a file")
	}
}

func TestEditCreatesMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "c.yaml")
	if _, err := config.NewEditor(path).SetHandlerEnabled("x", true); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, path), "handlers:\n  x:\n    enabled: true\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEditPreservesExampleFile(t *testing.T) {
	for _, name := range []string{"../../config/event_handlers.yaml", "../../testdata/config/seed.yaml"} {
		before := read(t, name)
		path := filepath.Join(t.TempDir(), "c.yaml")
		write(t, path, before)
		if _, err := config.NewEditor(path).SetHandlerEnabled("x", false); err != nil {
			t.Fatal(err)
		}
		if got, want := read(t, path), before+"handlers:\n  x:\n    enabled: false\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSetHandlerGrants(t *testing.T) {
	grants := []spec.Grant{{Name: "kv"}, {Name: "http", Targets: spec.Targets{Hosts: []string{"a.example", "*.b.example:8443"}}}}
	const text = `["kv", {name: "http", hosts: ["a.example", "*.b.example:8443"]}]`
	tests := []struct{ name, before, after string }{
		{"no handler", "", "handlers:\n  x:\n    grants: " + text + "\n"},
		{"block", "handlers:\n  x:\n    grants:\n      - kv\n      - name: emit\n    enabled: true\n", "handlers:\n  x:\n    grants: " + text + "\n    enabled: true\n"},
		{"the only key", "handlers:\n  x:\n    grants: [kv]\nserver: {}\n", "handlers:\n  x:\n    grants: " + text + "\nserver: {}\n"},
		{"flow", "handlers: {x: {enabled: true, grants: [kv, {name: emit}]}}\n", "handlers: {x: {grants: " + text + ", enabled: true}}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, tt.before)
			if _, err := config.NewEditor(path).SetHandlerGrants("x", grants); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != tt.after {
				t.Errorf("got\n%q, want\n%q", got, tt.after)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	_, err := config.NewEditor(path).SetHandlerGrants("x", []spec.Grant{{Name: "http"}})
	if want := "http needs hosts"; !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRemoveHandler(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"first", "handlers:\n  x:\n    enabled: true\n    # why\n  # about y\n  y: {}\n", "handlers:\n  # about y\n  y: {}\n"},
		{"last", "handlers:\n  y: {}\n  x:\n    config: {a: [1, {b: c}]}\n\n# more\nserver: {}\n", "handlers:\n  y: {}\n\n# more\nserver: {}\n"},
		{"only", "handlers:\n  x: {}\n", "handlers:\n"},
		{"flow, only", "handlers: {x: {config: {a: \"}, {\", b: {}}}}\n", "handlers: {}\n"},
		{"flow, first", "handlers: {x: {}, y: {}}\n", "handlers: {y: {}}\n"},
		{"flow, last", "handlers: {y: {}, x: {enabled: true, limits: {fuel: 1}}}\n", "handlers: {y: {}}\n"},
		{"absent", "handlers: {y: {}}\n", "handlers: {y: {}}\n"},
		{"text at the end", "handlers:\n  x:\n    config:\n      a: |\n        # not a comment\n\nserver: {}\n", "handlers:\n\nserver: {}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, tt.before)
			if _, err := config.NewEditor(path).RemoveHandler("x"); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != tt.after {
				t.Errorf("got\n%q, want\n%q", got, tt.after)
			}
		})
	}
}

func TestConcurrentEditsAreSerialised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "# mine\nroutes: {a: {}}\n")
	e := config.NewEditor(path)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := e.SetHandlerEnabled(fmt.Sprintf("h%d", i), i%2 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 16 {
		h := c.Handlers[fmt.Sprintf("h%d", i)]
		if h.Enabled == nil || *h.Enabled != (i%2 == 0) {
			t.Errorf("h%d: got %v", i, h.Enabled)
		}
	}
	if !strings.HasPrefix(read(t, path), "# mine\nroutes: {a: {}}\n") {
		t.Error("what was there is not there any more")
	}
}

func TestEditKeepsSymbolicLink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real", "c.yaml"), filepath.Join(dir, "link.yaml")
	if err := errors.Join(os.Mkdir(filepath.Dir(real), 0o755), os.WriteFile(real, []byte("data_dir: d\n"), 0o600), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(real, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := config.NewEditor(link).SetHandlerEnabled("x", true); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, real), "data_dir: d\nhandlers:\n  x:\n    enabled: true\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if stat, err := os.Lstat(link); err != nil || stat.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", stat.Mode(), err)
	}
	if stat, err := os.Stat(real); err != nil || stat.Mode().Perm() != 0o640 {
		t.Errorf("got mode %v, %v; want 0640", stat.Mode(), err)
	}
	for _, d := range []string{dir, filepath.Dir(real)} {
		if left, _ := filepath.Glob(filepath.Join(d, ".*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestEditRefusesDanglingLink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.Symlink("nowhere.yaml", link); err != nil {
		t.Fatal(err)
	}
	_, err := config.NewEditor(link).SetHandlerEnabled("x", true)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "leads nowhere") {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestDiff(t *testing.T) {
	parse := func(text string) *config.Config {
		t.Helper()
		c, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse("routes: {a: {}, b: {handlers: [x]}}\nhandlers: {x: {enabled: true, config: {k: secret}, limits: {memory: 32MiB}}}\nserver: {listen: ':1'}\n")
	now := parse("plugin_directories: [p, q]\nroutes: {b: {handlers: [x, y], when: data.n < 2}, c: {}}\nhandlers: {x: {enabled: false, config: {k: other}, grants: [kv]}}\nserver: {listen: ':2'}\n")
	want := []string{
		"handlers.x.config: changed",
		"handlers.x.enabled: true → false",
		`handlers.x.grants: added, [{"name":"kv"}]`,
		"handlers.x.limits.memory: removed, was 32MiB",
		"plugin_directories: [plugins] → [p, q]",
		"routes.a: removed, was every handler that subscribes",
		"routes.b: handlers [x] → handlers [x, y], when data.n < 2",
		"routes.c: added, every handler that subscribes",
		"server.listen: :1 → :2 (from the next start on)",
	}
	if got := config.Diff(old, now, config.Restarts(old, now)); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := config.Diff(old, old, nil); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
	paused := parse("handlers: {x: {paused: true, breaker: {failures: 0}}}\ndefaults: {breaker: {cooldown: 2s}}\n")
	want = []string{"defaults.breaker.cooldown: added, 2s", "handlers.x.breaker.failures: added, 0", "handlers.x.paused: added, true"}
	if got := config.Diff(parse(""), paused, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	timed := parse("schedules: {a: {every: 1h, event_type: t, data: {n: 1}}}\nevent_types: {t: , u: {schema: {type: object}}}\n")
	want = []string{`schedules.a.data: {"n":1} → {"n":2}`, "schedules.a.every: 1h → 2h", "schedules.a.paused: added, true", "event_types.t.owner: added, shop",
		"event_types.u.schema: changed"}
	slices.Sort(want)
	got := config.Diff(timed, parse("schedules: {a: {every: 2h, event_type: t, data: {n: 2}, paused: true}}\nevent_types: {t: {owner: shop}, u: {schema: {type: array}}}\n"), nil)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := config.Diff(parse(""), parse("event_types: {t: }\n"), nil); len(got) != 1 || got[0] != "event_types.t.mode: added, reject" {
		t.Errorf("got %q", got)
	}
	a, b := parse("routes: {a*x*: {}, a*y*: {}}\n"), parse("routes: {a*y*: {}, a*x*: {}}\n")
	if got := config.Diff(a, b, nil); len(got) != 1 {
		t.Errorf("got %q, want the order", got)
	}
}

func TestEditorDoesNotWriteWhatCheckRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	const text = "routes: {a: {when: no}}\n"
	write(t, path, text)
	e := config.NewEditor(path)
	no := errors.New("the condition does not compile")
	e.Check = func(c *config.Config) error {
		if len(c.Routes) != 1 || c.Handlers["x"].Enabled == nil {
			t.Errorf("asked about %+v", c)
		}
		return no
	}
	if _, err := e.SetHandlerEnabled("x", true); !errors.Is(err, no) {
		t.Errorf("got %v, want %v", err, no)
	}
	if got := read(t, path); got != text {
		t.Errorf("got %q, want it untouched", got)
	}
}
