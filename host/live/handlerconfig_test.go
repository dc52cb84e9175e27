package live

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/wire"
)

// schemaPlugins has one plugin, x, with a schema.
type schemaPlugins struct {
	countingPlugins
	manifest abi.Manifest
	schema   *schema.Schema
}

func (p *schemaPlugins) List() []wire.Plugin { return []wire.Plugin{{Name: "x"}} }

func (p *schemaPlugins) Manifest(name string) (abi.Manifest, bool) { return p.manifest, name == "x" }

func (p *schemaPlugins) Check(_ context.Context, settings plugin.SettingsFunc) ([]plugin.Misfit, error) {
	p.checks++
	s, err := settings("x", p.manifest)
	if err != nil {
		return nil, err
	}
	var wrong *schema.Error
	if errors.As(p.schema.Check(s.Config), &wrong) {
		return []plugin.Misfit{{Name: "x", Violations: wrong.Violations}}, nil
	}
	return nil, nil
}

func withSchema(t *testing.T, text string) (*opened, *schemaPlugins) {
	t.Helper()
	l := open(t, text)
	p := &schemaPlugins{manifest: abi.Manifest{ConfigSchema: json.RawMessage(`{"type":"object","properties":{"limit":{"type":"integer","maximum":10}}}`)}}
	var err error
	if p.schema, err = schema.Compile(p.manifest.ConfigSchema); err != nil {
		t.Fatal(err)
	}
	l.Attach(p)
	return l, p
}

func TestHandlerConfigIsWrittenAndAppliedOnce(t *testing.T) {
	l, p := withSchema(t, "handlers:\n  x:\n    config:\n      limit: 3 # at most\n")
	got, err := l.SetHandlerConfig(t.Context(), "x", json.RawMessage(`{"limit":5}`), func(now wire.HandlerConfig) error {
		if string(now.Config) != `{"limit":3}` || len(now.Schema) == 0 {
			t.Errorf("before: %+v", now)
		}
		return nil
	})
	if err != nil || string(got.Config) != `{"limit":5}` || p.reloads != 1 {
		t.Fatalf("got %s, %v, %d reloads", got.Config, err, p.reloads)
	}
	text, err := os.ReadFile(l.Path())
	if want := "handlers:\n  x:\n    config:\n      limit: 5 # at most\n"; err != nil || string(text) != want {
		t.Errorf("the file is %q, %v", text, err)
	}
	if err := l.fileChanged(t.Context()); err != nil || p.reloads != 1 {
		t.Errorf("the watch: %v, %d reloads", err, p.reloads)
	}
	if _, err := l.SetHandlerConfig(t.Context(), "x", json.RawMessage(`{"limit":5}`), nil); err != nil || p.reloads != 1 {
		t.Errorf("the same again: %v, %d reloads", err, p.reloads)
	}
}

func TestRefusedHandlerConfigChangesNothing(t *testing.T) {
	const text = "handlers: {x: {config: {limit: 3}}}\n"
	l, p := withSchema(t, text)
	refusal := errors.New("not that one")
	for _, tt := range []struct {
		name, handler, object string
		precondition          func(wire.HandlerConfig) error
		want                  string
	}{
		{"the schema", "x", `{"limit":11}`, nil, "handlers.x.config/limit: "},
		{"the precondition", "x", `{"limit":4}`, func(wire.HandlerConfig) error { return refusal }, "not that one"},
		{"no such handler", "y", `{}`, nil, "no handler y is configured"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.SetHandlerConfig(t.Context(), tt.handler, json.RawMessage(tt.object), tt.precondition)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if now, err := os.ReadFile(l.Path()); err != nil || string(now) != text || p.reloads != 0 {
				t.Errorf("the file is %q, %v; %d reloads", now, err, p.reloads)
			}
			if c, err := l.HandlerConfig("x"); err != nil || string(c.Config) != `{"limit":3}` {
				t.Errorf("in force: %s, %v", c.Config, err)
			}
		})
	}
	if _, err := l.HandlerConfig("y"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestFileShowsWhatAReloadWouldChange(t *testing.T) {
	l, _ := withSchema(t, "routes: {}\n")
	since := l.now.Load().since
	if f, err := l.File(t.Context()); err != nil || f.Text != "routes: {}\n" || len(f.Changed)+len(f.Errors) != 0 || !f.AppliedAt.Equal(since) || since.IsZero() {
		t.Errorf("got %+v, %v", f, err)
	}
	for _, tt := range []struct {
		text, changed, restart, wrong string
	}{
		{"routes: {a: {}}\n", "routes.a", "", ""},
		{"routes: {}\nserver: {listen: \"127.0.0.1:1\"}\n", "", "server.listen", ""},
		{"rutes: {}\n", "", "", "rutes: unknown key"},
		{"routes: {a: {when: \"((\"}}\n", "", "", "routes.a.when"},
		{"handlers: {x: {config: {limit: 12}}}\n", "", "", "handlers.x.config/limit"},
	} {
		l.write(l.Path(), tt.text)
		f, err := l.File(t.Context())
		if err != nil || f.Text != tt.text {
			t.Errorf("%s: %+v, %v", tt.text, f, err)
		}
		wrong := ""
		for _, e := range f.Errors {
			wrong += e.String()
		}
		if !strings.Contains(strings.Join(f.Changed, " "), tt.changed) || !strings.Contains(strings.Join(f.NeedsRestart, " "), tt.restart) ||
			!strings.Contains(wrong, tt.wrong) || (tt.wrong == "") != (wrong == "") {
			t.Errorf("%s: %+v", tt.text, f)
		}
		if l.Config().Routes != nil {
			t.Fatal("the file was applied")
		}
	}
	if err := os.Remove(l.Path()); err != nil {
		t.Fatal(err)
	}
	if f, err := l.File(t.Context()); err != nil || f.Exists || len(f.Errors) != 1 || !strings.Contains(f.Errors[0].Reason, "is missing") {
		t.Errorf("a file that is gone: %+v, %v", f, err)
	}
}
