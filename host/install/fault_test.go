package install_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
)

// transactions are all changes of installed plugins. prepare comes before the one under
// test.
func transactions() map[string]struct{ prepare, run func(w *world) error } {
	one, two := versioned("x", "1.0.0", ""), versioned("x", "2.0.0", asksKV)
	first := func(w *world) error { w.put(one, nil); return w.install("x") }
	approved := func(w *world, do func(approve string) error) error {
		err := do("")
		var a *install.ApprovalError
		if errors.As(err, &a) {
			err = do(a.Plan().Digest)
		}
		return err
	}
	upgrade := func(w *world) error {
		w.put(two, nil)
		return approved(w, func(approve string) error {
			_, err := w.i.Upgrade(w.Context(), "x", install.Request{}, approve, nil)
			return err
		})
	}
	nothing := func(*world) error { return nil }
	return map[string]struct{ prepare, run func(w *world) error }{
		"install": {nothing, func(w *world) error {
			w.put(two, nil)
			return approved(w, func(approve string) error {
				_, err := w.i.Install(w.Context(), install.Request{Name: "x"}, approve, nil)
				return err
			})
		}},
		"upgrade":  {first, upgrade},
		"rollback": {func(w *world) error { return errors.Join(first(w), upgrade(w)) }, func(w *world) error { return w.rollback("") }},
		"uninstall": {func(w *world) error { return errors.Join(first(w), upgrade(w)) }, func(w *world) error {
			return w.i.Uninstall(w.Context(), "x", install.UninstallOptions{Purge: true})
		}},
	}
}

// moment is before or after a step.
type moment struct {
	step string
	done bool
}

func (m moment) String() string {
	if m.done {
		return "after " + m.step
	}
	return "before " + m.step
}

// moments runs a transaction to its end and returns all it went through.
func moments(t *testing.T, prepare, run func(w *world) error) (list []moment, before, after string) {
	t.Helper()
	w := newWorld(t)
	if err := prepare(w); err != nil {
		t.Fatal(err)
	}
	before = w.state()
	w.i.SetFault(func(step string, done bool) error { list = append(list, moment{step, done}); return nil })
	if err := run(w); err != nil {
		t.Fatal(err)
	}
	if len(list) < 8 {
		t.Fatalf("only %v", list)
	}
	return list, before, w.state()
}

var errStep = errors.New("the step says no")

// TestEveryStepFails fails each step before and after it is done: the transaction is then
// undone, unless it has committed; the former version runs; and the next attempt
// succeeds.
func TestEveryStepFails(t *testing.T) {
	for name, tx := range transactions() {
		all, before, after := moments(t, tx.prepare, tx.run)
		for _, at := range all {
			t.Run(name+" "+at.String(), func(t *testing.T) {
				w := newWorld(t)
				if err := tx.prepare(w); err != nil {
					t.Fatal(err)
				}
				w.i.SetFault(func(step string, done bool) error {
					if at == (moment{step, done}) {
						return errStep
					}
					return nil
				})
				err := tx.run(w)
				// What comes after the commit is finished, or said, and never undone.
				made := at.step == "finish" || strings.HasPrefix(at.step, "uninstall") && at.step != "uninstall journal" && at.step != "uninstall lock"
				if said := errors.Is(err, errStep); said == (at.step == "finish") {
					t.Errorf("got %v", err)
				}
				w.i.SetFault(func(string, bool) error { return nil })
				if !made {
					if got := w.state(); got != before {
						t.Errorf("it was\n%sand is\n%s", before, got)
					}
					if err := tx.run(w); err != nil {
						t.Errorf("again: %v", err)
					}
				}
				if err := w.i.Recover(t.Context()); err != nil { // a journal that stayed goes
					t.Fatal(err)
				}
				got := w.state()
				if at.done || !strings.HasPrefix(at.step, "uninstall s") && at.step != "uninstall purge" {
					if got != after {
						t.Errorf("it is\n%swant\n%s", got, after)
					}
				}
				// A host that starts now finds the same.
				if again := openWorld(t, w.cfg.Dir, w.shop); again.state() != got {
					t.Errorf("after a start it is\n%sand was\n%s", again.state(), got)
				}
			})
		}
	}
}

// TestEveryCrash kills the process at each moment: the next start finds a copy of the
// directory at that moment.
func TestEveryCrash(t *testing.T) {
	for name, tx := range transactions() {
		_, before, after := moments(t, tx.prepare, tx.run)
		w := newWorld(t)
		if err := tx.prepare(w); err != nil {
			t.Fatal(err)
		}
		type copied struct {
			at  moment
			dir string
		}
		var copies []copied
		w.i.SetFault(func(step string, done bool) error {
			dir := t.TempDir()
			copies = append(copies, copied{moment{step, done}, dir})
			return os.CopyFS(dir, os.DirFS(w.cfg.Dir))
		})
		if err := tx.run(w); err != nil {
			t.Fatal(err)
		}
		committed := false
		for _, c := range copies {
			if c.at.done && strings.HasSuffix(c.at.step, "lock") {
				committed = true
			}
			want := before
			if committed {
				want = after
			}
			again := openWorld(t, c.dir, w.shop)
			if got := again.state(); got != want {
				t.Errorf("%s, killed %s: it is\n%swant\n%s", name, c.at, got, want)
			}
			if want == before { // and can be begun again
				if err := tx.run(again); err != nil || again.state() != after {
					t.Errorf("%s, killed %s, again: %v, and it is\n%swant\n%s", name, c.at, err, again.state(), after)
				}
			}
		}
		if !committed {
			t.Errorf("%s never commits", name)
		}
	}
}

// The last step fails, and undoing fails at each of its steps, or is killed
// there: the next start undoes the rest.
func TestEveryUndoFails(t *testing.T) {
	for _, name := range []string{"install", "upgrade", "rollback"} {
		tx := transactions()[name]
		var undo []moment
		swap := func(next func(moment) error) func(string, bool) error {
			failed := false
			return func(step string, done bool) error {
				switch {
				case failed:
					return next(moment{step, done})
				case step == "promote" && done:
					failed = true
					return errStep
				}
				return nil
			}
		}
		w := newWorld(t)
		if err := tx.prepare(w); err != nil {
			t.Fatal(err)
		}
		before := w.state()
		copies := map[moment]string{}
		w.i.SetFault(swap(func(m moment) error {
			undo = append(undo, m)
			copies[m] = t.TempDir()
			return os.CopyFS(copies[m], os.DirFS(w.cfg.Dir))
		}))
		if err := tx.run(w); !errors.Is(err, errStep) {
			t.Fatal(err)
		}
		if got := w.state(); got != before || len(undo) < 8 {
			t.Errorf("%s: it was\n%sand is\n%s after %v", name, before, got, undo)
		}
		if !slices.Contains(undo, moment{"undo lock", true}) || !slices.Contains(undo, moment{"undo settings", true}) {
			t.Errorf("it was undone by %v", undo)
		}
		for _, at := range undo {
			what := fmt.Sprintf("%s, undone until %s", name, at)
			killed := openWorld(t, copies[at], w.shop)
			wantsUndone(t, what+", killed", killed, before, at)

			w := newWorld(t)
			if err := tx.prepare(w); err != nil {
				t.Fatal(err)
			}
			w.i.SetFault(swap(func(m moment) error {
				if m == at {
					return errStep
				}
				return nil
			}))
			if err := tx.run(w); !errors.Is(err, errStep) || !strings.Contains(err.Error(), "is retried at the next start") {
				t.Errorf("%s: %v", what, err)
			}
			w.i.SetFault(func(string, bool) error { return nil })
			wantsUndone(t, what, openWorld(t, w.cfg.Dir, w.shop), before, at)
			err := tx.run(w) // and the one that goes on undoes it as well
			if committed := at == (moment{"undo journal", false}); committed && name == "rollback" {
				wants(t, err, fault.Conflict, "there is no version before 1.0.0") // it is back already
			} else if err != nil {
				t.Errorf("%s: again: %v", what, err)
			}
		}
	}
}

// wantsUndone checks that nothing of a transaction is left. Killed before the undo
// is written down, it was committed, which is as good.
func wantsUndone(t *testing.T, what string, w *world, before string, at moment) {
	t.Helper()
	if got := w.state(); got != before && at != (moment{"undo journal", false}) {
		t.Errorf("%s: it was\n%sand is\n%s", what, before, got)
	}
	if _, err := os.Lstat(filepath.Join(w.cfg.Dir, "install.journal")); err == nil {
		t.Errorf("%s: the journal is left", what)
	}
}

// A foreign journal stops every transaction, and no plugin.
func TestBrokenJournal(t *testing.T) {
	for text, want := range map[string]string{"": "EOF", "{": "unexpected EOF", `{"op":"format"}`: "it is of another kind", `{"op":"install","added":"../../x"}`: "it is of another kind",
		`{"op":"install","more":1}`: `unknown field "more"`} {
		w := newWorld(t)
		w.put(versioned("x", "1.0.0", ""), nil)
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.cfg.Dir, "install.journal"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := w.state()
		if err := w.install("x"); err == nil || !strings.Contains(err.Error(), "the journal is broken: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if w.state() != before || len(w.i.Pins()) != 1 {
			t.Errorf("%q: it changed something", text)
		}
		// What the error says to look at can be looked at.
		if list, err := w.i.Verify(t.Context()); err != nil || len(list) != 1 || !list[0].OK {
			t.Errorf("%q: verified: %+v, %v", text, list, err)
		}
	}
}

// TestCrashThenEditedLock: after an edit of the lock between a crash and the next start,
// the lock's entry of the plugin decides whether the transaction was committed, not its
// bytes. A module that the lock refers to is never removed.
func TestCrashThenEditedLock(t *testing.T) {
	for name, tx := range transactions() {
		_, before, after := moments(t, tx.prepare, tx.run)
		w := newWorld(t)
		if err := tx.prepare(w); err != nil {
			t.Fatal(err)
		}
		type copied struct {
			at        moment
			dir       string
			committed bool
		}
		var copies []copied
		committed := false
		w.i.SetFault(func(step string, done bool) error {
			committed = committed || done && strings.HasSuffix(step, "lock")
			c := copied{moment{step, done}, t.TempDir(), committed}
			copies = append(copies, c)
			return os.CopyFS(c.dir, os.DirFS(w.cfg.Dir))
		})
		if err := tx.run(w); err != nil {
			t.Fatal(err)
		}
		for _, c := range copies {
			path := filepath.Join(c.dir, install.LockFile)
			text, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(path, append(text, "# mine\n"...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			again := openWorld(t, c.dir, w.shop)
			want := before
			if c.committed {
				want = after
			}
			if got := strings.ReplaceAll(again.state(), "# mine\n", ""); got != want {
				t.Errorf("%s, killed %s: it is\n%swant\n%s", name, c.at, got, want)
			}
		}
	}
}

// While the lock cannot be read, it is unknown whether a transaction was committed:
// nothing is undone, and nothing lost.
func TestCrashThenBrokenLock(t *testing.T) {
	for name, tx := range transactions() {
		w := newWorld(t)
		if err := tx.prepare(w); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		w.i.SetFault(func(step string, done bool) error {
			if done && (step == "lock" || step == "uninstall lock") {
				return os.CopyFS(dir, os.DirFS(w.cfg.Dir))
			}
			return nil
		})
		if err := tx.run(w); err != nil {
			t.Fatal(err)
		}
		after := w.state()
		path := filepath.Join(dir, install.LockFile)
		good, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte("plugins: ["), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		cfg := w.cfg
		cfg.Dir = dir
		i, err := install.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		wants(t, i.Recover(t.Context()), fault.Conflict, install.LockFile)
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openWorld(t, dir, w.shop).state(); got != after {
			t.Errorf("%s: it is\n%swant\n%s", name, got, after)
		}
	}
}
