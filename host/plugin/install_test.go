package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

func (w *world) install(wasm []byte, name string) (wire.Plugin, error) {
	return w.m.Install(w.bound(), wasm, name)
}

// files are the names in the directory, hidden ones too.
func (w *world) files() string {
	w.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return strings.Join(names, " ")
}

// wants checks an error's code and text.
func wants(t *testing.T, err error, code fault.Code, text string) {
	t.Helper()
	if !fault.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v (%s), want %s: %s", err, fault.CodeOf(err), code, text)
	}
}

func TestInstallUninstall(t *testing.T) {
	w := newWorld(t)
	parent := w.dir
	w.dir = filepath.Join(parent, "a", "b") // is made
	w.config.Directories = []string{w.dir, parent}
	w.run()
	for _, tt := range []struct {
		wasm       []byte
		name, want string
	}{
		{versioned("shop", "1.0.0"), "", "shop"},
		{versioned("till", "1.0.0"), "till", "till"},
		{module("", "1"), "plain", "plain"},
		{module(`{"version":"1.0.0"}`, "1"), "half", "half"},
	} {
		for range 2 { // the second time it is there already
			p, err := w.install(tt.wasm, tt.name)
			if err != nil || p.Name != tt.want || p.State != wire.Active || w.count(tt.want) != 1 {
				t.Fatalf("%s: got %+v, %v", tt.want, p, err)
			}
		}
	}
	if got := w.files(); got != "half.wasm plain.wasm shop.wasm till.wasm" {
		t.Errorf("the directory holds %s", got)
	}
	stat, err := os.Stat(w.path("shop.wasm"))
	if err != nil || stat.Mode() != 0o644 {
		t.Errorf("got %v, %v", stat.Mode(), err)
	}
	_, err = w.install(versioned("shop", "2.0.0"), "")
	wants(t, err, fault.Conflict, "uninstall it first")
	w.waitFor("shop", wire.Active, "1.0.0", "")

	w.write("till.wasm.json", []byte(`{"name":"till","version":"1.1.0"}`))
	w.waitFor("till", wire.Active, "1.1.0", "")
	for _, name := range []string{"half", "plain", "shop", "till"} {
		if err := w.m.Uninstall(w.bound(), name); err != nil {
			t.Fatal(err)
		}
		if p, err := w.m.Plugin(name); err == nil || w.count(name) != 0 {
			t.Errorf("%s is still there: %+v", name, p)
		}
		wants(t, w.m.Uninstall(w.bound(), name), fault.NotFound, name)
	}
	if got := w.files(); got != "" {
		t.Errorf("the directory holds %s", got)
	}
	if p, err := w.install(versioned("shop", "2.0.0"), ""); err != nil || p.Version != "2.0.0" {
		t.Errorf("again: %+v, %v", p, err)
	}
}

// It comes to rest as the settings want it, and stays installed.
func TestInstallRests(t *testing.T) {
	for _, tt := range []struct {
		settings plugin.Settings
		manifest string
		state    wire.PluginState
	}{
		{plugin.Settings{}, `{"name":"x"}`, wire.Disabled},
		{plugin.Settings{Enabled: true, Hold: true}, `{"name":"x"}`, wire.Held},
		{plugin.Settings{Enabled: true}, `{"name":"x","capabilities":[{"name":"kv","required":true}]}`, wire.NeedsApproval},
	} {
		w := newWorld(t).run()
		w.settings.set("x", tt.settings)
		p, err := w.install(module(tt.manifest, "1"), "")
		if err != nil || p.State != tt.state || w.files() != "x.wasm" {
			t.Errorf("want %s: got %+v, %v, %s", tt.state, p, err, w.files())
		}
	}
}

// Whatever is refused leaves nothing behind.
func TestInstallRefusals(t *testing.T) {
	full := versioned("x", "1.0.0")
	passing := func(code fault.Code) func(w *world) {
		return func(w *world) {
			w.fakes.load = func(context.Context, string, string) error { return fault.New(code, "no room") }
		}
	}
	for _, tt := range []struct {
		name, want string
		wasm       []byte
		prepare    func(w *world)
		code       fault.Code
		text       string
	}{
		{"no name", "", module("", "1"), nil, fault.Invalid, "name: is required"},
		{"a path for a name", "../x", module("", "1"), nil, fault.Invalid, "name: must be"},
		{"another name", "y", full, nil, fault.Invalid, "name: the module's manifest names it x"},
		{"not a module", "x", []byte("#!/bin/sh"), nil, fault.Invalid, "not a WebAssembly module"},
		{"cut off", "x", full[:len(full)-1], nil, fault.Invalid, "damaged module"},
		{"broken manifest", "x", module(`{"nome":"x"}`, "1"), nil, fault.Invalid, "nome: unknown key"},
		{"large", "x", full, func(w *world) { w.config.MaxSize = int64(len(full)) - 1 }, fault.Invalid, "the limit is"},
		{"no directory", "", full, func(w *world) { w.config.Directories = nil }, fault.Conflict, "plugin_directories"},
		{"refused by the loader", "", module(`{"name":"x"}`, "bad: it forks"), nil, fault.Invalid, "install x: the module is rejected: it forks"},
		{"refused at the start", "", full, func(w *world) {
			w.fakes.start = func(context.Context, plugin.Spec) error { return errors.New("it trapped") }
		}, fault.Invalid, "it trapped"},
		{"no memory for now", "", full, passing(fault.Exhausted), fault.Exhausted, "no room"},
		{"no loader for now", "", full, passing(fault.Unavailable), fault.Unavailable, "no room"},
		{"settings in error", "", full, func(w *world) {
			w.settings.set("x", plugin.Settings{Config: []byte(`"broken"`)})
		}, fault.Invalid, "config: must be an object"},
		{"held and broken", "", module(`{"name":"x"}`, "bad: it forks"), func(w *world) {
			w.settings.set("x", plugin.Settings{Enabled: true, Hold: true})
		}, fault.Invalid, "it forks"},
		{"events that cannot be claimed", "", full, func(w *world) {
			w.fakes.claim = func(string) error { return errors.New("the disk is full") }
		}, fault.Unavailable, "the disk is full"},
		{"the directory is a file", "", full, func(w *world) {
			w.config.Directories = []string{filepath.Join(w.dir, "file", "d")}
			w.write("file", nil)
		}, fault.Unavailable, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			before := w.files()
			w.run()
			_, err := w.install(tt.wasm, tt.want)
			wants(t, err, tt.code, tt.text)
			if list := w.m.List(); len(list) != 0 || w.count("x") != 0 {
				t.Errorf("it is there: %+v", list)
			}
			if got := w.files(); got != before {
				t.Errorf("the directory holds %s", got)
			}
		})
	}
}

// What lies in the way is not touched, and taken for nothing it is not.
func TestInstallReplacesNothing(t *testing.T) {
	wasm := versioned("x", "1.0.0")
	for _, tt := range []struct {
		name string
		put  func(w *world)
		code fault.Code
		text string
	}{
		{"a broken file", func(w *world) { w.write("x.wasm", []byte("rubbish")) }, fault.Conflict, "x.wasm"},
		{"another plugin", func(w *world) { w.write("x.wasm", versioned("y", "1.0.0")) }, fault.Conflict, "x.wasm"},
		{"a link", func(w *world) { _ = os.Symlink("/nowhere", w.path("x.wasm")) }, fault.Conflict, "x.wasm"},
		{"a manifest alone", func(w *world) { w.write("x.wasm.json", []byte(`{"name":"y"}`)) }, fault.Conflict, "x.wasm.json"},
		{"the name under another file", func(w *world) { w.write("z.wasm", versioned("x", "0.1.0")) }, fault.Conflict, "other contents"},
		{"the same, rejected", func(w *world) {
			w.fakes.load = func(context.Context, string, string) error { return errors.New("it forks") }
			w.write("x.wasm", wasm)
		}, fault.Invalid, "it forks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.put(w)
			before := w.files()
			w.run()
			was := fmt.Sprint(w.m.List())
			_, err := w.install(wasm, "")
			wants(t, err, tt.code, tt.text)
			if got := w.files(); got != before {
				t.Errorf("the directory holds %s, and held %s", got, before)
			}
			if now := fmt.Sprint(w.m.List()); now != was {
				t.Errorf("the list is %s, and was %s", now, was)
			}
		})
	}
}

// Whoever does not wait until the module has come to rest has not installed it.
func TestInstallGivenUp(t *testing.T) {
	w := newWorld(t)
	loading := make(chan context.CancelFunc, 1)
	ctx, cancel := context.WithCancel(w.bound())
	w.fakes.load = func(ctx context.Context, _, _ string) error {
		loading <- nil
		<-ctx.Done()
		return ctx.Err()
	}
	w.run()
	answered := make(chan error)
	go func() {
		_, err := w.m.Install(ctx, versioned("x", "1.0.0"), "")
		answered <- err
	}()
	<-loading
	for what, err := range map[string]error{
		"install":   second(w.install(versioned("x", "1.0.0"), "")),
		"uninstall": w.m.Uninstall(w.bound(), "x"),
		"disable":   second(w.m.SetEnabled(w.bound(), "x", false)),
	} {
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "just being installed") {
			t.Errorf("%s meanwhile: %v", what, err)
		}
	}
	cancel()
	wants(t, <-answered, fault.Timeout, "install x")
	if list := w.m.List(); len(list) != 0 || w.files() != "" {
		t.Errorf("it is there: %+v, %s", list, w.files())
	}
}

func second(_ wire.Plugin, err error) error { return err }

// Somebody takes the file away, or puts another in its place, meanwhile.
func TestInstallInterfered(t *testing.T) {
	other := module(`{"name":"x","version":"9.0.0"}`, "other")
	for what, interfere := range map[string]func(w *world){
		"removed":  func(w *world) { w.remove("x.wasm") },
		"replaced": func(w *world) { w.replace("x.wasm", other) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			loading := make(chan struct{})
			w.fakes.load = func(ctx context.Context, _, text string) error {
				if text == "other" {
					return nil
				}
				close(loading)
				<-ctx.Done()
				return ctx.Err()
			}
			w.run()
			answered := make(chan error)
			go func() {
				_, err := w.m.Install(w.bound(), versioned("x", "1.0.0"), "")
				answered <- err
			}()
			<-loading
			interfere(w)
			wants(t, <-answered, fault.Conflict, "install x: its file")
			if what == "replaced" {
				w.waitFor("x", wire.Active, "9.0.0", "")
			} else {
				w.waitGone("x")
			}
		})
	}
}

// An uninstall that cannot be finished leaves the plugin running.
func TestUninstallThatFails(t *testing.T) {
	w := newWorld(t)
	drained := make(chan struct{})
	w.fakes.drain = func(ctx context.Context, _ string) error { <-drained; return nil }
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	ctx, cancel := context.WithCancel(w.bound())
	answered := make(chan error)
	go func() { answered <- w.m.Uninstall(ctx, "x") }()
	w.waitFor("x", wire.Draining, "1.0.0", "it is being uninstalled")
	_, err := w.m.SetEnabled(w.bound(), "x", true)
	wants(t, err, fault.Conflict, "just being uninstalled")
	w.reload(w.dir)
	if p := w.waitFor("x", wire.Draining, "", "uninstalled"); p.Instances != 1 {
		t.Errorf("got %+v", p)
	}
	cancel()
	wants(t, <-answered, fault.Timeout, "nothing was removed")
	close(drained)
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.only("x", "1.0.0")

	// A manifest that is a directory cannot be removed as a file is, and a plugin
	// that is a directory is none.
	if err := os.Mkdir(w.path("folder.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.waitFor("folder", wire.Rejected, "", "a directory")
	wants(t, w.m.Uninstall(w.bound(), "folder"), fault.Conflict, "remove it by hand")
	if w.files() != "folder.wasm x.wasm" {
		t.Errorf("the directory holds %s", w.files())
	}
}

// A file whose name is only found out while it is being uninstalled is not
// started, and not waited for until it ends by itself.
func TestUninstallWhileInspected(t *testing.T) {
	w := newWorld(t).run()
	w.write("x.wasm", []byte("rubbish"))
	w.waitFor("x", wire.Rejected, "", "not a WebAssembly module")
	claiming, claim := make(chan struct{}), make(chan struct{})
	w.fakes.claim = func(string) error {
		close(claiming)
		<-claim
		return nil
	}
	w.replace("x.wasm", versioned("x", "1.0.0"))
	<-claiming
	answered := make(chan error)
	go func() { answered <- w.m.Uninstall(w.bound(), "x") }()
	w.until("the uninstall to be under way", func() bool {
		return strings.Contains(second(w.m.SetEnabled(w.bound(), "x", true)).Error(), "just being uninstalled")
	})
	close(claim)
	if err := <-answered; err != nil || w.files() != "" || len(w.m.List()) != 0 {
		t.Errorf("got %v; the directory holds %s: %+v", err, w.files(), w.m.List())
	}
	if w.mu.Lock(); w.starts != 0 {
		t.Errorf("it was started")
	}
	w.mu.Unlock()
}

// All files that go by the name are removed, the broken ones too, so that none
// of them takes the place of the other; and no file that does not.
func TestUninstallRemovesEveryClaim(t *testing.T) {
	w := newWorld(t)
	other := t.TempDir()
	w.config.Directories = append(w.config.Directories, other)
	outside := filepath.Join(t.TempDir(), "real.wasm")
	for path, contents := range map[string][]byte{
		w.path("x.wasm"): versioned("x", "1.0.0"), w.path("y.wasm"): versioned("x", "2.0.0"), w.path("z.wasm"): versioned("z", "1.0.0"),
		w.path("bad.wasm"): []byte("rubbish"), filepath.Join(other, "x.wasm"): []byte("rubbish"), outside: versioned("x", "1.0.0"),
	} {
		if err := os.WriteFile(path, contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(outside, filepath.Join(other, "link.wasm")), unix.Mkfifo(filepath.Join(other, "pipe.wasm"), 0o600)); err != nil {
		t.Fatal(err)
	}
	w.run()
	for _, name := range []string{"x", "bad", "link", "pipe"} {
		if err := w.m.Uninstall(w.bound(), name); err != nil {
			t.Error(err)
		}
	}
	if list := w.m.List(); len(list) != 1 || list[0].Name != "z" || w.files() != "z.wasm" {
		t.Errorf("the directory holds %s: %+v", w.files(), list)
	}
	w.dir = other
	if w.files() != "" {
		t.Errorf("the other directory holds %s", w.files())
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

func TestInstallAroundTheLife(t *testing.T) {
	w := newWorld(t)
	m, err := plugin.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, second(m.Install(w.bound(), versioned("x", "1.0.0"), "")), fault.Unavailable, "not started")
	wants(t, m.Uninstall(w.bound(), "x"), fault.Unavailable, "not started")
	w.fakes.load = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
	w.run()
	answered := make(chan error)
	go func() {
		_, err := w.m.Install(w.bound(), versioned("x", "1.0.0"), "")
		answered <- err
	}()
	w.waitFor("x", wire.Vetting, "", "")
	w.end()
	w.m.List()
	wants(t, <-answered, fault.Unavailable, "closed")
	if w.files() != "" {
		t.Errorf("the directory holds %s", w.files())
	}
}

// Installs, uninstalls, drops and removals of few names at the same time.
func TestInstallHammer(t *testing.T) {
	w := newWorld(t)
	w.config.Debounce, w.config.Quiet, w.config.Rescan = time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
	w.fakes.load = func(ctx context.Context, _, _ string) error { return w.moment(ctx) }
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
					_, err = w.m.Install(ctx, versioned(name, fmt.Sprintf("1.%d.0", r.IntN(2))), "")
				case 3, 4:
					err = w.m.Uninstall(ctx, name)
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
			if err := w.m.Uninstall(w.bound(), name); err != nil && !fault.Is(err, fault.NotFound) {
				t.Error(name, err)
			}
		}
		return w.files() == ""
	})
	w.until("the list to be empty", func() bool { return len(w.m.List()) == 0 })
}
