package plugin_test

import (
	"os"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// TestCopyThatPausesBetweenSections: a part of a module that ends between two sections
// looks like a module, and is not loaded while a process has the file open for writing.
func TestCopyThatPausesBetweenSections(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	full := versioned("x", "2.0.0")
	part := len(full) - len(section("text", "2.0.0"))
	f, err := os.Create(w.path("x.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(full[:part]); err != nil {
		t.Fatal(err)
	}
	w.waitFor("x", wire.Active, "1.0.0", "still running 1.0.0; the new file is waited for: a process has the file open for writing")
	if _, err := f.Write(full[part:]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.waitFor("x", wire.Active, "2.0.0", "")
}
