package toolchain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// change makes one change in a project's directory.
func change(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	change(t, dir, "main.go", "1")
	change(t, dir, "node_modules/x/index.js", "1")
	w, err := Watch(dir, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"main.go", "new.go", "src/deep/er.rs", "src/deep/er.rs", ".cargo/config.toml"} {
		change(t, dir, name, time.Now().String())
		select {
		case <-w.Changed():
		case <-time.After(time.Minute):
			t.Fatalf("%s: no change is reported", name)
		}
	}
	// A directory that was made with its files may be reported twice.
	select {
	case <-w.Changed():
	default:
	}
	if err := os.Remove(filepath.Join(dir, "new.go")); err != nil {
		t.Fatal(err)
	}
	<-w.Changed()
}

func TestIgnored(t *testing.T) {
	for name, want := range map[string]bool{
		"main.go": false, "src/lib.rs": false, "manifest.json": false, "Cargo.lock": false, ".cargo": false, "building.c": false,
		"stock.wasm": true, ".main.go.swp": true, "main.go~": true, "target": true, "a/node_modules": true, ".git": true, ".x.wasm.1.tmp": true,
	} {
		if got := ignored(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// What the tools write is no change.
func TestWatchComparesSourcesOnly(t *testing.T) {
	dir := t.TempDir()
	change(t, dir, "main.go", "1")
	w, err := Watch(dir, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	before, err := w.scan()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x.wasm", "target/debug/a.o", ".hidden", "zig-out/x"} {
		change(t, dir, name, "1")
	}
	after, err := w.scan()
	if err != nil || len(after) != len(before) || len(after) != 1 {
		t.Errorf("got %v, %v, before %v", after, err, before)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Watch(filepath.Join(dir, "nowhere"), time.Millisecond); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
}
