package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const asking = `{"name":"x","version":"1.0.0","capabilities":[{"name":"http","hosts":["a.example","b.example"],"required":true,"reason":"asks"},{"name":"kv"},{"name":"emit","event_types":["fraud_*"]}]}`

func TestApprove(t *testing.T) {
	http := spec.Grant{Name: "http", Targets: spec.Targets{Hosts: []string{"a.example", "b.example"}}}
	emit := spec.Grant{Name: "emit", Targets: spec.Targets{EventTypes: []string{"fraud_*"}}}
	tests := []struct {
		name   string
		grants []spec.Grant // before
		in     wire.Approval
		want   []spec.Grant
		state  wire.PluginState
		reason string
	}{
		{"all", nil, wire.Approval{}, []spec.Grant{http, {Name: "kv"}, emit}, wire.Active, ""},
		{"one", nil, wire.Approval{Capabilities: []string{"http"}}, []spec.Grant{http}, wire.Active, ""},
		{"not the one required", nil, wire.Approval{Capabilities: []string{"kv"}}, []spec.Grant{{Name: "kv"}}, wire.NeedsApproval, "it requires the capability http (hosts a.example, b.example), which is not granted"},
		{"none", nil, wire.Approval{Capabilities: []string{}}, nil, wire.NeedsApproval, "http"},
		{"on top", []spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"*.other", "b.example"}}}, {Name: "secret", Targets: spec.Targets{Names: []string{"s"}}}}, wire.Approval{Capabilities: []string{"http"}},
			[]spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"*.other", "b.example", "a.example"}}}, {Name: "secret", Targets: spec.Targets{Names: []string{"s"}}}}, wire.Active, ""},
		{"everything is more than a list", []spec.Grant{{Name: "emit"}}, wire.Approval{}, []spec.Grant{{Name: "emit"}, http, {Name: "kv"}}, wire.Active, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.settings.set("x", spec.Settings{Enabled: true, Grants: tt.grants})
			w.write("x.wasm", module(asking, "1"))
			w.run()
			w.waitFor("x", wire.NeedsApproval, "1.0.0", "http")
			p, err := w.m.Approve(w.bound(), "x", tt.in, nil)
			if err != nil || p.State != tt.state || !strings.Contains(p.Reason, tt.reason) {
				t.Errorf("got %+v, %v, want %s", p, err, tt.state)
			}
			if s, _ := w.settings.get("x", abi.Manifest{}); !reflect.DeepEqual(s.Grants, tt.want) {
				t.Errorf("got the grants %+v, want %+v", s.Grants, tt.want)
			}
			before := w.settings.writes
			again, err := w.m.Approve(w.bound(), "x", tt.in, nil)
			if err != nil || again.State != tt.state || w.settings.writes != before {
				t.Errorf("again: got %+v, %v and %d writes", again, err, w.settings.writes-before)
			}
		})
	}
}

func TestApproveRefuses(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", module(asking, "1"))
	w.write("b a d.wasm", module("", "1"))
	w.run()
	full := fault.New(fault.Exhausted, "the disk is full")
	tests := []struct {
		name string
		in   wire.Approval
		code fault.Code
		want string
	}{
		{"nobody", wire.Approval{}, fault.NotFound, "there is no plugin"},
		{"b a d", wire.Approval{}, fault.Conflict, "is rejected"},
		{"x", wire.Approval{Capabilities: []string{"kv", "secret"}}, fault.Invalid, `capabilities[1]: "secret" is not a capability that the plugin requests`},
		{"x", wire.Approval{SHA256: strings.Repeat("0", 64)}, fault.Precondition, "has another sha256"},
	}
	for _, tt := range tests {
		if _, err := w.m.Approve(w.bound(), tt.name, tt.in, nil); !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %+v: got %v, want %s", tt.name, tt.in, err, tt.want)
		}
	}
	w.waitFor("x", wire.NeedsApproval, "1.0.0", "http")
	if w.settings.writes != 0 {
		t.Errorf("%d writes", w.settings.writes)
	}
	w.end()
	w.m = nil

	w.config.SetGrants = func(context.Context, string, []spec.Grant) error { return full }
	w.run()
	if _, err := w.m.Approve(w.bound(), "x", wire.Approval{}, nil); !errors.Is(err, full) || !strings.Contains(err.Error(), "approve x") {
		t.Errorf("got %v", err)
	}
	w.waitFor("x", wire.NeedsApproval, "1.0.0", "http")
}

func TestApprovedGrantsOutlastAReload(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", module(asking, "1"))
	w.run()
	if p, err := w.m.Approve(w.bound(), "x", wire.Approval{}, nil); err != nil || p.State != wire.Active {
		t.Fatalf("got %+v, %v", p, err)
	}
	w.reload(w.dir)
	w.waitFor("x", wire.Active, "1.0.0", "")
}

func TestApproveDoesNotEnable(t *testing.T) {
	w := newWorld(t)
	w.settings.set("x", spec.Settings{})
	w.write("x.wasm", module(asking, "1"))
	w.settings.set("y", spec.Settings{Enabled: true, Hold: true})
	w.write("y.wasm", module(strings.Replace(asking, `"x"`, `"y"`, 1), "1"))
	w.run()
	for _, step := range []struct {
		name string
		want wire.PluginState
	}{{"x", wire.Disabled}, {"y", wire.Held}} {
		if p, err := w.m.Approve(w.bound(), step.name, wire.Approval{}, nil); err != nil || p.State != step.want {
			t.Errorf("approve %s: got %+v, %v", step.name, p, err)
		}
		if p, err := w.m.SetEnabled(w.bound(), step.name, true); err != nil || p.State != wire.Active {
			t.Errorf("enable %s: got %+v, %v", step.name, p, err)
		}
	}
}

// An update that asks for no more runs; one that asks for more waits beside the
// old version until it is approved.
func TestUpdatesAndApproval(t *testing.T) {
	manifest := func(version, capabilities string) string {
		return `{"name":"x","version":"` + version + `","capabilities":[` + capabilities + `]}`
	}
	const one = `{"name":"http","hosts":["a.example"]}`
	tests := []struct {
		name, next string
		waits      string // "": it runs at once
	}{
		{"no more", `{"name":"http","hosts":["a.example"],"required":true}`, ""},
		{"less", ``, ""},
		{"below a wildcard that is granted", `{"name":"http","hosts":["a.example","x.w.example"]}`, ""},
		{"something optional", one + `,{"name":"kv"}`, ""},
		{"something required", one + `,{"name":"kv","required":true}`, "it requires the capability kv, which is not granted"},
		{"two things required", one + `,{"name":"kv","required":true},{"name":"emit","event_types":["e"],"required":true}`, "it requires the capabilities kv and emit (event types e), which are not granted"},
		{"another host", `{"name":"http","hosts":["a.example","b.example"]}`, "it asks for more than is granted: http (hosts a.example, b.example)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.settings.set("x", spec.Settings{Enabled: true, Grants: []spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"a.example", "*.w.example"}}}}})
			w.write("x.wasm", module(manifest("1.0.0", one), "1"))
			w.run()
			w.waitFor("x", wire.Active, "1.0.0", "")
			w.replace("x.wasm", module(manifest("2.0.0", tt.next), "2"))
			if tt.waits == "" {
				w.waitFor("x", wire.Active, "2.0.0", "")
				return
			}
			p := w.waitFor("x", wire.Active, "1.0.0", "still running 1.0.0; the new file needs approval: "+tt.waits)
			if p.Pending == nil || p.Pending.Version != "2.0.0" || p.Pending.SHA256 == p.SHA256 || len(p.Pending.Capabilities) == 0 {
				t.Fatalf("got %+v", p.Pending)
			}
			if _, err := w.m.Approve(w.bound(), "x", wire.Approval{SHA256: p.SHA256}, nil); !fault.Is(err, fault.Precondition) {
				t.Errorf("approving what runs: got %v", err)
			}
			p, err := w.m.Approve(w.bound(), "x", wire.Approval{SHA256: p.Pending.SHA256}, nil)
			if err != nil || p.State != wire.Active || p.Version != "2.0.0" || p.Pending != nil {
				t.Errorf("got %+v, %v", p, err)
			}
			w.only("x", "2.0.0")
		})
	}
}

// TestApprovePrecondition: a sidecar can change while the module stays the same, so the
// precondition gets the plugin at the moment of the grant.
func TestApprovePrecondition(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", module("", "1"))
	w.write("x.wasm.json", []byte(`{"name":"x","capabilities":[{"name":"http","hosts":["evil.example"],"required":true}]}`))
	w.run()
	w.waitFor("x", wire.NeedsApproval, "", "it requires the capability http (hosts evil.example), which is not granted")
	var seen wire.Plugin
	p, err := w.m.Approve(w.bound(), "x", wire.Approval{}, func(p wire.Plugin) error {
		seen = p
		return fault.New(fault.Precondition, "it asks for another host")
	})
	if !fault.Is(err, fault.Precondition) || len(seen.Capabilities) != 1 || seen.Capabilities[0].Hosts[0] != "evil.example" {
		t.Errorf("got %+v, %v, and was shown %+v", p, err, seen)
	}
	p = w.waitFor("x", wire.NeedsApproval, "", "it requires the capability http (hosts evil.example), which is not granted")
	if _, err := w.m.Approve(w.bound(), "x", wire.Approval{SHA256: p.SHA256}, nil); !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "If-Match") {
		t.Errorf("by the module's sha256 alone: got %v", err)
	}
	if p, err := w.m.Approve(w.bound(), "x", wire.Approval{SHA256: p.SHA256}, func(wire.Plugin) error { return nil }); err != nil || p.State != wire.Active {
		t.Errorf("by both: got %+v, %v", p, err)
	}
}

// TestAnUpdateOfWhatWasNeverGranted: a capability that the running version lacks does not
// block the next one.
func TestAnUpdateOfWhatWasNeverGranted(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", module(`{"name":"x","version":"1.0.0","capabilities":[{"name":"http","hosts":["a"]}]}`, "1"))
	w.run()
	w.replace("x.wasm", module(`{"name":"x","version":"2.0.0","capabilities":[{"name":"http","hosts":["a","b"]}]}`, "2"))
	w.waitFor("x", wire.Active, "2.0.0", "")
}

func TestPause(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	steps := []struct {
		paused bool
		want   wire.PluginState
		reason string
	}{{true, wire.Paused, "paused by the operator; its events wait"}, {true, wire.Paused, "paused"}, {false, wire.Active, ""}, {false, wire.Active, ""}}
	for _, s := range steps {
		p, err := w.m.SetPaused(w.bound(), "x", s.paused)
		if err != nil || p.State != s.want || !strings.Contains(p.Reason, s.reason) || p.Since.IsZero() {
			t.Errorf("SetPaused(%v) = %+v, %v, want %s", s.paused, p, err, s.want)
		}
		w.only("x", "1.0.0") // the very version that ran before
	}
	if w.settings.writes != len(steps) {
		t.Errorf("%d writes", w.settings.writes)
	}
	// A paused plugin is replaced by a new file, which is paused as well.
	if _, err := w.m.SetPaused(w.bound(), "x", true); err != nil {
		t.Fatal(err)
	}
	w.replace("x.wasm", versioned("x", "2.0.0"))
	w.waitFor("x", wire.Paused, "2.0.0", "paused")
	if p, err := w.m.SetEnabled(w.bound(), "x", false); err != nil || p.State != wire.Disabled {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := w.m.SetPaused(w.bound(), "nobody", true); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestConditionsAreShown(t *testing.T) {
	w := newWorld(t)
	changes := make(chan wire.Plugin, 64)
	w.config.OnChange = func(p wire.Plugin) { changes <- p }
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []plugin.Condition{{State: wire.BreakerOpen, Reason: "10 traps", Since: at}, {}} {
		w.setCondition(c)
		w.m.ConditionChanged()
		want := c.State
		if want == "" {
			want = wire.Active
		}
		p := w.waitFor("x", want, "1.0.0", c.Reason)
		if c.State != "" && !p.Since.Equal(at) {
			t.Errorf("got since %v, want %v", p.Since, at)
		}
		w.until("the change to be told", func() bool {
			select {
			case reported := <-changes:
				return reported.State == want
			default:
				return false
			}
		})
	}
}

// A disabled plugin's module is known, although it does not run.
func TestADisabledPluginIsVetted(t *testing.T) {
	w := newWorld(t)
	w.settings.set("x", spec.Settings{})
	w.settings.set("bad", spec.Settings{})
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.write("bad.wasm", module("", "bad: it forks"))
	w.run()
	if p := w.waitFor("x", wire.Disabled, "1.0.0", "switched off"); p.Style != "loop" || w.count("x") != 0 {
		t.Errorf("got %+v", p)
	}
	w.waitFor("bad", wire.Disabled, "", "switched off")
	if p, err := w.m.SetEnabled(w.bound(), "bad", true); err != nil || p.State != wire.Rejected {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, enabled := range []bool{true, false} {
		if p, err := w.m.SetEnabled(w.bound(), "x", enabled); err != nil || p.Style != "loop" {
			t.Errorf("got %+v, %v", p, err)
		}
	}
}

func TestConfigSchema(t *testing.T) {
	const manifest = `{"name":"x","version":"1.0.0","config_schema":{"properties":{"n":{"type":"integer"}},"required":["n"]}}`
	w := newWorld(t)
	w.write("x.wasm", module(manifest, "1"))
	w.write("wild.wasm", module(`{"config_schema":{"$ref":"https://example.com/s"}}`, "1"))
	w.run()
	w.waitFor("wild", wire.Rejected, "", "its manifest's config_schema: /$ref: ")
	w.waitFor("x", wire.Rejected, "1.0.0", `handlers.x.config is not what the manifest's config_schema wants: needs "n"`)

	good := spec.Settings{Enabled: true, Config: []byte(`{"n":1}`)}
	bad := spec.Settings{Enabled: true, Config: []byte(`{"n":"hunter2"}`)}
	check := func(s spec.Settings, want string) {
		t.Helper()
		misfits, err := w.m.Check(w.bound(), func(string, abi.Manifest) (spec.Settings, error) { return s, nil })
		got := ""
		for _, m := range misfits {
			for _, v := range m.Violations {
				got += m.Name + v.String()
			}
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", s.Config, got, err, want)
		}
	}
	check(spec.Settings{Enabled: true}, "") // no worse than it is
	check(good, "")
	check(bad, "x/n: must be integer, not string")
	w.settings.set("x", good)
	w.reload(w.dir)
	w.waitFor("x", wire.Active, "1.0.0", "")
	check(good, "")
	check(spec.Settings{Enabled: true}, `xneeds "n"`)
	check(spec.Settings{}, `xneeds "n"`) // it is changed, so it is checked
	check(spec.Settings{Config: good.Config}, "")
	// Should it come to that all the same, what runs goes on with what it has.
	w.settings.set("x", bad)
	w.reload(w.dir)
	p := w.waitFor("x", wire.Active, "1.0.0", "still running 1.0.0 with its former settings: its settings: handlers.x.config is not what the manifest's config_schema wants: /n: must be integer, not string")
	if strings.Contains(p.Reason, "hunter2") {
		t.Error("a value is shown")
	}
	if spec := w.only("x", "1.0.0"); string(spec.Settings.Config) != `{"n":1}` {
		t.Errorf("it runs with %s", spec.Settings.Config)
	}
	misfits, err := w.m.Check(w.bound(), func(string, abi.Manifest) (spec.Settings, error) { return spec.Settings{}, errors.New("no") })
	if err != nil || len(misfits) != 1 || misfits[0].Err == nil {
		t.Errorf("got %+v, %v", misfits, err)
	}
	// A new version that wants another config leaves the old one running.
	w.settings.set("x", good)
	w.reload(w.dir)
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.replace("x.wasm", module(strings.Replace(strings.Replace(manifest, "integer", "string", 1), "1.0.0", "2.0.0", 1), "2"))
	w.waitFor("x", wire.Active, "1.0.0", "the new file is rejected: its settings: handlers.x.config")
	// It is enough that the new one takes the config, or the old one.
	check(spec.Settings{Enabled: true, Config: []byte(`{"n":2}`)}, "")
	check(spec.Settings{Enabled: true, Config: []byte(`{"n":[]}`)}, "x/n: must be integer, not array")
	follow := spec.Settings{Enabled: true, Config: []byte(`{"n":"1"}`)}
	check(follow, "")
	w.settings.set("x", follow)
	w.reload(w.dir)
	w.waitFor("x", wire.Active, "2.0.0", "")
}

// Temporary files of an interrupted Put are removed at the start.
func TestLeftoversAreSwept(t *testing.T) {
	w := newWorld(t)
	w.write(".x.wasm.123.tmp", versioned("x", "1.0.0"))
	w.write(".y.wasm.123.tmp", versioned("y", "1.0.0")) // may belong to a running process
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(w.path(".x.wasm.123.tmp"), old, old); err != nil {
		t.Fatal(err)
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	left, err := filepath.Glob(w.path(".*"))
	if err != nil || len(left) != 1 || left[0] != w.path(".y.wasm.123.tmp") {
		t.Errorf("got %q, %v", left, err)
	}
}

// Which log lines are kept, and how events are shared, changes without a restart.
func TestLogPolicyAndFairnessNeedNoRestart(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	policy := spec.LogPolicy{Kept: spec.LogsOfAll, Level: spec.LevelWarn}
	if err := w.settings.change("x", func(s *spec.Settings) { s.Logs, s.Fair.By = policy, "/data/tenant" }); err != nil {
		t.Fatal(err)
	}
	before := w.fakes.live["x"][0]
	if err := w.m.Reload(w.bound(), []string{w.dir}); err != nil {
		t.Fatal(err)
	}
	w.only("x", "1.0.0")
	if p, err := w.m.Plugin("x"); err != nil || p.FairBy != "/data/tenant" {
		t.Errorf("shown is %+v, %v", p, err)
	}
	w.fakes.mu.Lock()
	defer w.fakes.mu.Unlock()
	if live := w.fakes.live["x"]; len(live) != 1 || live[0] != before || before.logs != policy || before.fair.By != "/data/tenant" {
		t.Errorf("%d versions run; the policies are %+v, %+v", len(live), before.logs, before.fair)
	}
}
