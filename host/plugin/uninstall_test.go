package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

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

func second(_ wire.Plugin, err error) error { return err }

// An uninstall that cannot be finished leaves the plugin running.
func TestUninstallThatFails(t *testing.T) {
	w := newWorld(t)
	drained := make(chan struct{})
	w.fakes.drain = func(ctx context.Context, _ string) error { <-drained; return nil }
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	ctx, cancel := context.WithCancel(w.bound())
	answered := make(chan error)
	go func() { answered <- w.m.Uninstall(ctx, "x", nil) }()
	w.waitFor("x", wire.Draining, "1.0.0", "it is being uninstalled")
	_, err := w.m.SetEnabled(w.bound(), "x", true)
	wants(t, err, fault.Conflict, "is being uninstalled")
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
	wants(t, w.m.Uninstall(w.bound(), "folder", nil), fault.Conflict, "remove it by hand")
	if w.files() != "folder.wasm x.wasm" {
		t.Errorf("the directory holds %s", w.files())
	}
}

// TestUninstallWhileInspected: a file whose name becomes known during its uninstallation
// is not started.
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
	go func() { answered <- w.m.Uninstall(w.bound(), "x", nil) }()
	w.until("the uninstall to be under way", func() bool {
		return strings.Contains(second(w.m.SetEnabled(w.bound(), "x", true)).Error(), "is being uninstalled")
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
		if err := w.m.Uninstall(w.bound(), name, nil); err != nil {
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
