package plugin_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// TestChangesWithoutEventsAreFound: without events, as on network file systems, the
// periodic scan finds a change. Here a link above the directory is changed.
func TestChangesWithoutEventsAreFound(t *testing.T) {
	w := newWorld(t)
	w.config.Rescan = 50 * time.Millisecond
	for _, version := range []string{"1", "2"} {
		if err := os.Mkdir(w.path(version), 0o700); err != nil {
			t.Fatal(err)
		}
		w.write(version+"/x.wasm", versioned("x", version+".0.0"))
	}
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(w.path("1"), link); err != nil {
		t.Fatal(err)
	}
	w.config.Directories = []string{link}
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
	if err := os.Symlink(w.path("2"), link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	w.waitFor("x", wire.Active, "2.0.0", "")
	w.only("x", "2.0.0")
	w.write("2/x.wasm", versioned("x", "3.0.0")) // and the new directory is watched
	w.waitFor("x", wire.Active, "3.0.0", "")
}

// TestUnreadableDirectoryEndsNothing: a directory that is unreadable for a while is not
// an empty one.
func TestUnreadableDirectoryEndsNothing(t *testing.T) {
	w := newWorld(t)
	w.config.Rescan = 20 * time.Millisecond
	w.config.Debounce = 200 * time.Millisecond // longer than the directory is missing
	dir := w.path("plugins")
	w.config.Directories = []string{dir, w.path("others")}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("plugins/x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.rename("plugins", "aside")
	if err := os.Symlink(dir, dir); err != nil { // ELOOP, also for root
		t.Fatal(err)
	}
	// Something that is seen to happen later, and takes longer than a removal would.
	if err := os.Mkdir(w.path("others"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("others/cut.wasm", []byte("\x00asm"))
	w.waitFor("cut", wire.Rejected, "", "incomplete")
	w.waitFor("x", wire.Active, "1.0.0", "")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	w.rename("aside", "plugins")
	w.write("plugins/x.wasm", versioned("x", "2.0.0"))
	w.waitFor("x", wire.Active, "2.0.0", "")
}

// TestOnChange: the changes are reported in order, from discovery to the end.
func TestOnChange(t *testing.T) {
	w := newWorld(t)
	reported := make(chan wire.Plugin, 1000)
	w.config.OnChange = func(p wire.Plugin) { reported <- p }
	w.run()
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.remove("x.wasm")
	w.waitGone("x")
	w.write("bad.wasm", []byte("rubbish, and long enough"))
	w.waitFor("bad", wire.Rejected, "", "not a WebAssembly module")
	w.remove("bad.wasm")
	w.waitGone("bad")
	w.end()
	w.m = nil
	close(reported)
	var got []wire.PluginState
	for p := range reported {
		if len(got) == 0 || got[len(got)-1] != p.State {
			got = append(got, p.State)
		}
	}
	want := []wire.PluginState{wire.Discovered, wire.Vetting, wire.Active, wire.Draining, wire.Discovered, wire.Rejected, wire.Draining}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
