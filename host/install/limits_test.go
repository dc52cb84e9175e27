package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/wire"
)

// TestLockIsCheckedToTheBound: valid and invalid contents of a lock.
func TestLockIsCheckedToTheBound(t *testing.T) {
	good := install.Version{SHA256: strings.Repeat("0a", 32)}
	with := func(change func(*install.Version)) install.Version { v := good; change(&v); return v }
	lock := func(name string, e install.Entry) install.Lock {
		return install.Lock{Format: 1, Plugins: map[string]install.Entry{name: e}}
	}
	entry := func(v install.Version, former ...install.Version) install.Entry {
		return install.Entry{Version: v, Former: former}
	}
	for _, tt := range []struct {
		name string
		lock install.Lock
		want string
	}{
		{"empty", install.Lock{Format: 1}, ""},
		{"format 0", install.Lock{}, "format: 0 is not one this host knows (1)"},
		{"format 2", install.Lock{Format: 2}, "format: 2 is not one"},
		{"one", lock("x", entry(good)), ""},
		{"a bad name", lock("X", entry(good)), `plugins."X": is not a plugin's name`},
		{"three former", lock("x", entry(good, good, good, good)), ""},
		{"four former", lock("x", entry(good, good, good, good, good)), "plugins.x.former: there are 4, and at most 3 are kept"},
		{"63 digits", lock("x", entry(with(func(v *install.Version) { v.SHA256 = v.SHA256[1:] }))), "is not 64 hexadecimal digits in lower case"},
		{"62 digits", lock("x", entry(with(func(v *install.Version) { v.SHA256 = v.SHA256[2:] }))), "is not 64 hexadecimal digits in lower case"},
		{"66 digits", lock("x", entry(with(func(v *install.Version) { v.SHA256 += "00" }))), "is not 64 hexadecimal digits in lower case"},
		{"upper case", lock("x", entry(with(func(v *install.Version) { v.SHA256 = strings.ToUpper(v.SHA256) }))), "is not 64 hexadecimal digits in lower case"},
		{"no hexadecimal", lock("x", entry(with(func(v *install.Version) { v.SHA256 = strings.Repeat("0g", 32) }))), "is not 64 hexadecimal digits in lower case"},
		{"a former without", lock("x", entry(good, install.Version{})), "is not 64 hexadecimal digits in lower case"},
		{"a version", lock("x", entry(with(func(v *install.Version) { v.Version = "1.2.3-rc.1" }))), ""},
		{"no version", lock("x", entry(with(func(v *install.Version) { v.Version = "1.2" }))), `plugins.x: version: "1.2" is not a semantic version`},
		{"kept", install.Lock{Format: 1, Kept: map[string]install.Owner{"x": {}}}, ""},
		{"kept under a bad name", install.Lock{Format: 1, Kept: map[string]install.Owner{"../x": {}}}, `kept."../x": is not a plugin's name`},
	} {
		err := install.CheckLock(tt.lock)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	for owner, want := range map[install.Owner]string{{}: "an unknown publisher, unsigned", {Publisher: "acme"}: "publisher acme, unsigned",
		{SignedBy: "K1"}: "the key K1", {Publisher: "acme", SignedBy: "K1"}: "publisher acme with the key K1"} {
		if got := owner.String(); got != want {
			t.Errorf("%+v: %q", owner, got)
		}
	}
}

// TestModuleThatIsStoredIsNotFetched: it may be another plugin's.
func TestModuleThatIsStoredIsNotFetched(t *testing.T) {
	w := newWorld(t)
	wasm := module("", "nameless")
	for n, name := range []string{"one", "two"} {
		w.put(wasm, func(r *install.Release) { r.Name = name })
		if err := w.install(name); err != nil {
			t.Fatal(err)
		}
		if len(w.opened) != 1 {
			t.Errorf("%s (%d): fetched %d times", name, n, len(w.opened))
		}
	}
	if pins := w.i.Pins(); len(pins) != 2 || pins[0].SHA256 != pins[1].SHA256 {
		t.Errorf("%+v", pins)
	}
	// It stays as long as one of the two is there.
	stored := filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(wasm)+".wasm")
	for n, name := range []string{"one", "two"} {
		if err := w.i.Uninstall(t.Context(), name, install.UninstallOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(stored); (err == nil) != (n == 0) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestCheckNeedsNoHost: every stored version of a data directory, the current ones first,
// with its damage.
func TestCheckNeedsNoHost(t *testing.T) {
	w := newWorld(t)
	one, two := versioned("x", "1.0.0", ""), versioned("x", "2.0.0", "")
	w.put(one, nil)
	err := w.install("x")
	w.put(two, nil)
	if err := errors.Join(err, w.upgrade("x")); err != nil {
		t.Fatal(err)
	}
	check := func() string {
		list, err := install.Check(t.Context(), w.cfg.Dir, newCodec())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range list {
			out = append(out, fmt.Sprintf("%s %s %v %v %s", s.Plugin, s.Version, s.Current, s.OK, s.Problem))
		}
		return strings.Join(out, "\n")
	}
	if got := check(); got != "x 2.0.0 true true \nx 1.0.0 false true " {
		t.Errorf("got\n%s", got)
	}
	if err := os.WriteFile(filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(one)+".wasm"), two, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := check(); got != "x 2.0.0 true true \nx 1.0.0 false false its stored file does not match the lock: it has the SHA-256 "+digestOf(two) {
		t.Errorf("got\n%s", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := install.Check(gone, w.cfg.Dir, newCodec()); !fault.Is(err, fault.Timeout) {
		t.Errorf("given up: %v", err)
	}
	if _, err := install.Check(t.Context(), filepath.Join(w.cfg.Dir, "none"), newCodec()); !fault.Is(err, fault.Unavailable) && err == nil {
		t.Errorf("no directory: %v", err)
	}
	// What was withdrawn is not rolled back to.
	w.cfg.Revoked = func(sha256 string) string {
		if sha256 == digestOf(one) {
			return "1.0.0 was withdrawn"
		}
		return ""
	}
	if err := os.WriteFile(filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(one)+".wasm"), one, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	wants(t, w.rollback(""), fault.Conflict, "1.0.0 was withdrawn")
}

// TestFilesOfOthersAreNotBelieved: they may have been put there while the data
// directory was open to all.
func TestFilesOfOthersAreNotBelieved(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can make them
	}
	wasm := versioned("x", "1.0.0", "")
	for _, file := range []string{install.LockFile, filepath.Join(".store", "sha256", digestOf(wasm)+".wasm")} {
		w := newWorld(t)
		w.put(wasm, nil)
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(w.cfg.Dir, file), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		list, err := w.i.Verify(t.Context())
		if file == install.LockFile {
			wants(t, err, fault.Denied, "plugins.lock.yaml belongs to the user with the id 12345")
		} else if err != nil || len(list) != 1 || list[0].OK || !strings.Contains(list[0].Problem, "belongs to the user") {
			t.Errorf("%+v, %v", list, err)
		}
	}
}

// TestProgressTellsEachStepOnce, in the order in which they are done.
func TestProgressReportsEachStepOnce(t *testing.T) {
	w := newWorld(t)
	w.put(versioned("x", "1.0.0", ""), nil)
	var steps []string
	_, err := w.i.Install(t.Context(), install.Request{Name: "x"}, "", func(p wire.Progress) {
		if p.Step != "download" {
			steps = append(steps, p.Step)
		}
	})
	if got := strings.Join(steps, " "); err != nil || got != "resolve vet store probe commit start" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestApprovalSaysWhatItIsAbout: the error contains only the reasons that apply.
func TestApprovalSaysWhatItIsAbout(t *testing.T) {
	w := newWorld(t)
	w.put(versioned("x", "1.0.0", asksKV), nil)
	err := w.install("x")
	var a *install.ApprovalError
	if !errors.As(err, &a) || err.Error() != "install x: it requests kv, which is not granted; approve the plan "+a.Plan().Digest+" to go on" {
		t.Errorf("got %v", err)
	}
	w.put(versioned("y", "1.0.0", ""), nil)
	if err := w.install("y"); err != nil {
		t.Fatal(err)
	}
	w.put(versioned("z", "1.0.0", ""), func(r *install.Release) { r.SignedBy = "K2" })
	err = w.install("z")
	if !errors.As(err, &a) || err.Error() != "install z: another key, K1, has signed the plugins of the publisher acme on this host; approve the plan "+a.Plan().Digest+" to go on" {
		t.Errorf("got %v", err)
	}
}
