package install_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/wire"
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

func (w *world) rollback(version string) error {
	_, err := w.i.Rollback(w.Context(), "x", version, nil)
	return err
}

const asksKV = `,"capabilities":[{"name":"kv","reason":"counts"}]`
const asksMore = `,"capabilities":[{"name":"kv","reason":"counts"},{"name":"http","hosts":["api.example"],"reason":"tells"}]`

// What nobody has granted waits for exactly its plan to be approved.
func TestApproval(t *testing.T) {
	w := newWorld(t)
	one := versioned("x", "1.0.0", asksKV)
	w.put(one, nil)
	before := w.state()
	plan := func(err error) wire.Plan {
		t.Helper()
		var a *install.ApprovalError
		if !errors.As(err, &a) || !fault.Is(err, fault.Conflict) {
			t.Fatalf("got %v", err)
		}
		return a.Plan()
	}
	p := plan(w.install("x"))
	if p.Action != "install" || p.Version != "1.0.0" || p.SignedBy != "K1" || len(p.Capabilities) != 1 || !p.Capabilities[0].New || p.Capabilities[0].Reason != "counts" || len(p.Digest) != 64 {
		t.Errorf("got %+v", p)
	}
	if w.state() != before {
		t.Errorf("changed: %s", w.state())
	}
	_, err := w.i.Install(t.Context(), install.Request{Name: "x"}, strings.Repeat("0", 64), nil)
	if again := plan(err); again.Digest != p.Digest || !strings.Contains(err.Error(), "another plan") {
		t.Errorf("got %v, %+v", err, again)
	}
	if _, err := w.i.Install(t.Context(), install.Request{Name: "x"}, p.Digest, nil); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.0.0", one)
	if got := w.settings()["x"]; len(got) != 1 || got[0] != "kv" {
		t.Errorf("granted: %v", got)
	}
	if len(w.opened) != 1 {
		t.Errorf("fetched at %v: what waited was there", w.opened)
	}

	// The same asked for again needs no approval, taken back or not.
	two := versioned("x", "1.1.0", asksKV)
	w.put(two, nil)
	if err := w.host.Remove("x"); err != nil {
		t.Fatal(err)
	}
	if err := w.upgrade("x"); err != nil {
		t.Fatal(err)
	}
	if got := w.settings()["x"]; len(got) != 0 {
		t.Errorf("what was taken back is granted: %v", got)
	}
	// More does.
	three := versioned("x", "1.2.0", asksMore)
	w.put(three, nil)
	before = w.state()
	p = plan(w.upgrade("x"))
	if p.Action != "upgrade" || p.From != "1.1.0" || p.Capabilities[0].New || !p.Capabilities[1].New || w.state() != before {
		t.Errorf("got %+v", p)
	}
	if _, err := w.i.Upgrade(t.Context(), "x", install.Request{}, p.Digest, nil); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.2.0", three)
	if got := fmt.Sprint(w.settings()["x"]); got != "[http]" {
		t.Errorf("granted: %s", got)
	}
	// What the configuration grants is approved.
	if err := w.host.write(map[string][]string{"y": {"kv"}}); err != nil {
		t.Fatal(err)
	}
	w.put(versioned("y", "1.0.0", asksKV), nil)
	if err := w.install("y"); err != nil {
		t.Error(err)
	}
	// Who has approved one plan gets no other, be it one that needs no approval.
	w.put(versioned("y", "1.1.0", asksKV), nil)
	before = w.state()
	_, err = w.i.Upgrade(t.Context(), "y", install.Request{}, p.Digest, nil)
	if other := plan(err); other.Name != "y" || other.Version != "1.1.0" || !strings.Contains(err.Error(), "another plan") || strings.Contains(err.Error(), "signed") {
		t.Errorf("got %v, %+v", err, other)
	}
	if w.state() != before {
		t.Errorf("changed: %s", w.state())
	}
	// From nobody to somebody who signs is for the operator to see.
	w.put(versioned("z", "1.0.0", ""), func(r *install.Release) { r.Publisher, r.SignedBy = "", "" })
	if err := w.install("z"); err != nil {
		t.Fatal(err)
	}
	w.put(versioned("z", "1.1.0", ""), nil)
	if p := plan(w.upgrade("z")); p.SignedBy != "K1" {
		t.Errorf("got %+v", p)
	}
}

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
		}, fault.Invalid, "sha256: what marketplace https://plugins.example gives has the SHA-256"},
		{"no digest", newer(""), func(r *install.Release) { r.SHA256 = "../../x" }, nil, fault.Internal, "for a SHA-256"},
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
				t.Errorf("what is no good is kept: %q", parts)
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
	wants(t, w.upgrade("file"), fault.Conflict, "it is a file of a watched directory")
	wants(t, w.upgrade("nobody"), fault.NotFound, "nobody")
	wants(t, w.install("nobody"), fault.NotFound, "nobody")
	w.put(versioned("x", "1.0.0", ""), func(r *install.Release) { r.Name = "../x" })
	_, err := w.i.Install(t.Context(), install.Request{Name: "../x"}, "", nil)
	wants(t, err, fault.Invalid, "name: must be")
	if len(w.opened) != 0 {
		t.Errorf("fetched at %v", w.opened)
	}
	// By URL, a module may need a name, and an upgrade a URL.
	wasm := module("", "ok")
	w.blobs[digestOf(wasm)] = wasm
	r := install.Request{URL: "https://a.example/x.wasm", SHA256: strings.ToUpper(digestOf(wasm))}
	_, err = w.i.Install(t.Context(), r, "", nil)
	wants(t, err, fault.Invalid, "name: is required")
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
	if err := w.i.Uninstall(t.Context(), "x", install.UninstallOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	// What it has stored is kept, and is for nobody else.
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

// A lock that is missing or broken refuses what is installed, and nothing else.
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

// A stored module that is damaged is found, refused, and mended by installing again.
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
			t.Errorf("%s: mended: %+v, %v", what, list, err)
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

// To mend what is installed grants nothing, so it takes no approval: neither of what
// the operator has taken back, nor of another plan.
func TestMendedWithoutApproval(t *testing.T) {
	w := newWorld(t)
	one := versioned("x", "1.0.0", asksKV)
	w.put(one, nil)
	if err := w.host.write(map[string][]string{"x": {"kv"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.host.Remove("x"), os.Remove(filepath.Join(w.cfg.Dir, ".store", "sha256", digestOf(one)+".wasm"))); err != nil {
		t.Fatal(err)
	}
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.0.0", one)
	if list, err := w.i.Verify(t.Context()); err != nil || !list[0].OK {
		t.Errorf("got %+v, %v", list, err)
	}
	if got := w.settings()["x"]; len(got) != 0 {
		t.Errorf("granted: %v", got)
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
	// Whoever cannot wait gives up.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.i.Install(ctx, install.Request{Name: "x"}, "", nil)
	if err == nil {
		_, err = w.i.Verify(ctx)
	}
	wants(t, err, fault.Timeout, "")
}

// A tag is not the contents: who has moved it decides what it is. What holds for a
// version of the marketplace holds for it; a digest is the operator's own word.
func TestTagIsNotExact(t *testing.T) {
	const tag, digest = "oci://a.example/x:1", "oci://a.example/x@sha256:"
	w := newWorld(t)
	w.cfg.MinimumAge = func() time.Duration { return time.Hour }
	w.open()
	one := versioned("x", "1.0.0", "")
	ref := func(wasm []byte) {
		w.put(wasm, func(r *install.Release) {
			*r = install.Release{SHA256: r.SHA256, Size: r.Size, Source: digest + r.SHA256}
		})
	}
	ref(one)
	do := func(r install.Request) error {
		_, err := w.i.Install(t.Context(), r, "", nil)
		return err
	}
	before := w.state()
	wants(t, do(install.Request{Ref: tag}), fault.Conflict, "does not say when it was released")
	if w.state() != before {
		t.Errorf("changed: %s", w.state())
	}
	if err := do(install.Request{Ref: digest + digestOf(one)}); err != nil {
		t.Fatal(err)
	}
	w.cfg.MinimumAge = nil
	w.open()
	other := module(`{"name":"x","version":"1.0.0"}`, "ok other")
	ref(other)
	upgrade := func(ref string) error {
		_, err := w.i.Upgrade(t.Context(), "x", install.Request{Ref: ref}, "", nil)
		return err
	}
	wants(t, upgrade(tag), fault.Conflict, "1.0.0 was released again with other contents")
	w.runs("x", "1.0.0", one)
	if err := upgrade(digest + digestOf(other)); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.0.0", other)
	// Nor is an upgrade one to an older version, wherever that is from.
	old := versioned("x", "0.9.0", "")
	ref(old)
	wants(t, upgrade(digest+digestOf(old)), fault.Conflict, "0.9.0 is older than the installed 1.0.0")
	_, err := w.i.Upgrade(t.Context(), "x", install.Request{URL: "https://a.example/x", SHA256: digestOf(old)}, "", nil)
	wants(t, err, fault.Conflict, "0.9.0 is older than the installed 1.0.0")
	w.runs("x", "1.0.0", other)
}

// A publisher has one key here: another one is for the operator to see, also at a
// plugin of theirs that is new.
func TestPublishersOtherKey(t *testing.T) {
	w := newWorld(t)
	w.put(versioned("x", "1.0.0", ""), nil)
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	w.put(versioned("y", "1.0.0", ""), nil) // the same key
	if err := w.install("y"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y"} { // as long as anything of theirs is here
		if err := w.i.Uninstall(t.Context(), name, install.UninstallOptions{}); err != nil {
			t.Fatal(err)
		}
		z := versioned("z", "1.0.0", "")
		w.put(z, func(r *install.Release) { r.SignedBy = "K2" })
		var a *install.ApprovalError
		if err := w.install("z"); !errors.As(err, &a) || !strings.Contains(err.Error(), "what is here of the publisher acme is signed by another key, K1") {
			t.Fatalf("got %v", err)
		}
		if _, err := w.i.Install(t.Context(), install.Request{Name: "z"}, a.Plan().Digest, nil); err != nil {
			t.Fatal(err)
		}
		w.runs("z", "1.0.0", z)
		if err := w.i.Uninstall(t.Context(), "z", install.UninstallOptions{Purge: true}); err != nil {
			t.Fatal(err)
		}
	}
	w.put(versioned("w", "1.0.0", ""), func(r *install.Release) { r.Publisher, r.SignedBy = "other", "K2" })
	if err := w.install("w"); err != nil {
		t.Errorf("another publisher: %v", err)
	}
}
