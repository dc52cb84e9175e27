package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestStates(t *testing.T) {
	const needsHTTP = `{"version":"1.0.0","capabilities":[{"name":"http","hosts":["a.example"],"reason":"asks","required":true},{"name":"kv"}]}`
	full := versioned("x", "1.0.0")
	tests := []struct {
		name     string
		file     string
		contents []byte
		sidecar  string
		settings *spec.Settings // of the plugin "x"
		want     string         // the plugin's name
		state    wire.PluginState
		reason   string
	}{
		{name: "named by the section", file: "other.wasm", contents: full, want: "x", state: wire.Active},
		{name: "named by the sidecar", file: "other.wasm", contents: full, sidecar: `{"name":"y"}`, want: "y", state: wire.Active},
		{name: "named by the file", file: "x.wasm", contents: module("", "1"), want: "x", state: wire.Active},
		{name: "named by the file, mended", file: "My_Plugin.wasm", contents: module("", "1"), want: "my-plugin", state: wire.Active},
		{name: "manifest without a name", file: "x.wasm", contents: module(`{"version":"1.0.0"}`, "1"), want: "x", state: wire.Active},
		{name: "no valid name", file: "a b.wasm", contents: module("", "1"), want: "a b", state: wire.Rejected, reason: `the file gives no name: "a b" must be 1 to 63 of a-z`},
		{name: "a word of the API", file: "Verify.wasm", contents: module("", "1"), want: "verify", state: wire.Rejected, reason: `the file gives no name: "verify" is a word of the host's API, which no plugin can have for a name; rename it or add a manifest`},
		{name: "broken sidecar", file: "x.wasm", contents: full, sidecar: `{"name":"X"}`, want: "x", state: wire.Rejected, reason: "x.wasm.json: manifest: name"},
		{name: "sidecar cut off", file: "x.wasm", contents: full, sidecar: `{"name":`, want: "x", state: wire.Rejected, reason: "x.wasm.json: manifest"},
		{name: "sidecar empty", file: "x.wasm", contents: full, sidecar: " ", want: "x", state: wire.Rejected, reason: "x.wasm.json: manifest"},
		{name: "broken section", file: "x.wasm", contents: module(`{"nome":"x"}`, "1"), want: "x", state: wire.Rejected, reason: "section berth.manifest: manifest: nome: unknown key"},
		{name: "not a module", file: "x.wasm", contents: []byte("#!/bin/sh\necho"), want: "x", state: wire.Rejected, reason: "not a WebAssembly module"},
		{name: "a component", file: "x.wasm", contents: []byte("\x00asm\x0d\x00\x01\x00"), want: "x", state: wire.Rejected, reason: "a WebAssembly component: build a core module"},
		{name: "cut off", file: "x.wasm", contents: full[:len(full)-1], want: "x", state: wire.Rejected, reason: "the file is incomplete: its"},
		{name: "empty", file: "x.wasm", contents: nil, want: "x", state: wire.Rejected, reason: "the file is incomplete: its 0 bytes"},
		{name: "reserved, not written", file: "x.wasm", contents: make([]byte, 4096), want: "x", state: wire.Rejected, reason: "the file is incomplete"},
		{name: "refused by the loader", file: "x.wasm", contents: module("", "bad: it forks"), want: "x", state: wire.Rejected, reason: "it forks"},
		{name: "settings in error", file: "x.wasm", contents: full, settings: &spec.Settings{Config: json.RawMessage(`"broken"`)}, want: "x", state: wire.Rejected, reason: "its settings: config: must be an object"},
		{name: "disabled", file: "x.wasm", contents: full, settings: &spec.Settings{}, want: "x", state: wire.Disabled, reason: "switched off"},
		{name: "held", file: "x.wasm", contents: full, settings: &spec.Settings{Enabled: true, Hold: true}, want: "x", state: wire.Held, reason: "waits to be enabled"},
		{name: "held and broken", file: "x.wasm", contents: module("", "bad: it forks"), settings: &spec.Settings{Enabled: true, Hold: true}, want: "x", state: wire.Rejected, reason: "it forks"},
		{name: "needs approval", file: "x.wasm", contents: module(needsHTTP, "1"), want: "x", state: wire.NeedsApproval, reason: "it requires the capability http"},
		{name: "another host granted", file: "x.wasm", contents: module(needsHTTP, "1"), settings: &spec.Settings{Enabled: true, Grants: []spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"b.example"}}}}}, want: "x", state: wire.NeedsApproval, reason: "http"},
		{name: "granted", file: "x.wasm", contents: module(needsHTTP, "1"), settings: &spec.Settings{Enabled: true, Grants: []spec.Grant{{Name: "http"}}}, want: "x", state: wire.Active},
	}
	for _, test := range tests {
		for _, hot := range []bool{false, true} {
			t.Run(test.name+map[bool]string{true: ", dropped"}[hot], func(t *testing.T) {
				w := newWorld(t)
				if test.settings != nil {
					w.settings.set("x", *test.settings)
				}
				put := func() {
					if test.sidecar != "" {
						w.write(test.file+".json", []byte(test.sidecar))
					}
					w.write(test.file, test.contents)
				}
				if hot {
					w.run()
					put()
				} else {
					put()
					w.run()
				}
				p := w.waitFor(test.want, test.state, "", test.reason)
				if test.state != wire.Active && w.count(test.want) != 0 {
					t.Errorf("%s, and yet runs", p.State)
				}
				if list := w.m.List(); len(list) != 1 {
					t.Errorf("got %d plugins: %+v", len(list), list)
				}
				if p.Subscribes == nil || p.Capabilities == nil {
					t.Errorf("a list is null: %+v", p)
				}
			})
		}
	}
}

func TestCapabilitiesAreShown(t *testing.T) {
	w := newWorld(t)
	w.settings.set("x", spec.Settings{Enabled: true, Grants: []spec.Grant{{Name: "emit", Targets: spec.Targets{EventTypes: []string{"fraud_*"}}}}})
	w.write("x.wasm", module(`{"subscribes":[{"event_type":"order_*"}],"capabilities":[{"name":"emit","event_types":["fraud_seen"],"reason":"tells"},{"name":"kv"}]}`, "1"))
	w.run()
	p := w.waitFor("x", wire.Active, "", "")
	want := []wire.Capability{{Name: "emit", Granted: true, Reason: "tells", Targets: spec.Targets{EventTypes: []string{"fraud_seen"}}}, {Name: "kv"}}
	if !reflect.DeepEqual(p.Capabilities, want) {
		t.Errorf("got %+v, want %+v", p.Capabilities, want)
	}
	if len(p.Subscribes) != 1 || p.Subscribes[0] != "order_*" {
		t.Errorf("got %q", p.Subscribes)
	}
}

// Files that are no files: shown, refused, never waited for.
func TestHazards(t *testing.T) {
	w := newWorld(t)
	elsewhere := filepath.Join(t.TempDir(), "real.wasm")
	if err := os.WriteFile(elsewhere, versioned("real", "1.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run()
	for _, err := range []error{
		os.Symlink(elsewhere, w.path("link.wasm")),
		os.Symlink(w.path("nowhere"), w.path("dangling.wasm")),
		unix.Mkfifo(w.path("pipe.wasm"), 0o600),
		os.Mkdir(w.path("folder.wasm"), 0o700),
		os.Truncate(sparse(t, w.path("huge.wasm")), 8<<30),
		unix.Mkfifo(w.path("sidepipe.wasm.json"), 0o600),
		os.Symlink(elsewhere, w.path("sidelink.wasm.json")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.write("sidepipe.wasm", versioned("sidepipe", "1.0.0"))
	w.write("sidelink.wasm", versioned("sidelink", "1.0.0"))
	for _, ignored := range []string{".hidden.wasm", "x.wasm.tmp", "x.wasm~", "x.wasm.part", "notes.txt", "lonely.wasm.json"} {
		w.write(ignored, versioned("ignored", "1.0.0"))
	}
	w.write("good.wasm", versioned("good", "1.0.0"))
	w.waitFor("good", wire.Active, "1.0.0", "")
	for name, reason := range map[string]string{
		"link": "a symbolic link", "dangling": "a symbolic link", "pipe": "a named pipe", "folder": "a directory",
		"huge": "8589934592 bytes long: the limit is 67108864", "sidepipe": "a named pipe", "sidelink": "a symbolic link",
	} {
		w.waitFor(name, wire.Rejected, "", reason)
	}
	if list := w.m.List(); len(list) != 8 {
		t.Errorf("got %d rows: %+v", len(list), list)
	}
	if _, err := w.m.SetEnabled(w.bound(), "link", true); !fault.Is(err, fault.Conflict) {
		t.Errorf("enabling a link: %v", err)
	}
	if _, err := w.m.SetEnabled(w.bound(), "nobody", true); !fault.Is(err, fault.NotFound) {
		t.Errorf("enabling nobody: %v", err)
	}

	// What takes a running plugin's place and is no file leaves it running.
	w.remove("link.wasm")
	if err := os.Symlink(elsewhere, w.path("link.wasm")); err != nil {
		t.Fatal(err)
	}
	w.rename("link.wasm", "good.wasm")
	w.waitFor("good", wire.Active, "1.0.0", "still running 1.0.0; the new file is rejected: it is a symbolic link")
}

func sparse(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnableDisable(t *testing.T) {
	w := newWorld(t)
	w.settings.set("held", spec.Settings{Enabled: true, Hold: true})
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.write("held.wasm", versioned("held", "1.0.0"))
	w.run()
	steps := []struct {
		name    string
		enabled bool
		want    wire.PluginState
		count   int
	}{
		{"x", false, wire.Disabled, 0}, {"x", false, wire.Disabled, 0}, {"x", true, wire.Active, 1}, {"x", true, wire.Active, 1},
		{"held", true, wire.Active, 1}, {"held", false, wire.Disabled, 0},
	}
	for _, s := range steps {
		p, err := w.m.SetEnabled(w.bound(), s.name, s.enabled)
		if err != nil || p.State != s.want || w.count(s.name) != s.count {
			t.Errorf("SetEnabled(%s, %v) = %+v, %v, want %s", s.name, s.enabled, p, err, s.want)
		}
	}
	if err := w.m.Reload(w.bound(), []string{w.dir}); err != nil {
		t.Fatal(err)
	}
	w.waitFor("held", wire.Disabled, "1.0.0", "switched off")
	w.waitFor("x", wire.Active, "1.0.0", "")
}

func TestSetEnabledThatCannotBePersisted(t *testing.T) {
	w := newWorld(t)
	full := fault.New(fault.Exhausted, "the disk is full")
	w.config.SetEnabled = func(context.Context, string, bool) error { return full }
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	if _, err := w.m.SetEnabled(w.bound(), "x", false); !errors.Is(err, full) || !strings.Contains(err.Error(), "enable or disable x") {
		t.Errorf("got %v", err)
	}
	w.waitFor("x", wire.Active, "1.0.0", "")
}

// Disabling takes hold although the file in place is broken, and a revoked
// grant although the file cannot be loaded again.
func TestSettingsApplyToAVersionWhoseFileIsBroken(t *testing.T) {
	w := newWorld(t)
	w.settings.set("x", spec.Settings{Enabled: true, Grants: []spec.Grant{{Name: "kv"}}})
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.replace("x.wasm", []byte("rubbish that is no module"))
	w.waitFor("x", wire.Active, "1.0.0", "still running 1.0.0; the new file is rejected: not a WebAssembly module")
	w.settings.set("x", spec.Settings{Enabled: true, Limits: spec.Limits{Memory: 1 << 20}})
	w.reload(w.dir)
	w.until("the grant to be taken away", func() bool { return len(w.only("x", "1.0.0").Settings.Grants) == 0 })
	w.waitFor("x", wire.Active, "1.0.0", "the new file is rejected")
	if p, err := w.m.SetEnabled(w.bound(), "x", false); err != nil || w.count("x") != 0 {
		t.Errorf("disable: %+v, %v", p, err)
	}
}

func (w *world) reload(dirs ...string) {
	w.Helper()
	if err := w.m.Reload(w.bound(), dirs); err != nil {
		w.Fatal(err)
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t)
	other := t.TempDir()
	w.write("x.wasm", versioned("x", "1.0.0"))
	if err := os.WriteFile(filepath.Join(other, "y.wasm"), versioned("y", "1.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run()
	steps := []struct {
		name     string
		settings spec.Settings
		loads    int // in the end
	}{
		{"nothing changes", spec.Settings{Enabled: true}, 1},
		{"a setting", spec.Settings{Enabled: true, Limits: spec.Limits{Timeout: time.Second}}, 1},
		{"memory", spec.Settings{Enabled: true, Limits: spec.Limits{Memory: 1 << 20}}, 2},
		{"broken settings", spec.Settings{Enabled: true, Config: json.RawMessage(`"broken"`)}, 2},
		{"mended settings", spec.Settings{Enabled: true, Limits: spec.Limits{Memory: 1 << 20}}, 2},
	}
	for _, s := range steps {
		w.settings.set("x", s.settings)
		w.reload(w.dir)
		if s.settings.Config != nil {
			w.waitFor("x", wire.Active, "", "still running 1.0.0 with its former settings: its settings: config")
			continue
		}
		w.until(s.name, func() bool {
			spec := w.only("x", "1.0.0").Settings
			return spec.Limits.Timeout == s.settings.Limits.Timeout && spec.Limits.Memory == s.settings.Limits.Memory
		})
		w.waitFor("x", wire.Active, "", "")
		w.mu.Lock()
		if w.loads != s.loads {
			t.Errorf("%s: %d loads, want %d", s.name, w.loads, s.loads)
		}
		w.mu.Unlock()
	}
	w.reload(other)
	w.waitGone("x")
	w.waitFor("y", wire.Active, "1.0.0", "")
	w.reload(w.dir, other, w.dir)
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.reload()
	w.waitGone("x")
	w.waitGone("y")
}

// The decision stands when the caller does not wait for its outcome.
func TestSetEnabledDoesNotWaitForEver(t *testing.T) {
	w := newWorld(t)
	drained := make(chan struct{})
	w.fakes.drain = func(context.Context, string) error { <-drained; return nil }
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
	ctx, cancel := context.WithCancel(w.bound())
	answered := make(chan wire.Plugin)
	go func() {
		p, err := w.m.SetEnabled(ctx, "x", false)
		if err != nil {
			t.Error(err)
		}
		answered <- p
	}()
	w.waitFor("x", wire.Draining, "1.0.0", "switched off by the operator")
	cancel()
	if p := <-answered; p.State != wire.Draining {
		t.Errorf("got %s", p.State)
	}
	close(drained)
	w.waitFor("x", wire.Disabled, "1.0.0", "switched off by the operator")
}
