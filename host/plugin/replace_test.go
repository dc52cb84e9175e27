package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// TestSlowCopy: a copy that pauses after every part, long enough for an inspection, is
// never loaded in part; the former version runs on.
func TestSlowCopy(t *testing.T) {
	for _, state := range []wire.PluginState{wire.Discovered, wire.Rejected, wire.Active} {
		w := newWorld(t)
		switch state {
		case wire.Discovered:
			w.config.Quiet = time.Hour
		case wire.Active:
			w.write("x.wasm", versioned("x", "1.0.0"))
		}
		w.run()
		full := versioned("x", "2.0.0")
		f, err := os.Create(w.path("x.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		written := 0
		// In the header, and in the length, the name and the contents of both sections.
		for _, end := range []int{3, 7, 9, 12, 20, 40, len(full) - 14, len(full) - 8, len(full) - 2, len(full) - 1} {
			if _, err := f.Write(full[written:end]); err != nil {
				t.Fatal(err)
			}
			written = end
			reason := fmt.Sprintf("the file is incomplete: its %d bytes", end)
			if state == wire.Active {
				reason = "still running 1.0.0; the new file is rejected: " + reason
			}
			w.waitFor("x", state, "", reason)
		}
		if _, err := f.Write(full[len(full)-1:]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		w.waitFor("x", wire.Active, "2.0.0", "")
		w.only("x", "2.0.0")
		w.end()
		w.m = nil
	}
}

func TestBadNewVersionLeavesTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.fakes.start = func(_ context.Context, spec plugin.Spec) error {
		if spec.Manifest.Version == "3.0.0" {
			return errors.New("it trapped")
		}
		return nil
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	const needs = `{"name":"x","version":"4.0.0","capabilities":[{"name":"kv","required":true}]}`
	for _, step := range []struct {
		contents []byte
		reason   string
	}{
		{module(`{"name":"x","version":"2.0.0"}`, "bad: it forks"), "still running 1.0.0; the new file is rejected: it forks"},
		{versioned("x", "3.0.0"), "still running 1.0.0; the new file is rejected: start: it trapped"},
		{module(needs, "4"), "still running 1.0.0; the new file needs approval: it requires the capability kv"},
		{module(`{"name":`, "5"), "still running 1.0.0; the new file is rejected: section berth.manifest"},
		{versioned("x", "1.0.0"), ""},
	} {
		w.replace("x.wasm", step.contents)
		w.waitFor("x", wire.Active, "1.0.0", step.reason)
		w.only("x", "1.0.0")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.starts != 1 {
		t.Errorf("%d starts, want 1", w.starts)
	}
}

func TestNewIsReadyBeforeOldIsDrained(t *testing.T) {
	w := newWorld(t)
	ready := make(chan struct{})
	w.fakes.start = func(ctx context.Context, spec plugin.Spec) error {
		if spec.Manifest.Version != "2.0.0" {
			return nil
		}
		if w.count("x") != 1 {
			t.Errorf("the old version was drained first")
		}
		select {
		case <-ready:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.replace("x.wasm", versioned("x", "2.0.0"))
	w.waitFor("x", wire.Active, "1.0.0", "still running 1.0.0; the new file is being checked")
	close(ready)
	w.waitFor("x", wire.Active, "2.0.0", "")
	w.only("x", "2.0.0")
	if p, err := w.m.Plugin("x"); err != nil || p.Delivered != 2 || p.Instances != 1 {
		t.Errorf("the figures of the old version are lost: %+v, %v", p, err)
	}
}

func TestRemovalDrains(t *testing.T) {
	w := newWorld(t)
	drained := make(chan struct{})
	w.fakes.drain = func(ctx context.Context, _ string) error {
		select {
		case <-drained:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.remove("x.wasm")
	w.waitFor("x", wire.Draining, "1.0.0", "its file is gone")
	// It comes back before it has left: one starts while the other drains.
	w.write("x.wasm", versioned("x", "2.0.0"))
	w.waitFor("x", wire.Active, "2.0.0", "")
	if n := w.count("x"); n != 2 {
		t.Errorf("%d versions, want 2", n)
	}
	close(drained)
	w.only("x", "2.0.0")
}

func TestNothingHappensWithoutAChange(t *testing.T) {
	w := newWorld(t)
	w.config.Debounce = 100 * time.Millisecond // for removing and copying to be within it
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	probes := 0
	moves := map[string]func(){
		"the same written again": func() { w.write("x.wasm", versioned("x", "1.0.0")) },
		"the same put in place":  func() { w.replace("x.wasm", versioned("x", "1.0.0")) },
		"renamed":                func() { w.rename("x.wasm", "z.wasm") },
		"renamed back":           func() { w.rename("z.wasm", "x.wasm") },
		"removed and copied":     func() { w.remove("x.wasm"); w.write("x.wasm", versioned("x", "1.0.0")) },
	}
	for _, name := range []string{"the same written again", "the same put in place", "renamed", "renamed back", "removed and copied"} {
		moves[name]()
		// Another plugin that came later has been judged, so this one has, too.
		w.write("probe.wasm", versioned("probe", "1.0.0"))
		w.waitFor("probe", wire.Active, "", "")
		w.remove("probe.wasm")
		w.waitGone("probe")
		w.waitFor("x", wire.Active, "1.0.0", "")
		probes++
		if starts := w.started() - probes; starts != 1 {
			t.Fatalf("%s: %d starts of x, want 1", name, starts)
		}
	}
}

func TestTwoFilesOneName(t *testing.T) {
	w := newWorld(t)
	w.write("b.wasm", versioned("x", "1.0.0"))
	w.write("a.wasm", versioned("x", "2.0.0"))
	written := time.Now()
	w.until("the files to be at rest", func() bool { return time.Since(written) > w.config.Debounce })
	w.run()
	w.waitFor("x", wire.Active, "2.0.0", "") // the earlier path, from the start
	other := func() wire.Plugin {
		list := w.m.List()
		if len(list) != 2 || list[1].Name != "x" {
			t.Fatalf("got %+v", list)
		}
		return list[1]
	}
	want := "the name x belongs to " + w.path("a.wasm") + "; " + w.path("b.wasm") + " is ignored as long as that is there"
	if p := other(); p.State != wire.Rejected || p.Reason != want {
		t.Errorf("got %s %q, want %q", p.State, p.Reason, want)
	}
	w.remove("a.wasm")
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.write("a.wasm", versioned("x", "3.0.0"))
	w.until("the new file to be refused", func() bool { return len(w.m.List()) == 2 && other().State == wire.Rejected })
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.remove("b.wasm")
	w.waitFor("x", wire.Active, "3.0.0", "")
	w.only("x", "3.0.0")
}

// The other file takes over from one that never ran.
func TestTwoFilesOneNameAndTheFirstIsBroken(t *testing.T) {
	w := newWorld(t)
	w.write("a.wasm", module(`{"name":"x"}`, "bad: it forks"))
	w.write("b.wasm", versioned("x", "1.0.0"))
	w.run()
	w.waitFor("x", wire.Active, "1.0.0", "")
}

func TestSidecarAloneIsAChange(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", module("", "1"))
	w.run()
	w.waitFor("x", wire.Active, "", "")
	w.write("x.wasm.json", []byte(`{"version":"1.0.0"}`))
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.write("x.wasm.json", []byte(`{"version":"1.0`))
	w.waitFor("x", wire.Active, "1.0.0", "still running 1.0.0; the new file is rejected: "+w.path("x.wasm.json"))
	w.write("x.wasm.json", []byte(`{"name":"y","version":"1.0.0"}`))
	w.waitFor("y", wire.Active, "1.0.0", "")
	w.waitGone("x")
	w.remove("x.wasm.json")
	w.waitFor("x", wire.Active, "", "")
	w.waitGone("y")
}

func TestDirectoriesComeAndGo(t *testing.T) {
	w := newWorld(t)
	deep := filepath.Join(w.dir, "a", "b", "plugins")
	w.config.Directories = []string{deep}
	w.run()
	for range 3 {
		if err := os.MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
		w.write("a/b/plugins/x.wasm", versioned("x", "1.0.0"))
		w.waitFor("x", wire.Active, "1.0.0", "")
		w.write("a/b/plugins/x.wasm", versioned("x", "2.0.0"))
		w.waitFor("x", wire.Active, "2.0.0", "")
		if err := os.RemoveAll(filepath.Join(w.dir, "a")); err != nil {
			t.Fatal(err)
		}
		w.waitGone("x")
	}
	// A directory that is exchanged for another one keeps what is in both.
	for _, d := range []string{"a/b/plugins", "a/b/next"} {
		if err := os.MkdirAll(w.path(d), 0o700); err != nil {
			t.Fatal(err)
		}
		w.write(d+"/x.wasm", versioned("x", "3.0.0"))
	}
	w.waitFor("x", wire.Active, "3.0.0", "")
	starts := w.started()
	w.rename("a/b/plugins", "a/b/former")
	w.rename("a/b/next", "a/b/plugins")
	w.write("a/b/plugins/y.wasm", versioned("y", "1.0.0"))
	w.waitFor("y", wire.Active, "1.0.0", "")
	w.waitFor("x", wire.Active, "3.0.0", "")
	if n := w.started() - starts; n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func (w *world) started() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.starts
}

// TestHangingLoads: more hanging loads than slots do not block others permanently, and a
// new file supersedes the load of its predecessor.
func TestHangingLoads(t *testing.T) {
	w := newWorld(t)
	gaveUp := make(chan string, 16)
	w.fakes.load = func(ctx context.Context, name, text string) error {
		if text != "hang" {
			return nil
		}
		<-ctx.Done()
		gaveUp <- name
		return ctx.Err()
	}
	w.run()
	for _, name := range []string{"a", "b", "c"} {
		w.write(name+".wasm", module("", "hang"))
		w.waitFor(name, wire.Vetting, "", "")
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.replace("b.wasm", versioned("b", "1.0.0"))
	w.waitFor("b", wire.Active, "1.0.0", "")
	if name := <-gaveUp; name != "b" {
		t.Errorf("%s gave up", name)
	}
	w.remove("a.wasm")
	w.waitGone("a")
	if p, err := w.m.SetEnabled(w.bound(), "c", false); err != nil || p.State != wire.Disabled {
		t.Errorf("disable: %+v, %v", p, err)
	}
}

func TestPassingFailuresAreTriedAgain(t *testing.T) {
	w := newWorld(t)
	failures := 1
	w.fakes.load = func(context.Context, string, string) error {
		if failures > 0 {
			failures--
			return fault.New(fault.Unavailable, "no process can be started")
		}
		return nil
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	w.waitFor("x", wire.Discovered, "1.0.0", "no process can be started")
	w.waitFor("x", wire.Active, "1.0.0", "")
}

func TestClaims(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.write("bad.wasm", module("", "bad: it forks"))
	w.begin()
	w.mu.Lock()
	if w.claims["x"] == 0 || w.claims["bad"] == 0 {
		t.Errorf("Start returned before the names were claimed: %v", w.claims)
	}
	w.mu.Unlock()
	w.waitFor("x", wire.Active, "1.0.0", "")
}

func TestStartFailsWithoutAClaim(t *testing.T) {
	w := newWorld(t)
	damaged := fault.New(fault.Internal, "the file is damaged")
	w.fakes.claim = func(string) error { return damaged }
	w.write("x.wasm", versioned("x", "1.0.0"))
	m, err := plugin.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(w.bound()); !errors.Is(err, damaged) {
		t.Errorf("got %v", err)
	}
	if err := m.Close(w.bound()); err != nil {
		t.Error(err)
	}
	if err := m.WaitReady(w.bound()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a closed Manager answers %v", err)
	}
}

// On a full disk the Manager starts. The plugin that has no place in the log yet waits
// for one, and the others run.
func TestStartOnAFullDisk(t *testing.T) {
	w := newWorld(t)
	full := true
	w.fakes.claim = func(name string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if full && name == "new" {
			return fault.New(fault.Exhausted, "the disk is full")
		}
		return nil
	}
	w.write("known.wasm", versioned("known", "1.0.0"))
	w.write("new.wasm", versioned("new", "1.0.0"))
	w.run()
	w.waitFor("known", wire.Active, "1.0.0", "")
	w.waitFor("new", wire.Discovered, "", "the disk is full")
	if err := w.m.WaitReady(w.bound()); err != nil {
		t.Errorf("ready: %v", err)
	}
	w.mu.Lock()
	full = false
	w.mu.Unlock()
	w.waitFor("new", wire.Active, "1.0.0", "")
}

func TestCloseStopsDrainsThatDoNotEnd(t *testing.T) {
	w := newWorld(t)
	stopped := errors.New("stopped")
	w.fakes.drain = func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return stopped
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.write("y.wasm", versioned("y", "1.0.0"))
	w.run()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.m.Close(ctx); err != nil {
		t.Errorf("got %v", err)
	}
}
