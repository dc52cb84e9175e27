package install_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/spec/sharedtest"
)

// joined returns a host of a cluster, with a data directory of its own.
func joined(t *testing.T, store *sharedtest.Store, s *shop) *world {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := openWorld(t, dir, s)
	w.join(store)
	return w
}

// join starts the host again as one of a cluster.
func (w *world) join(store *sharedtest.Store) {
	w.Helper()
	w.cfg.Shared = store
	w.open()
	if err := w.i.Recover(w.Context()); err != nil {
		w.Fatal(err)
	}
	for _, p := range w.i.Pins() {
		w.running[p.Name] = p
	}
}

func (w *world) follow() {
	w.Helper()
	if err := w.i.Follow(w.Context()); err != nil {
		w.Error(err)
	}
}

func TestInstallAppliesToEveryHost(t *testing.T) {
	store, s := sharedtest.New(), newWorld(t).shop
	a, b := joined(t, store, s), joined(t, store, s)
	first := versioned("x", "1.0.0", "")
	s.put(first, nil)
	if err := a.install("x"); err != nil {
		t.Fatal(err)
	}
	b.follow()
	second := versioned("x", "2.0.0", "")
	s.put(second, nil)
	if err := b.upgrade("x"); err != nil {
		t.Fatal(err)
	}
	a.follow()
	late := joined(t, store, s) // installed when it starts
	for _, w := range []*world{a, b, late} {
		w.runs("x", "2.0.0", second)
		if got := w.i.Current("x"); got != digestOf(second) {
			t.Errorf("the current version is %s", got)
		}
	}
	// Every host has the former version, too.
	if _, err := late.i.Rollback(t.Context(), "x", "", nil, nil); err != nil {
		t.Fatal(err)
	}
	a.follow()
	a.runs("x", "1.0.0", first)
	if err := a.i.Uninstall(t.Context(), "x", install.UninstallOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*world{b, late} {
		w.follow()
		if _, err := w.host.Plugin("x"); !fault.Is(err, fault.NotFound) {
			t.Errorf("it still runs: %v", err)
		}
		if all, err := w.i.Installed(); err != nil || len(all) != 0 {
			t.Errorf("the lock has %v, %v", all, err)
		}
	}
}

// A plugin that another host installs does not keep a local transaction from running it later.
func TestFollowRunsWhatATransactionHasRead(t *testing.T) {
	store, s := sharedtest.New(), newWorld(t).shop
	a, b := joined(t, store, s), joined(t, store, s)
	x, y := versioned("x", "1.0.0", ""), versioned("y", "1.0.0", "")
	s.put(x, nil)
	s.put(y, nil)
	if err := errors.Join(a.install("x"), b.install("y")); err != nil {
		t.Fatal(err)
	}
	a.follow()
	b.follow()
	for _, w := range []*world{a, b} {
		w.runs("x", "1.0.0", x)
		w.runs("y", "1.0.0", y)
	}
}

func TestFirstHostSharesWhatItHas(t *testing.T) {
	alone := newWorld(t)
	x := versioned("x", "1.0.0", "")
	alone.put(x, nil)
	if err := alone.install("x"); err != nil {
		t.Fatal(err)
	}
	store := sharedtest.New()
	alone.join(store)
	alone.runs("x", "1.0.0", x)
	joined(t, store, alone.shop).runs("x", "1.0.0", x)
}

func TestLoserOfTwoInstallsChangesNothing(t *testing.T) {
	store, s := sharedtest.New(), newWorld(t).shop
	a, b := joined(t, store, s), joined(t, store, s)
	x, y := versioned("x", "1.0.0", ""), versioned("y", "1.0.0", "")
	s.put(x, nil)
	s.put(y, nil)
	before, raced := a.state(), false
	store.Before(func(call string) {
		if call == "PutModule" && !raced {
			raced = true
			if err := b.install("y"); err != nil {
				t.Error(err)
			}
		}
	})
	wants(t, a.install("x"), fault.Conflict, "another host")
	store.Before(nil)
	if after := a.state(); after != before {
		t.Errorf("it changed\n%s\nto\n%s", before, after)
	}
	if err := a.install("x"); err != nil {
		t.Fatal(err)
	}
	b.follow()
	b.runs("x", "1.0.0", x)
}

func TestModuleThatWasChangedInTheDatabaseIsRefused(t *testing.T) {
	store, s := sharedtest.New(), newWorld(t).shop
	a, b := joined(t, store, s), joined(t, store, s)
	x := versioned("x", "1.0.0", "")
	s.put(x, nil)
	if err := a.install("x"); err != nil {
		t.Fatal(err)
	}
	before := b.state()
	if err := store.PutModule(t.Context(), digestOf(x), versioned("x", "6.6.6", "")); err != nil {
		t.Fatal(err)
	}
	wants(t, b.i.Follow(t.Context()), fault.Invalid, "was changed in the database")
	if err := store.RemoveModules(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	wants(t, b.i.Follow(t.Context()), fault.NotFound, "missing there")
	if after := b.state(); after != before {
		t.Errorf("it changed\n%s\nto\n%s", before, after)
	}
	if err := store.PutModule(t.Context(), digestOf(x), x); err != nil {
		t.Fatal(err)
	}
	b.follow()
	b.runs("x", "1.0.0", x)
}

// A host that refuses a module keeps the version that it runs, and is told why.
func TestHostThatRefusesAModuleKeepsTheFormer(t *testing.T) {
	store, s := sharedtest.New(), newWorld(t).shop
	a, b := joined(t, store, s), joined(t, store, s)
	first, second := versioned("x", "1.0.0", ""), versioned("x", "2.0.0", "")
	s.put(first, nil)
	if err := a.install("x"); err != nil {
		t.Fatal(err)
	}
	b.follow()
	s.put(second, nil)
	if err := a.upgrade("x"); err != nil {
		t.Fatal(err)
	}
	b.refused = digestOf(second)
	wants(t, b.i.Follow(t.Context()), fault.Invalid, "x, which does not run here")
	if p, err := b.host.Plugin("x"); err != nil || p.SHA256 != digestOf(first) {
		t.Errorf("runs %+v, %v", p, err)
	}
	if got := b.i.Current("x"); got != digestOf(second) {
		t.Errorf("the version of the cluster is %s", got)
	}
	b.refused = ""
	b.follow()
	b.runs("x", "2.0.0", second)
}

// The database is away at each call of an install, and comes back: all or nothing.
func TestInstallWhileTheDatabaseIsAway(t *testing.T) {
	for n := 1; ; n++ {
		store, s := sharedtest.New(), newWorld(t).shop
		a := joined(t, store, s)
		first, second := versioned("x", "1.0.0", ""), versioned("x", "2.0.0", "")
		s.put(first, nil)
		if err := a.install("x"); err != nil {
			t.Fatal(err)
		}
		s.put(second, nil)
		calls := 0
		store.Before(func(string) {
			if calls++; calls == n {
				store.Fail(fault.New(fault.Unavailable, "away"))
			}
		})
		err := a.upgrade("x")
		store.Before(nil)
		store.Fail(nil)
		if calls < n {
			if n < 3 {
				t.Fatalf("only %d calls were interrupted", n-1)
			}
			return
		}
		a.join(store) // as after a restart
		b := joined(t, store, s)
		if err != nil {
			a.runs("x", "1.0.0", first)
			b.runs("x", "1.0.0", first)
		} else {
			a.runs("x", "2.0.0", second)
			b.runs("x", "2.0.0", second)
		}
	}
}

func TestBrokenSharedLock(t *testing.T) {
	store, s := sharedtest.New(), newWorld(t).shop
	a := joined(t, store, s)
	if _, err := store.Share(t.Context(), spec.SharedDocument{Kind: install.SharedKind, ID: "plugins", Body: []byte("format: 99\n")}); err != nil {
		t.Fatal(err)
	}
	if err := a.i.Follow(t.Context()); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "newer host") {
		t.Errorf("got %v", err)
	}
}
