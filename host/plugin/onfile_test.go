package plugin_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// TestOnFileReportsEachChangeOnce, and reports no pins and no uninstalled files.
func TestOnFileReportsEachChangeOnce(t *testing.T) {
	w, store := newWorld(t), t.TempDir()
	var mu sync.Mutex
	var reported []string
	describe := func(s *plugin.FileState) string {
		switch {
		case s == nil:
			return "nothing"
		case s.Refusal != "":
			return "refused"
		}
		return s.Manifest.Version
	}
	w.config.OnFile = func(c plugin.FileChange) {
		mu.Lock()
		defer mu.Unlock()
		name, _ := strings.CutPrefix(c.Path, w.dir+"/")
		reported = append(reported, fmt.Sprintf("%s (%s): %s to %s", name, c.Name, describe(c.Before), describe(c.After)))
	}
	hears := func(want ...string) {
		t.Helper()
		w.until("the files to be told", func() bool { mu.Lock(); defer mu.Unlock(); return len(reported) >= len(want) })
		mu.Lock()
		defer mu.Unlock()
		if strings.Join(reported, ", ") != strings.Join(want, ", ") {
			t.Errorf("told is %q, want %q", reported, want)
		}
		reported = nil
	}
	w.config.Pins = []spec.Pin{w.pinned(store, "pinned", versioned("pinned", "1.0.0"))}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.waitFor("pinned", wire.Active, "1.0.0", "")
	hears("x.wasm (x): nothing to 1.0.0")
	w.replace("x.wasm", versioned("x", "2.0.0"))
	hears("x.wasm (x): 1.0.0 to 2.0.0")
	w.replace("x.wasm", []byte("rubbish that is no module"))
	hears("x.wasm (x): 2.0.0 to refused")
	w.write("z.wasm", versioned("z", "1.0.0"))
	hears("z.wasm (z): nothing to 1.0.0")
	if err := os.Remove(w.path("x.wasm")); err != nil {
		t.Fatal(err)
	}
	hears("x.wasm (x): refused to nothing")
	w.waitFor("z", wire.Active, "1.0.0", "")
	if err := w.m.Uninstall(w.bound(), "z", nil); err != nil {
		t.Fatal(err)
	}
	w.write("end.wasm", versioned("end", "1.0.0"))
	hears("end.wasm (end): nothing to 1.0.0")
}

// TestReloadTakesPersistedDecisionsFromTheSettings: the settings contain an operator's
// decision, and may have been changed since.
func TestReloadTakesPersistedDecisionsFromTheSettings(t *testing.T) {
	w := newWorld(t)
	all := spec.Settings{Enabled: true, Grants: []spec.Grant{{Name: "http"}, {Name: "kv"}, {Name: "emit"}}}
	w.settings.set("x", all)
	w.write("x.wasm", module(asking, "1"))
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
	if p, err := w.m.SetEnabled(w.bound(), "x", false); err != nil || p.State != wire.Disabled {
		t.Fatalf("%+v, %v", p, err)
	}
	w.settings.set("x", all)
	w.reload(w.dir)
	w.waitFor("x", wire.Active, "1.0.0", "")

	if _, err := w.m.SetPaused(w.bound(), "x", true); err != nil {
		t.Fatal(err)
	}
	w.settings.set("x", all)
	w.reload(w.dir)
	w.until("it to go on", func() bool { s := w.only("x", "1.0.0"); return !s.Settings.Paused })

	w.settings.set("x", spec.Settings{Enabled: true})
	w.reload(w.dir)
	w.waitFor("x", wire.NeedsApproval, "1.0.0", "http")
	if p, err := w.m.Approve(w.bound(), "x", wire.Approval{}, nil); err != nil || p.State != wire.Active {
		t.Fatalf("%+v, %v", p, err)
	}
	w.settings.set("x", spec.Settings{Enabled: true})
	w.reload(w.dir)
	w.waitFor("x", wire.NeedsApproval, "1.0.0", "http")
}
