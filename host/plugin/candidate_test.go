package plugin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// counts returns how many modules were loaded, how many versions were started and how
// many of these are parked.
func (w *world) counts() (loads, starts, parked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loads, w.starts, w.parked
}

func (w *world) wantCounts(when string, loads, starts, parked int) {
	w.Helper()
	if l, s, p := w.counts(); l != loads || s != starts || p != parked {
		w.Errorf("%s: %d loads, %d starts, %d parked; want %d, %d, %d", when, l, s, p, loads, starts, parked)
	}
}

func TestPrepareStartsWithoutClaimOrEvent(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	w.unclaimed = "x"
	var specs []plugin.Spec
	w.config.Pins = []spec.Pin{w.pinned(store, "y", versioned("y", "1.0.0"))}
	w.run()
	w.fakes.start = func(_ context.Context, spec plugin.Spec) error {
		specs = append(specs, spec)
		if spec.Manifest.Version == "6.6.6" {
			return fault.New(fault.Trap, "it trapped")
		}
		return nil
	}
	w.settings.set("x", spec.Settings{Grants: []spec.Grant{{Name: abi.CapabilityEmit}}})
	prepare := func(name string, wasm []byte, approved ...abi.Capability) (*plugin.Candidate, error) {
		return w.m.Prepare(w.bound(), name, spec.NewArtifact(wasm), approved)
	}
	c, err := prepare("x", versioned("x", "1.0.0"), abi.Capability{Name: abi.CapabilityKV})
	if err != nil {
		t.Fatal(err)
	}
	if len(specs) != 1 || !specs[0].Settings.Enabled || len(specs[0].Settings.Grants) != 2 || specs[0].Name != "x" {
		t.Errorf("started with %+v", specs)
	}
	w.wantCounts("prepared", 2, 2, 1)
	c.Discard()
	c.Discard()
	_, err = prepare("x", versioned("x", "6.6.6"))
	wants(t, err, fault.Trap, "it trapped")
	_, err = prepare("y", module(`{"name":"y"}`, "bad: it forks"))
	wants(t, err, fault.Internal, "it forks")
	_, err = prepare("x", versioned("z", "1.0.0"))
	wants(t, err, fault.Invalid, "its manifest names it z, and the lock x")
	_, err = prepare("x", []byte("rubbish"))
	wants(t, err, fault.Invalid, "not a WebAssembly module")
	if list := w.m.List(); len(list) != 1 || list[0].Version != "1.0.0" {
		t.Errorf("there is %+v", list)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claims["x"] != 0 || len(w.open) != 1 {
		t.Errorf("claimed %d times; %d modules are open", w.claims["x"], len(w.open))
	}
}

// candidate is a running x 1.0.0 and a prepared x 2.0.0 that asks for kv.
func candidate(t *testing.T) (w *world, c *plugin.Candidate, next spec.Pin) {
	t.Helper()
	w = newWorld(t)
	store := t.TempDir()
	w.config.Pins = []spec.Pin{w.pinned(store, "x", versioned("x", "1.0.0"))}
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.mu.Lock()
	w.steady = "x"
	w.mu.Unlock()
	wasm := module(`{"name":"x","version":"2.0.0","capabilities":[{"name":"kv","required":true,"reason":"state"}]}`, "2.0.0")
	next = w.pinned(store, "x", wasm)
	c, err := w.m.Prepare(w.bound(), "x", spec.NewArtifact(wasm), []abi.Capability{{Name: "kv"}})
	if err != nil {
		t.Fatal(err)
	}
	w.wantCounts("prepared", 2, 2, 1)
	w.only("x", "1.0.0")
	return w, c, next
}

var kv = []spec.Grant{{Name: "kv"}}

func TestPromoteStartsNothing(t *testing.T) {
	w, c, next := candidate(t)
	w.settings.set("x", spec.Settings{Enabled: true, Grants: kv})
	if p, err := c.Promote(w.bound(), next.Path); err != nil || p.State != wire.Active || p.Version != "2.0.0" {
		t.Fatalf("%+v, %v", p, err)
	}
	w.only("x", "2.0.0")
	w.wantCounts("promoted", 2, 2, 0)
}

func TestPromoteUnderOtherSettingsStartsAgain(t *testing.T) {
	w, c, next := candidate(t)
	settings := spec.Settings{Enabled: true, Grants: kv}
	settings.Limits.Concurrency = 7
	w.settings.set("x", settings)
	if p, err := c.Promote(w.bound(), next.Path); err != nil || p.State != wire.Active || p.Version != "2.0.0" {
		t.Fatalf("%+v, %v", p, err)
	}
	if got := w.only("x", "2.0.0"); got.Settings.Limits.Concurrency != 7 {
		t.Errorf("it runs with %+v", got.Settings)
	}
	w.wantCounts("promoted", 2, 3, 0)
}

func TestPromoteUnderAnotherMemoryBoundLoadsAgain(t *testing.T) {
	w, c, next := candidate(t)
	settings := spec.Settings{Enabled: true, Grants: kv}
	settings.Limits.Memory = 1 << 20
	w.settings.set("x", settings)
	if p, err := c.Promote(w.bound(), next.Path); err != nil || p.State != wire.Active || p.Version != "2.0.0" {
		t.Fatalf("%+v, %v", p, err)
	}
	w.only("x", "2.0.0")
	w.wantCounts("promoted", 3, 3, 0)
}

func TestPromoteOfADisabledPluginDiscardsTheCandidate(t *testing.T) {
	w, c, next := candidate(t)
	w.mu.Lock()
	w.steady = ""
	w.mu.Unlock()
	w.settings.set("x", spec.Settings{Grants: kv})
	p, err := c.Promote(w.bound(), next.Path)
	if err != nil || p.Version != "2.0.0" {
		t.Fatalf("%+v, %v", p, err)
	}
	if p = w.waitFor("x", wire.Disabled, "2.0.0", "switched off"); p.Style != "loop" {
		t.Errorf("%+v", p)
	}
	w.wantCounts("promoted", 2, 2, 0)
}

func TestFailedPromoteKeepsTheFormerVersion(t *testing.T) {
	for name, step := range map[string]func(w *world, cancel func()){
		"promotion": func(w *world, _ func()) {
			w.promote = func(_ context.Context, s plugin.Spec) error {
				if s.Manifest.Version == "2.0.0" {
					return errors.New("no")
				}
				return nil
			}
		},
		"claim": func(w *world, _ func()) { w.claim = func(string) error { return fault.New(fault.Unavailable, "no") } },
		"cancelled": func(w *world, cancel func()) {
			w.promote = func(ctx context.Context, s plugin.Spec) error {
				if s.Manifest.Version == "2.0.0" {
					cancel()
					<-ctx.Done()
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, c, next := candidate(t)
			w.settings.set("x", spec.Settings{Enabled: true, Grants: kv})
			ctx, cancel := context.WithCancel(w.bound())
			defer cancel()
			step(w, cancel)
			if p, err := c.Promote(ctx, next.Path); err == nil {
				t.Fatalf("%+v", p)
			}
			w.until("the candidate to be discarded", func() bool { _, _, parked := w.counts(); return parked == 0 })
			if got := w.only("x", "1.0.0"); got.Manifest.Version != "1.0.0" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// The config of an installed plugin is checked as that of a dropped file is: before the
// installation, and at each change of the configuration.
func TestInstalledPluginNeedsConformingConfig(t *testing.T) {
	wasm := module(`{"name":"x","version":"1.0.0","config_schema":{"type":"object","required":["url"]}}`, "ok")
	w, store := newWorld(t), t.TempDir()
	w.unclaimed = "x"
	w.run()
	_, err := w.m.Prepare(w.bound(), "x", spec.NewArtifact(wasm), nil)
	wants(t, err, fault.Invalid, "handlers.x.config is not what the manifest's config_schema wants")
	w.settings.set("x", spec.Settings{Enabled: true, Config: []byte(`{"url":"u"}`)})
	c, err := w.m.Prepare(w.bound(), "x", spec.NewArtifact(wasm), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Promote(w.bound(), w.pinned(store, "x", wasm).Path); err != nil || p.State != wire.Active {
		t.Fatalf("%+v, %v", p, err)
	}
	misfits, err := w.m.Check(w.bound(), func(string, abi.Manifest) (spec.Settings, error) { return spec.Settings{Enabled: true}, nil })
	if err != nil || len(misfits) != 1 || misfits[0].Name != "x" {
		t.Errorf("got misfits %+v, %v; want x", misfits, err)
	}
}

func TestPinnedSchemaIsCompiled(t *testing.T) {
	wasm := module(`{"name":"x","version":"1.0.0","config_schema":{"type":"no such type"}}`, "ok")
	w := newWorld(t)
	w.unclaimed = "x"
	w.run()
	_, err := w.m.Prepare(w.bound(), "x", spec.NewArtifact(wasm), nil)
	wants(t, err, fault.Invalid, "its manifest's config_schema: ")
}

// The settings in force at the promotion count: a candidate that was prepared before a
// pause does not take events.
func TestPausedBetweenPrepareAndPromote(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	w.unclaimed = "x"
	w.run()
	wasm := versioned("x", "1.0.0")
	w.settings.set("x", spec.Settings{Enabled: true})
	c, err := w.m.Prepare(w.bound(), "x", spec.NewArtifact(wasm), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.settings.set("x", spec.Settings{Enabled: true, Paused: true})
	var promoted plugin.Spec
	w.promote = func(_ context.Context, s plugin.Spec) error { promoted = s; return nil }
	if _, err := c.Promote(w.bound(), w.pinned(store, "x", wasm).Path); err != nil {
		t.Fatal(err)
	}
	if !promoted.Settings.Paused {
		t.Error("promoted without the pause in force")
	}
}
