package install_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/spec"
)

var temporary = regexp.MustCompile(`^\.(.*)\.[A-Z0-9]+\.tmp$`)

// TestEverythingIsMadeDurable: the journal before anything that it undoes, the
// module, and the lock, each with its directory. A sync that fails undoes it all.
func TestEverythingIsMadeDurable(t *testing.T) {
	prepared := func() *world {
		w := newWorld(t)
		w.put(versioned("x", "1.0.0", ""), nil)
		return w
	}
	w := prepared()
	before := w.state()
	var synced []string
	w.i.SetSync(func(path string) error {
		name := temporary.ReplaceAllString(filepath.Base(path), "$1")
		if path == w.cfg.Dir || strings.HasSuffix(path, "/.") {
			name = "."
		}
		synced = append(synced, name)
		return nil
	})
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	after := w.state()
	journal, lock := slices.Index(synced, "install.journal"), slices.Index(synced, install.LockFile)
	module := slices.IndexFunc(synced, func(s string) bool { return strings.HasSuffix(s, ".part") && s != "downloads" })
	if journal < 0 || module < journal || lock < module || synced[journal+1] != "." || synced[lock+1] != "." || !slices.Contains(synced[module:lock], "sha256") {
		t.Errorf("synced are %v", synced)
	}
	for n := range synced {
		w, at := prepared(), 0
		failed := errors.New("the disk is gone")
		w.i.SetSync(func(string) error {
			if at++; at == n+1 {
				return failed
			}
			return nil
		})
		err := w.install("x")
		want := before
		if err == nil {
			want = after
		} else if !errors.Is(err, failed) {
			t.Errorf("sync %d (%s): got %v", n, synced[n], err)
		}
		if n <= lock && err == nil {
			t.Errorf("sync %d (%s) failed, and it is installed", n, synced[n])
		}
		if got := openWorld(t, w.cfg.Dir, w.shop).state(); got != want {
			t.Errorf("sync %d (%s) failed, %v: it is\n%swant\n%s", n, synced[n], err, got, want)
		}
	}
}

// TestUndoThatCannotRemove: it says so, and the next start finishes it.
func TestUndoThatCannotRemove(t *testing.T) {
	wasm := versioned("x", "1.0.0", "")
	for _, tt := range []struct{ step, path string }{
		{"undo lock", install.LockFile},
		{"undo store", filepath.Join(".store", "sha256", digestOf(wasm)+".wasm")},
		{"undo finish", "install.journal"},
	} {
		w := newWorld(t)
		w.put(wasm, nil)
		before := w.state()
		path := filepath.Join(w.cfg.Dir, tt.path)
		var content []byte
		w.i.SetFault(func(step string, done bool) (err error) {
			switch {
			case step == "promote" && done:
				return errStep
			case step == tt.step && !done: // a directory that is not empty cannot be removed
				content, err = os.ReadFile(path)
				return errors.Join(err, os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
			}
			return nil
		})
		if err := w.install("x"); !errors.Is(err, errStep) || !strings.Contains(err.Error(), "undoing it failed too and is retried at the next start") {
			t.Errorf("%s: got %v", tt.step, err)
		}
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
		again := openWorld(t, w.cfg.Dir, w.shop)
		if got := again.state(); got != before {
			t.Errorf("%s: it was\n%sand is\n%s", tt.step, before, got)
		}
		if _, err := os.Lstat(filepath.Join(w.cfg.Dir, "install.journal")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the journal is left: %v", tt.step, err)
		}
	}
}

// TestSweepUnderAnUnreadableLock removes nothing: the references are unknown.
func TestSweepUnderAnUnreadableLock(t *testing.T) {
	for what, breakIt := range map[string]func(path string) error{
		"broken":  func(path string) error { return os.WriteFile(path, []byte("plugins: ["), 0o600) },
		"missing": os.Remove,
		"a directory": func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		},
	} {
		w := newWorld(t)
		one, two := versioned("x", "1.0.0", ""), versioned("y", "1.0.0", "")
		w.put(one, nil)
		w.put(two, nil)
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
		w.i.SetFault(func(step string, done bool) error {
			if step == "finish" && done {
				return breakIt(filepath.Join(w.cfg.Dir, install.LockFile))
			}
			return nil
		})
		if err := w.install("y"); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, wasm := range [][]byte{one, two} {
			stored, err := os.ReadFile(filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(wasm)+".wasm"))
			if err != nil || !bytes.Equal(stored, wasm) {
				t.Errorf("%s: a stored module is gone: %v", what, err)
			}
		}
	}
}

// TestSweepRemovesWhatNothingRefersTo, and only that.
func TestSweepRemovesWhatNothingRefersTo(t *testing.T) {
	w := newWorld(t)
	var digests []string
	for n := range 6 {
		wasm := versioned("x", fmt.Sprintf("1.%d.0", n), "")
		digests = append(digests, digestOf(wasm))
		w.put(wasm, nil)
		do := w.upgrade
		if n == 0 {
			do = w.install
		}
		if err := do("x"); err != nil {
			t.Fatal(err)
		}
	}
	for n, digest := range digests {
		_, err := os.Stat(filepath.Join(w.cfg.Dir, ".store", "sha256", digest+".wasm"))
		if (err == nil) != (n >= 2) { // the one that runs and three before it
			t.Errorf("1.%d.0: %v", n, err)
		}
	}
}

// TestVettingComesBeforeApproval: a module that is refused is not asked about.
func TestVettingComesBeforeApproval(t *testing.T) {
	w := newWorld(t)
	w.put(append(versioned("x", "1.0.0", asksKV), section("more", "bad")...), nil)
	err := w.install("x")
	var a *install.ApprovalError
	if errors.As(err, &a) || !fault.Is(err, fault.Invalid) || err.Error() != "install x: the module is rejected: it forks" {
		t.Errorf("got %v", err)
	}
	w.put(versioned("x", "1.0.0", asksKV), nil)
	if err := w.install("x"); !errors.As(err, &a) {
		t.Errorf("a good one: got %v", err)
	}
}

type vetter func() error

func (v vetter) Vet(context.Context, spec.Artifact) error { return v() }

// TestNoVerdictIsNoRejection: the module is not to blame, its download stays, and
// the error does not say that the host retries.
func TestNoVerdictIsNoRejection(t *testing.T) {
	for _, code := range []fault.Code{fault.Unavailable, fault.Exhausted, fault.Timeout, fault.Conflict} {
		w := newWorld(t)
		w.put(versioned("x", "1.0.0", ""), nil)
		w.cfg.Vetter = vetter(func() error { return fault.New(code, "the child could not begin") })
		w.open()
		wants(t, w.install("x"), code, "install x: the module cannot be checked or started for now: the child could not begin")
		if err := w.install("x"); strings.Contains(err.Error(), "rejected") || strings.Contains(err.Error(), "again") {
			t.Errorf("%s: %v", code, err)
		}
		w.cfg.Vetter = w.host
		w.open()
		opened := len(w.opened)
		if err := w.install("x"); err != nil || len(w.opened) != opened {
			t.Errorf("%s: afterwards: %v, fetched at %v", code, err, w.opened)
		}
	}
}

// late is a plugin manager that fails after it has committed.
type late struct {
	install.Plugins
	err error
}

func (l late) Uninstall(_ context.Context, _ string, commit func() error) error {
	return errors.Join(commit(), l.err)
}

// TestUninstallationThatFailsAfterItsCommit is completed all the same, and the error
// names what is left.
func TestUninstallationThatFailsAfterItsCommit(t *testing.T) {
	w := newWorld(t)
	wasm := versioned("x", "1.0.0", "")
	w.put(wasm, nil)
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	left := errors.New("a file of the name stays")
	w.cfg.Plugins = late{w.host, left}
	w.open()
	if err := w.i.Uninstall(t.Context(), "x", install.UninstallOptions{Purge: true}); !errors.Is(err, left) || strings.Contains(err.Error(), "undone") {
		t.Errorf("got %v", err)
	}
	if pins := w.i.Pins(); len(pins) != 0 || w.stored["x"] {
		t.Errorf("it is there: %+v, %v", pins, w.stored)
	}
	for _, path := range []string{"install.journal", filepath.Join(".store", "sha256", digestOf(wasm)+".wasm")} {
		if _, err := os.Lstat(filepath.Join(w.cfg.Dir, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestUninstallationThatLeavesStateIsRepeated: a full disk keeps the outcomes and the stored data
// of an uninstalled plugin. The error names the command that removes them later, and that does.
func TestUninstallationThatLeavesStateIsRepeated(t *testing.T) {
	for _, purge := range []bool{false, true} {
		for _, dropped := range []bool{false, true} {
			t.Run(fmt.Sprintf("purge %v, dropped %v", purge, dropped), func(t *testing.T) {
				testRepeatedUninstallation(t, purge, dropped)
			})
		}
	}
}

func testRepeatedUninstallation(t *testing.T, purge, dropped bool) {
	w := newWorld(t)
	if dropped {
		w.dropped["x"], w.stored["x"], w.outcomes["x"] = true, true, true
	} else {
		w.put(versioned("x", "1.0.0", ""), nil)
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
	}
	uninstall := func(purge bool) error {
		return w.i.Uninstall(t.Context(), "x", install.UninstallOptions{Purge: purge})
	}
	w.full = fault.New(fault.Exhausted, "the disk is full")
	again := "berth plugin uninstall x --yes"
	if purge || dropped { // the state of a dropped file's plugin is deleted with it
		again = "berth plugin uninstall x --purge --yes"
	}
	for range 2 {
		if err := uninstall(purge); !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), again) {
			t.Fatalf("got %v", err)
		}
		purge = purge || dropped
	}
	w.full = nil
	if err := uninstall(purge); err != nil || w.outcomes["x"] || w.stored["x"] == purge {
		t.Errorf("repeated: got %v, outcomes %v, stored %v", err, w.outcomes, w.stored)
	}
	wants(t, uninstall(purge), fault.NotFound, "x")
}
