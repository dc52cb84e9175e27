package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/spec"
)

func TestLife(t *testing.T) {
	w := newWorld(t)
	var versions [][]byte
	put := func(n int) {
		wasm := versioned("x", fmt.Sprintf("1.%d.0", n), "")
		versions = append(versions, wasm)
		w.put(wasm, nil)
	}
	put(0)
	for range 2 { // the second time it is there
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
		w.runs("x", "1.0.0", versions[0])
	}
	if got := len(w.opened); got != 1 {
		t.Errorf("fetched %d times", got)
	}
	for n := 1; n <= 4; n++ {
		put(n)
		if n == 1 {
			wants(t, w.install("x"), fault.Conflict, "there is a plugin of that name with other contents")
		}
		for range 2 {
			if err := w.upgrade("x"); err != nil {
				t.Fatal(err)
			}
		}
		w.runs("x", fmt.Sprintf("1.%d.0", n), versions[n])
	}
	// The first is the fourth of the former ones, and gone.
	wants(t, w.rollback("1.0.0"), fault.NotFound, "none of its former versions: 1.3.0, 1.2.0, 1.1.0")
	stored, err := w.i.Verify(t.Context())
	if err != nil || len(stored) != 4 || !stored[0].OK || !stored[0].Current || stored[1].Current || stored[3].Version != "1.1.0" {
		t.Errorf("got %+v, %v", stored, err)
	}
	if files, _ := filepath.Glob(filepath.Join(w.cfg.Dir, ".store", "sha256", "*")); len(files) != 4 {
		t.Errorf("the store has %q", files)
	}

	w.releases, w.blobs = nil, nil // the marketplace is down
	if err := w.rollback(""); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.3.0", versions[3])
	if err := w.rollback("1.1.0"); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.1.0", versions[1])
	wants(t, w.rollback(""), fault.Conflict, "there is no version before 1.1.0; it was rolled back from 1.3.0, 1.4.0, 1.2.0: name one of them")
	w.runs("x", "1.1.0", versions[1])
	all, err := w.i.Installed()
	if err != nil || all["x"].Publisher != "acme" || all["x"].SignedBy != "K1" || all["x"].Size != int64(len(versions[1])) {
		t.Errorf("got %+v, %v", all, err)
	}
	var former []string
	for _, v := range all["x"].Former {
		former = append(former, v.Version)
	}
	if got := strings.Join(former, " "); got != "1.3.0 1.4.0 1.2.0" {
		t.Errorf("former: %s", got)
	}
	// What was installed is there after a start as well.
	again := openWorld(t, w.cfg.Dir, w.shop)
	again.runs("x", "1.1.0", versions[1])
	if err := again.i.Uninstall(t.Context(), "x", install.UninstallOptions{Purge: true}); err != nil {
		t.Fatal(err)
	}
	if got := again.state(); strings.Contains(got, "1.1.0") || strings.Contains(got, ".wasm") || strings.Contains(got, "runs") {
		t.Errorf("left: %s", got)
	}
	wants(t, again.i.Uninstall(t.Context(), "x", install.UninstallOptions{}), fault.NotFound, "x")
	if stat, err := os.Stat(filepath.Join(w.cfg.Dir, install.LockFile)); err != nil || stat.Mode() != 0o600 {
		t.Errorf("got %v, %v", stat, err)
	}
}

// TestRollbackDoesNotReturnToTheBadVersion: two rollbacks go back by two, never to a
// version that was left.
func TestRollbackDoesNotReturnToTheBadVersion(t *testing.T) {
	w := newWorld(t)
	put := func(version string) {
		t.Helper()
		w.put(versioned("x", version, ""), nil)
	}
	step := func(what string, err error, version string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if all, err := w.i.Installed(); err != nil || all["x"].Version.Version != version || all["x"].RolledBack {
			t.Fatalf("%s: got %+v, %v, want %s", what, all["x"], err, version)
		}
	}
	put("1.0.0")
	step("install", w.install("x"), "1.0.0")
	wants(t, w.rollback(""), fault.Conflict, "there is no former version of it")
	put("2.0.0")
	step("upgrade", w.upgrade("x"), "2.0.0")
	put("3.0.0")
	step("upgrade", w.upgrade("x"), "3.0.0")
	step("back", w.rollback(""), "2.0.0")
	step("back again", w.rollback(""), "1.0.0")
	wants(t, w.rollback(""), fault.Conflict, "there is no version before 1.0.0; it was rolled back from 2.0.0, 3.0.0: name one of them to return to it")
	step("by its name", w.rollback("2.0.0"), "2.0.0")
	step("back from that", w.rollback(""), "1.0.0")
	step("by its name again", w.rollback("2.0.0"), "2.0.0")
	put("4.0.0")
	step("the repaired version", w.upgrade("x"), "4.0.0")
	step("back from that", w.rollback(""), "2.0.0")
	step("forward again", w.upgrade("x"), "4.0.0") // a new installation clears the mark of the rollback
	again := openWorld(t, w.cfg.Dir, w.shop)
	if err := again.rollback(""); err != nil {
		t.Fatal(err)
	}
	if all, err := again.i.Installed(); err != nil || all["x"].Version.Version != "2.0.0" {
		t.Errorf("after a start: %+v, %v", all["x"], err)
	}
}

func (w *world) rollback(version string) error {
	_, err := w.i.Rollback(w.Context(), "x", version, nil, nil)
	return err
}

const asksKV = `,"capabilities":[{"name":"kv","reason":"counts"}]`
const asksMore = `,"capabilities":[{"name":"kv","reason":"counts"},{"name":"http","hosts":["api.example"],"reason":"tells"}]`

// Each is refused with its own error, and nothing has changed.
func TestRefusals(t *testing.T) {
	newer := func(more string) []byte { return versioned("x", "2.0.0", more) }
	for _, tt := range []struct {
		name    string
		wasm    []byte
		change  func(*install.Release)
		prepare func(*world)
		code    fault.Code
		text    string
	}{
		{"wrong digest", newer(""), func(r *install.Release) { r.SHA256 = digestOf([]byte("other")) }, func(w *world) {
			w.blobs[digestOf([]byte("other"))] = []byte("\x00asm\x01\x00\x00\x00xx")
			r := w.releases["x@"]
			r.Size = 10
			w.releases["x@"] = r
		}, fault.Invalid, "sha256: the module from marketplace https://plugins.example has the SHA-256"},
		{"no digest", newer(""), func(r *install.Release) { r.SHA256 = "../../x" }, nil, fault.Internal, "is not one"},
		{"truncated", newer(""), nil, func(w *world) {
			r := w.releases["x@"]
			w.blobs[r.SHA256] = w.blobs[r.SHA256][:r.Size-1]
		}, fault.Unavailable, "ends after"},
		{"shorter than said", newer(""), func(r *install.Release) { r.Size++ }, nil, fault.Invalid, "bytes long, and the release says"},
		{"longer than said", newer(""), func(r *install.Release) { r.Size-- }, nil, fault.Exhausted, "over"},
		{"larger than allowed", newer(""), func(r *install.Release) { r.Size = 65 << 20 }, nil, fault.Exhausted, "the limit is"},
		{"larger than allowed, and not said", newer(""), func(r *install.Release) { r.Size = 0 }, func(w *world) { w.cfg.MaxSize = 20 }, fault.Exhausted, "over 20 bytes"},
		{"another signer", newer(""), func(r *install.Release) { r.SignedBy = "K2" }, nil, fault.Conflict, "the signer has changed"},
		{"no signer", newer(""), func(r *install.Release) { r.SignedBy = "" }, nil, fault.Conflict, "the signer has changed"},
		{"another publisher", newer(""), func(r *install.Release) { r.Publisher = "evil" }, nil, fault.Conflict, "publisher evil"},
		{"older", versioned("x", "0.9.0", ""), nil, nil, fault.Conflict, "0.9.0 is older than the installed 1.0.0: roll back"},
		{"the same again", versioned("x", "1.0.0", `,"license":"MIT"`), nil, nil, fault.Conflict, "released again with other contents"},
		{"another ABI", newer(""), func(r *install.Release) { r.ABI = "berth_v9" }, nil, fault.Invalid, "the ABI berth_v9"},
		{"a path for a version", newer(""), func(r *install.Release) { r.Version = "1.0.0/../../x" }, func(w *world) { w.releases["x@"] = w.releases["x@1.0.0/../../x"] }, fault.Invalid, "not a semantic version"},
		{"another version inside", newer(""), func(r *install.Release) { r.Version = "2.1.0" }, nil, fault.Invalid, "its version is 2.1.0, and the module itself 2.0.0"},
		{"more capabilities inside", newer(asksKV), func(r *install.Release) { r.Capabilities = []abi.Capability{} }, nil, fault.Invalid, "none, and the module itself kv"},
		{"fewer capabilities inside", newer(""), func(r *install.Release) { r.Capabilities = []abi.Capability{{Name: "kv"}} }, nil, fault.Invalid, "kv, and the module itself none"},
		{"another name inside", module(`{"name":"y"}`, ""), func(r *install.Release) { r.Name, r.Version = "x", "" }, nil, fault.Invalid, "name: the module's manifest names it y"},
		{"not a module", []byte("#!/bin/sh"), func(r *install.Release) { r.Name = "x" }, nil, fault.Invalid, "the module: "},
		{"fails the vetting", module(`{"name":"x","version":"2.0.0"}`, "bad"), nil, nil, fault.Invalid, "install x: the module is rejected: it forks"},
		{"fails its start", module(`{"name":"x","version":"2.0.0"}`, "traps"), nil, nil, fault.Invalid, "install x: the module is rejected: it trapped"},
		{"too young", newer(""), func(r *install.Release) { r.Released = start.Add(-time.Hour) }, func(w *world) {
			w.cfg.MinimumAge = func() time.Duration { return 24 * time.Hour }
		}, fault.Conflict, "may be installed from 2026-03-02T11:00:00Z on"},
		{"of no age", newer(""), func(r *install.Release) { r.Released = time.Time{} }, func(w *world) {
			w.cfg.MinimumAge = func() time.Duration { return 24 * time.Hour }
		}, fault.Conflict, "does not say when it was released"},
		{"the settings cannot be written", newer(""), nil, func(w *world) { w.admit = fault.New(fault.Conflict, "edit it by hand") }, fault.Conflict, "edit it by hand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.put(versioned("x", "1.0.0", ""), nil)
			if err := w.install("x"); err != nil {
				t.Fatal(err)
			}
			w.put(tt.wasm, tt.change)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			w.open()
			before := w.state()
			wants(t, w.upgrade("x"), tt.code, tt.text)
			if after := w.state(); after != before {
				t.Errorf("it was\n%sand is\n%s", before, after)
			}
			if parts, _ := filepath.Glob(filepath.Join(w.cfg.Dir, "downloads", "*")); tt.code == fault.Invalid && len(parts) != 0 {
				t.Errorf("the rejected download is kept: %q", parts)
			}
		})
	}
}

func TestRefusedBeforeAnythingIsFetched(t *testing.T) {
	w := newWorld(t)
	w.put(versioned("x", "1.0.0", ""), nil)
	w.put(versioned("file", "1.0.0", ""), nil)
	w.dropped["file"] = true
	wants(t, w.install("file"), fault.Conflict, "the name belongs to a file")
	wants(t, w.upgrade("file"), fault.Conflict, "it is a file in a watched directory")
	wants(t, w.upgrade("nobody"), fault.NotFound, "nobody")
	wants(t, w.install("nobody"), fault.NotFound, "nobody")
	w.put(versioned("x", "1.0.0", ""), func(r *install.Release) { r.Name = "../x" })
	_, err := w.i.Install(t.Context(), install.Request{Name: "../x"}, "", nil)
	wants(t, err, fault.Invalid, `name: "../x" must be 1 to 63`)
	w.put(versioned("x", "1.0.0", ""), func(r *install.Release) { r.Name = "verify" })
	wants(t, w.install("verify"), fault.Invalid, `name: "verify" is a word of the host's API`)
	if len(w.opened) != 0 {
		t.Errorf("fetched at %v", w.opened)
	}
	// By URL, a module may need a name, and an upgrade a URL.
	wasm := module("", "ok")
	w.blobs[digestOf(wasm)] = wasm
	r := install.Request{URL: "https://a.example/x.wasm", SHA256: strings.ToUpper(digestOf(wasm))}
	_, err = w.i.Install(t.Context(), r, "", nil)
	wants(t, err, fault.Invalid, "name: is required")
	r.Name = "marketplace"
	_, err = w.i.Install(t.Context(), r, "", nil)
	wants(t, err, fault.Invalid, `name: "marketplace" is a word of the host's API`)
	r.Name = "plain"
	if p, err := w.i.Install(t.Context(), r, "", nil); err != nil || p.Name != "plain" {
		t.Errorf("got %+v, %v", p, err)
	}
	wants(t, w.upgrade("plain"), fault.Invalid, "url: is required, or ref: plain was not installed from the marketplace, but from url https://a.example/x.wasm")
	wasm = module("", "ok more")
	w.blobs[digestOf(wasm)] = wasm
	if _, err := w.i.Upgrade(t.Context(), "plain", install.Request{URL: "https://a.example/y.wasm", SHA256: digestOf(wasm)}, "", nil); err != nil {
		t.Error(err)
	}
	w.runs("plain", "", wasm)
}

func TestUninstall(t *testing.T) {
	w := newWorld(t)
	w.put(versioned("x", "1.0.0", ""), nil)
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	w.routes["x"] = []string{"order_*"}
	before := w.state()
	wants(t, w.i.Uninstall(t.Context(), "x", install.UninstallOptions{}), fault.Conflict, "the route order_* names it")
	if w.state() != before {
		t.Error("it changed something")
	}
	w.routes["ghost"] = []string{"order_*"}
	wants(t, w.i.Uninstall(t.Context(), "ghost", install.UninstallOptions{}), fault.NotFound, `there is no plugin "ghost"`)
	if err := w.i.Uninstall(t.Context(), "x", install.UninstallOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	// Its stored data is kept, for its publisher only.
	if !w.stored["x"] {
		t.Error("what it has stored is gone")
	}
	if err := w.install("x"); err != nil {
		t.Errorf("the same publisher: %v", err)
	}
	delete(w.routes, "x")
	if err := w.i.Uninstall(t.Context(), "x", install.UninstallOptions{}); err != nil {
		t.Fatal(err)
	}
	w.put(versioned("x", "1.0.0", `,"license":"MIT"`), func(r *install.Release) { r.Publisher = "evil" })
	wants(t, w.install("x"), fault.Conflict, "purge it first")
	if err := w.i.Uninstall(t.Context(), "x", install.UninstallOptions{Purge: true}); err != nil || w.stored["x"] {
		t.Errorf("got %v", err)
	}
	if err := w.install("x"); err != nil {
		t.Error(err)
	}
	// A dropped file's goes with it.
	w.dropped["y"], w.stored["y"] = true, true
	if err := w.i.Uninstall(t.Context(), "y", install.UninstallOptions{}); err != nil || w.stored["y"] {
		t.Errorf("got %v", err)
	}
}

// TestFileOfSeveralHostsIsUninstalledHereOnly: positions, settings and values are those of the other
// hosts too, until the last one uninstalls it.
func TestFileOfSeveralHostsIsUninstalledHereOnly(t *testing.T) {
	w := newWorld(t)
	w.dropped["y"], w.stored["y"], w.outcomes = true, true, map[string]bool{"y": true}
	if err := w.Admit("y", []abi.Capability{{Name: "kv"}}); err != nil {
		t.Fatal(err)
	}
	var remains []string
	o := install.UninstallOptions{Purge: true, Remains: func(hosts []string) { remains = hosts }}
	w.others = []string{"b", "c"}
	if err := w.i.Uninstall(t.Context(), "y", o); err != nil || !slices.Equal(remains, w.others) {
		t.Errorf("got %v; it remains on %v", err, remains)
	}
	if w.dropped["y"] || !w.stored["y"] || !w.outcomes["y"] || len(w.settings()["y"]) == 0 {
		t.Errorf("it is here: %v; values: %v, position: %v, settings: %v", w.dropped["y"], w.stored["y"], w.outcomes["y"], w.settings())
	}
	w.dropped["y"], w.others, remains = true, nil, nil
	if err := w.i.Uninstall(t.Context(), "y", o); err != nil || remains != nil {
		t.Errorf("got %v; it remains on %v", err, remains)
	}
	if w.stored["y"] || w.outcomes["y"] || len(w.settings()["y"]) > 0 {
		t.Errorf("values: %v, position: %v, settings: %v", w.stored["y"], w.outcomes["y"], w.settings())
	}
}

// TestLostLockListsWhatWasInstalled: every plugin is listed by its name, also one without
// a name in its module, while the copy of the lock exists.
func TestLostLockListsWhatWasInstalled(t *testing.T) {
	w := newWorld(t)
	w.put(module("", "nameless"), func(r *install.Release) { r.Name = "given" })
	w.put(versioned("x", "1.0.0", ""), nil)
	w.put(versioned("y", "1.0.0", ""), nil)
	for _, name := range []string{"given", "x", "y"} {
		if err := w.install(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.i.Uninstall(t.Context(), "y", install.UninstallOptions{}); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(w.cfg.Dir, install.LockFile)
	good, err := os.ReadFile(lock)
	if err := errors.Join(err, os.Remove(lock)); err != nil {
		t.Fatal(err)
	}
	listed := func() string {
		var names []string
		for _, p := range openWorld(t, w.cfg.Dir, w.shop).i.Pins() {
			if !strings.Contains(p.Refusal, install.LockFile) {
				t.Errorf("%s: %q", p.Name, p.Refusal)
			}
			names = append(names, p.Name)
		}
		return strings.Join(names, " ")
	}
	if got := listed(); got != "given x" {
		t.Errorf("listed are %q", got)
	}
	refused := errors.New("not now")
	again := openWorld(t, w.cfg.Dir, w.shop)
	use := func([]spec.Pin) error { t.Error("the lock cannot be used"); return nil }
	wants(t, again.i.Repaired(t.Context(), use), fault.Conflict, install.LockFile)
	if err := os.WriteFile(lock+".last", []byte("plugins: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := listed(); got != "x" {
		t.Errorf("without a copy listed are %q", got)
	}
	if err := os.WriteFile(lock, good, 0o600); err != nil {
		t.Fatal(err)
	}
	names := ""
	use = func(pins []spec.Pin) error {
		for _, p := range pins {
			names += p.Name + p.Refusal + " "
		}
		return refused
	}
	if err := again.i.Repaired(t.Context(), use); !errors.Is(err, refused) || names != "given x " {
		t.Errorf("repaired: %q, %v", names, err)
	}
	if last, err := os.ReadFile(lock + ".last"); err != nil || string(last) != string(good) {
		t.Errorf("the copy is %q, %v", last, err)
	}
}

// TestBrokenLock: a missing or damaged lock refuses the installed plugins only.
func TestBrokenLock(t *testing.T) {
	for what, breakIt := range map[string]func(path string) error{
		"missing": os.Remove,
		"broken":  func(path string) error { return os.WriteFile(path, []byte("plugins: ["), 0o600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"another": func(path string) error { return os.WriteFile(path, []byte("format: 2\n"), 0o600) },
		"a path":  func(path string) error { return os.WriteFile(path, []byte("format: 1\nplugins: {../x: {}}\n"), 0o600) },
		"no digest": func(path string) error {
			return os.WriteFile(path, []byte("format: 1\nplugins: {x: {sha256: ../x}}\n"), 0o600)
		},
		"a link":     func(path string) error { return errors.Join(os.Remove(path), os.Symlink("install.lock", path)) },
		"unreadable": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.put(versioned("x", "1.0.0", ""), nil)
			if err := w.install("x"); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(w.cfg.Dir, install.LockFile)
			good, err := os.ReadFile(path)
			if err := errors.Join(err, breakIt(path)); err != nil {
				t.Fatal(err)
			}
			again := openWorld(t, w.cfg.Dir, w.shop)
			pins := again.i.Pins()
			if len(pins) != 1 || pins[0].Name != "x" || !strings.Contains(pins[0].Refusal, install.LockFile) {
				t.Errorf("got %+v", pins)
			}
			before := fmt.Sprint(again.disk())
			for _, err := range []error{again.install("x"), again.upgrade("x"), again.rollback(""), again.i.Uninstall(t.Context(), "x", install.UninstallOptions{})} {
				wants(t, err, fault.Conflict, install.LockFile)
			}
			again.dropped["file"] = true
			if err := again.i.Uninstall(t.Context(), "file", install.UninstallOptions{}); err != nil {
				t.Errorf("a dropped file: %v", err)
			}
			if after := fmt.Sprint(again.disk()); after != before {
				t.Errorf("it was %s, and is %s", before, after)
			}
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, good, 0o600)); err != nil {
				t.Fatal(err)
			}
			openWorld(t, w.cfg.Dir, w.shop).runs("x", "1.0.0", versioned("x", "1.0.0", ""))
		})
	}
}

// A stored module that is damaged is found, refused, and repaired by installing again.
func TestDamagedStore(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"changed": func(path string) error { return os.WriteFile(path, versioned("x", "6.6.6", ""), 0o600) },
	} {
		w := newWorld(t)
		one, two := versioned("x", "1.0.0", ""), versioned("x", "2.0.0", "")
		w.put(one, nil)
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(one)+".wasm")); err != nil {
			t.Fatal(err)
		}
		list, err := w.i.Verify(t.Context())
		if err != nil || len(list) != 1 || list[0].OK || list[0].Problem == "" {
			t.Errorf("%s: got %+v, %v", what, list, err)
		}
		if err := w.install("x"); err != nil {
			t.Fatal(err)
		}
		if list, err = w.i.Verify(t.Context()); err != nil || !list[0].OK {
			t.Errorf("%s: repaired: %+v, %v", what, list, err)
		}
		w.put(two, nil)
		if err := w.upgrade("x"); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(one)+".wasm")); err != nil {
			t.Fatal(err)
		}
		wants(t, w.rollback(""), fault.Conflict, "roll back x to 1.0.0: its stored file")
		w.runs("x", "2.0.0", two)
	}
}

// Many at once, and two hosts over one directory: one after the other.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	w.put(versioned("x", "1.0.0", ""), nil)
	w.put(versioned("y", "1.0.0", asksKV), nil)
	other := *w
	other.open()
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			on := w
			if n%2 == 0 {
				on = &other
			}
			for range 5 {
				for _, err := range []error{on.install("x"), on.install("y"), on.i.Uninstall(t.Context(), "x", install.UninstallOptions{})} {
					var a *install.ApprovalError
					if err != nil && !fault.Is(err, fault.NotFound) && !errors.As(err, &a) {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.0.0", versioned("x", "1.0.0", ""))
	// A caller whose context ends does not wait.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.i.Install(ctx, install.Request{Name: "x"}, "", nil)
	if err == nil {
		_, err = w.i.Verify(ctx)
	}
	wants(t, err, fault.Timeout, "")
}
