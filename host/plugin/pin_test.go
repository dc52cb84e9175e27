package plugin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// pinned puts a module into a store and returns the pin of it.
func (w *world) pinned(store, name string, wasm []byte) spec.Pin {
	w.Helper()
	sum := sha256.Sum256(wasm)
	digest := hex.EncodeToString(sum[:])
	path := filepath.Join(store, digest+".wasm")
	if err := os.WriteFile(path, wasm, 0o600); err != nil {
		w.Fatal(err)
	}
	return spec.Pin{Name: name, Path: path, SHA256: digest}
}

func (w *world) pin(p spec.Pin) (wire.Plugin, error) { return w.m.Pin(w.bound(), p) }

// TestPinLife: a pin runs from the start, is replaced after its successor has started,
// and is removed when its uninstallation commits.
func TestPinLife(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	one, two := w.pinned(store, "x", versioned("x", "1.0.0")), w.pinned(store, "x", versioned("x", "2.0.0"))
	plain := w.pinned(store, "plain", module("", "1"))
	same := plain
	same.Name = "twin" // the same contents under two names
	w.config.Pins = []spec.Pin{one, plain, same}
	w.write("x.wasm", versioned("x", "0.1.0"))
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.waitFor("plain", wire.Active, "", "")
	w.waitFor("twin", wire.Active, "", "")
	w.until("the file of the same name to be refused", func() bool {
		for _, p := range w.m.List() {
			if p.Name == "x" && p.State == wire.Rejected && p.Version == "0.1.0" {
				return p.Reason == "the name x belongs to the installed plugin x; "+w.path("x.wasm")+" is ignored as long as that is there"
			}
		}
		return false
	})
	w.mu.Lock()
	w.steady = "x"
	w.mu.Unlock()
	for range 2 { // the second time it is there already
		if p, err := w.pin(two); err != nil || p.State != wire.Active || p.Version != "2.0.0" {
			t.Fatalf("got %+v, %v", p, err)
		}
	}
	w.only("x", "2.0.0")
	if p, err := w.pin(one); err != nil || p.Version != "1.0.0" {
		t.Fatalf("back: %+v, %v", p, err)
	}
	w.mu.Lock()
	w.steady = ""
	w.mu.Unlock()

	broken := errors.New("the disk says no")
	if err := w.m.Uninstall(w.bound(), "x", func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	w.waitFor("x", wire.Active, "1.0.0", "")
	committed := 0
	if err := w.m.Uninstall(w.bound(), "x", func() error { committed++; return nil }); err != nil || committed != 1 {
		t.Errorf("got %v, committed %d times", err, committed)
	}
	if list := w.m.List(); len(list) != 2 || w.files() != "" {
		t.Errorf("there is %s: %+v", w.files(), list)
	}
	if _, err := os.Stat(one.Path); err != nil {
		t.Errorf("the stored file is the store's business: %v", err)
	}
	if err := w.m.Unpin(w.bound(), "plain"); err != nil || w.count("plain") != 0 {
		t.Error(err)
	}
	wants(t, w.m.Unpin(w.bound(), "plain"), fault.NotFound, "plain")
}

// It comes to rest as the settings want it.
func TestPinWaitsUntilThePluginIsStable(t *testing.T) {
	for _, tt := range []struct {
		settings spec.Settings
		manifest string
		state    wire.PluginState
	}{
		{spec.Settings{}, `{"name":"x"}`, wire.Disabled},
		{spec.Settings{Enabled: true, Hold: true}, `{"name":"x"}`, wire.Held},
		{spec.Settings{Enabled: true}, `{"name":"x","capabilities":[{"name":"kv","required":true}]}`, wire.NeedsApproval},
	} {
		w := newWorld(t).run()
		w.settings.set("x", tt.settings)
		p, err := w.pin(w.pinned(t.TempDir(), "x", module(tt.manifest, "1")))
		if err != nil || p.State != tt.state {
			t.Errorf("want %s: got %+v, %v", tt.state, p, err)
		}
	}
}

// TestPinRefusals: a stored module never runs with another digest or name.
func TestPinRefusals(t *testing.T) {
	full := versioned("x", "1.0.0")
	for _, tt := range []struct {
		name    string
		wasm    []byte
		prepare func(w *world, p *spec.Pin)
		code    fault.Code
		text    string
	}{
		{"changed", full, func(_ *world, p *spec.Pin) { _ = os.WriteFile(p.Path, versioned("x", "6.6.6"), 0o600) }, fault.Invalid, "does not match the lock"},
		{"cut off", full, func(_ *world, p *spec.Pin) { _ = os.Truncate(p.Path, 20) }, fault.Invalid, "does not match the lock"},
		{"missing", full, func(_ *world, p *spec.Pin) { _ = os.Remove(p.Path) }, fault.Invalid, "is missing: install it again"},
		{"a link", full, func(_ *world, p *spec.Pin) {
			_ = os.Rename(p.Path, p.Path+".real")
			_ = os.Symlink(p.Path+".real", p.Path)
		}, fault.Invalid, "a symbolic link"},
		{"a directory", full, func(_ *world, p *spec.Pin) { _ = os.Remove(p.Path); _ = os.Mkdir(p.Path, 0o700) }, fault.Invalid, "a directory"},
		{"another name", versioned("y", "1.0.0"), nil, fault.Invalid, "its manifest names it y"},
		{"broken manifest", module(`{"nome":"x"}`, "1"), nil, fault.Invalid, "nome: unknown key"},
		{"large", full, func(w *world, _ *spec.Pin) { w.config.MaxSize = int64(len(full)) - 1 }, fault.Invalid, "the limit is"},
		{"a refusal of its own", full, func(_ *world, p *spec.Pin) { p.Refusal = "the lock is broken" }, fault.Invalid, "the lock is broken"},
		{"refused by the loader", module(`{"name":"x"}`, "bad: it forks"), nil, fault.Invalid, "install x: the module is rejected: it forks"},
		{"settings in error", full, func(w *world, _ *spec.Pin) {
			w.settings.set("x", spec.Settings{Config: []byte(`"broken"`)})
		}, fault.Invalid, "config: must be an object"},
		{"no memory for now", full, func(w *world, _ *spec.Pin) {
			w.fakes.load = func(context.Context, string, string) error { return fault.New(fault.Exhausted, "no room") }
		}, fault.Exhausted, "no room"},
		{"events that cannot be claimed", full, func(w *world, _ *spec.Pin) {
			w.fakes.claim = func(string) error { return errors.New("the disk is full") }
		}, fault.Unavailable, "the disk is full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.pinned(t.TempDir(), "x", tt.wasm)
			if tt.prepare != nil {
				tt.prepare(w, &p)
			}
			w.run()
			_, err := w.pin(p)
			wants(t, err, tt.code, tt.text)
			if list := w.m.List(); len(list) != 0 || w.count("x") != 0 {
				t.Errorf("it is there: %+v", list)
			}
		})
	}
}

// At the start a refused pin is listed with its reason, holds its name, and its
// events wait for it.
func TestRefusedPinAtTheStart(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	p := w.pinned(store, "x", versioned("x", "1.0.0"))
	if err := os.WriteFile(p.Path, versioned("x", "6.6.6"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.config.Pins = []spec.Pin{p}
	w.write("x.wasm", versioned("x", "0.1.0"))
	w.run()
	w.waitFor("x", wire.Rejected, "", "does not match the lock")
	w.mu.Lock()
	if w.claims["x"] == 0 || w.loads != 0 {
		t.Errorf("claimed %d times, loaded %d times", w.claims["x"], w.loads)
	}
	w.mu.Unlock()
	if repaired, err := w.pin(w.pinned(store, "x", versioned("x", "1.0.0"))); err != nil || repaired.Version != "1.0.0" {
		t.Errorf("mended: %+v, %v", repaired, err)
	}
}

// TestFreeNames: a name belongs to the plugin that runs or will run under it, not to a
// rejected file.
func TestFreeNames(t *testing.T) {
	w := newWorld(t)
	w.settings.set("off", spec.Settings{})
	w.config.Pins = []spec.Pin{w.pinned(t.TempDir(), "pinned", versioned("pinned", "1.0.0"))}
	w.write("runs.wasm", versioned("runs", "1.0.0"))
	w.write("off.wasm", versioned("off", "1.0.0"))
	w.write("bad.wasm", module(`{"name":"bad"}`, "bad: it forks"))
	w.write("rubbish.wasm", []byte("rubbish that is no module"))
	w.write("broken.wasm", versioned("broken", "1.0.0"))
	w.run()
	w.waitFor("runs", wire.Active, "1.0.0", "")
	w.waitFor("broken", wire.Active, "1.0.0", "")
	w.replace("broken.wasm", []byte("rubbish that is no module"))
	w.waitFor("broken", wire.Active, "1.0.0", "the new file is rejected")
	for name, taken := range map[string]bool{"runs": true, "off": true, "broken": true, "bad": false, "rubbish": false, "pinned": false, "nobody": false} {
		err := w.m.Free(w.bound(), name)
		if taken && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), w.path(name+".wasm"))) || !taken && err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestRepin: a pin that was refused because the lock could not be read runs, is removed,
// or is unchanged.
func TestRepin(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	x, y, z := w.pinned(store, "x", versioned("x", "1.0.0")), w.pinned(store, "y", versioned("y", "1.0.0")), w.pinned(store, "z", versioned("z", "1.0.0"))
	refused := func(p spec.Pin) spec.Pin { p.Refusal = "the lock is broken"; return p }
	w.config.Pins = []spec.Pin{refused(x), refused(y), z}
	w.run()
	w.waitFor("x", wire.Rejected, "", "the lock is broken")
	w.waitFor("z", wire.Active, "1.0.0", "")
	other := w.pinned(store, "z", versioned("z", "2.0.0"))
	fresh := w.pinned(store, "fresh", versioned("fresh", "1.0.0"))
	if err := w.m.Repin(w.bound(), []spec.Pin{x, other, fresh}); err != nil {
		t.Fatal(err)
	}
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.waitFor("fresh", wire.Active, "1.0.0", "")
	w.waitFor("z", wire.Active, "1.0.0", "") // runs already, as it was
	w.until("y to go", func() bool { _, err := w.m.Plugin("y"); return fault.Is(err, fault.NotFound) })
	if err := w.m.Repin(w.bound(), []spec.Pin{{Name: "x", Path: "relative"}}); err == nil {
		t.Error("a pin without a path: no error")
	}
	if err := w.m.Repin(w.bound(), nil); err != nil || w.count("x") != 1 || w.count("z") != 1 {
		t.Errorf("none is refused, and none goes: %v, %d, %d", err, w.count("x"), w.count("z"))
	}
}

// It is hashed again when it is loaded again, which new settings can ask for.
func TestPinIsHashedAtEveryLoad(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	p := w.pinned(store, "x", versioned("x", "1.0.0"))
	w.config.Pins = []spec.Pin{p}
	w.run()
	if err := os.WriteFile(p.Path, versioned("x", "6.6.6"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.m.SetEnabled(w.bound(), "x", false); err != nil {
		t.Fatal(err)
	}
	if got, err := w.m.SetEnabled(w.bound(), "x", true); err != nil || got.State == wire.Active {
		t.Errorf("got %+v, %v", got, err)
	}
	w.waitFor("x", wire.Rejected, "", "does not match the lock")
}

// An upgrade that does not start leaves the version that runs, and its pin.
func TestPinThatFailsLeavesTheFormer(t *testing.T) {
	for what, bad := range map[string][]byte{
		"rejected": module(`{"name":"x","version":"2.0.0"}`, "bad: it forks"),
		"no start": versioned("x", "2.0.0"),
		"given up": versioned("x", "3.0.0"),
	} {
		t.Run(what, func(t *testing.T) {
			w, store := newWorld(t), t.TempDir()
			w.steady = "x"
			w.config.Pins = []spec.Pin{w.pinned(store, "x", versioned("x", "1.0.0"))}
			ctx, cancel := context.WithCancel(w.bound())
			w.fakes.start = func(c context.Context, spec plugin.Spec) error {
				switch spec.Manifest.Version {
				case "2.0.0":
					return errors.New("it trapped")
				case "3.0.0":
					cancel()
					<-c.Done()
					return c.Err()
				}
				return nil
			}
			w.run()
			if _, err := w.m.Pin(ctx, w.pinned(store, "x", bad)); err == nil {
				t.Error("it was installed")
			}
			w.waitFor("x", wire.Active, "1.0.0", "")
			w.only("x", "1.0.0")
			cancel()
		})
	}
}

// A name that a dropped file has is not a pin's.
func TestPinOfATakenName(t *testing.T) {
	for what, settings := range map[string]spec.Settings{"active": {Enabled: true}, "disabled": {}} {
		w := newWorld(t)
		w.settings.set("x", settings)
		w.write("z.wasm", versioned("x", "1.0.0"))
		w.run()
		p := w.pinned(t.TempDir(), "x", versioned("x", "2.0.0"))
		_, err := w.pin(p)
		wants(t, err, fault.Conflict, "the name x belongs to the plugin in "+w.path("z.wasm"))
		wants(t, w.m.Free(w.bound(), "x"), fault.Conflict, "z.wasm")
		if got, err := w.m.Plugin("x"); err != nil || got.Version != "1.0.0" {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	// A file that is rejected gives its name to the pin.
	w := newWorld(t)
	w.write("x.wasm", []byte("rubbish"))
	w.run()
	if got, err := w.pin(w.pinned(t.TempDir(), "x", versioned("x", "2.0.0"))); err != nil || got.State != wire.Active {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPinAroundTheLife(t *testing.T) {
	w := newWorld(t)
	p := w.pinned(t.TempDir(), "x", versioned("x", "1.0.0"))
	for _, bad := range [][]spec.Pin{{p, p}, {{Name: "../x", Path: p.Path}}, {{Name: "x", Path: "x.wasm"}}} {
		cfg := w.config
		cfg.Pins = bad
		if _, err := plugin.New(cfg); !fault.Is(err, fault.Internal) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	m, err := plugin.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, second(m.Pin(w.bound(), p)), fault.Unavailable, "not started")
	wants(t, m.Uninstall(w.bound(), "x", nil), fault.Unavailable, "not started")
	w.fakes.load = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
	w.run()
	answered := make(chan error)
	go func() { answered <- second(w.m.Pin(w.bound(), p)) }()
	w.waitFor("x", wire.Vetting, "", "")
	for _, err := range []error{
		second(w.pin(p)),
		w.m.Uninstall(w.bound(), "x", nil),
		w.m.Unpin(w.bound(), "x"),
		second(w.m.SetEnabled(w.bound(), "x", false)),
	} {
		wants(t, err, fault.Conflict, "is being installed")
	}
	w.end()
	wants(t, <-answered, fault.Unavailable, "closed")
}

// Pins, uninstallations, drops and removals of few names at the same time.
func TestPinHammer(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	w.config.Debounce, w.config.Quiet, w.config.Rescan = time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
	w.fakes.load = func(ctx context.Context, _, _ string) error { return w.moment(ctx) }
	pins := map[string]spec.Pin{}
	for _, name := range []string{"p-0", "p-1"} {
		for _, version := range []string{"1.0.0", "1.1.0"} {
			pins[name+version] = w.pinned(store, name, versioned(name, version))
		}
	}
	w.run()
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(n)))
			for i := range 60 {
				ctx, cancel := context.WithTimeout(w.bound(), time.Duration(1+r.IntN(300))*time.Millisecond)
				name := fmt.Sprintf("p-%d", r.IntN(2))
				var err error
				switch r.IntN(6) {
				case 0, 1, 2:
					_, err = w.m.Pin(ctx, pins[name+fmt.Sprintf("1.%d.0", r.IntN(2))])
				case 3, 4:
					err = w.m.Uninstall(ctx, name, func() error { return nil })
				default:
					w.replace(fmt.Sprintf("drop-%d-%d.wasm", n, i), versioned(name, "3.0.0"))
				}
				cancel()
				switch fault.CodeOf(err) {
				case "", fault.Conflict, fault.NotFound, fault.Timeout:
				default:
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	w.until("everything to be uninstalled", func() bool {
		for _, name := range []string{"p-0", "p-1"} {
			if err := w.m.Uninstall(w.bound(), name, nil); err != nil && !fault.Is(err, fault.NotFound) {
				t.Error(name, err)
			}
		}
		return w.files() == ""
	})
	w.until("the list to be empty", func() bool { return len(w.m.List()) == 0 })
}
