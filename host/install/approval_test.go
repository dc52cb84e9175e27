package install_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/wire"
)

// A capability that is not granted needs the approval of exactly its plan.
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
	// The approval of one plan approves no other, not even one that needs no approval.
	w.put(versioned("y", "1.1.0", asksKV), nil)
	before = w.state()
	_, err = w.i.Upgrade(t.Context(), "y", install.Request{}, p.Digest, nil)
	if other := plan(err); other.Name != "y" || other.Version != "1.1.0" || !strings.Contains(err.Error(), "another plan") || strings.Contains(err.Error(), "signed") {
		t.Errorf("got %v, %+v", err, other)
	}
	if w.state() != before {
		t.Errorf("changed: %s", w.state())
	}
	// A change from unsigned to signed needs approval.
	w.put(versioned("z", "1.0.0", ""), func(r *install.Release) { r.Publisher, r.SignedBy = "", "" })
	if err := w.install("z"); err != nil {
		t.Fatal(err)
	}
	w.put(versioned("z", "1.1.0", ""), nil)
	if p := plan(w.upgrade("z")); p.SignedBy != "K1" {
		t.Errorf("got %+v", p)
	}
}

// TestRepairNeedsNoApproval: a repair grants nothing, neither a grant that the operator
// has removed, nor one of another plan.
func TestRepairNeedsNoApproval(t *testing.T) {
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

// TestTagIsNotExact: a tag can be moved, so the rules of a marketplace's version apply to
// it; a digest is the operator's own choice.
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
		if err := w.install("z"); !errors.As(err, &a) || !strings.Contains(err.Error(), "another key, K1, has signed the plugins of the publisher acme on this host") {
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

// TestPreconditionIsCheckedInsideTheTransaction: two callers that have seen the same
// version do not go back by two.
func TestPreconditionIsCheckedInsideTheTransaction(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		w.put(versioned("x", v, ""), nil)
		err := w.upgrade("x")
		if v == "1.0.0" {
			err = w.install("x")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	seen, err := w.Plugin("x")
	if err != nil {
		t.Fatal(err)
	}
	precondition := func(p wire.Plugin) error {
		if p.SHA256 != seen.SHA256 {
			return fault.New(fault.Precondition, "it has changed")
		}
		return nil
	}
	errs := make(chan error)
	for range 2 {
		go func() {
			_, err := w.i.Rollback(t.Context(), "x", "", precondition, nil)
			errs <- err
		}()
	}
	a, b := <-errs, <-errs
	if a == nil {
		a, b = b, a
	}
	if b != nil || !fault.Is(a, fault.Precondition) {
		t.Errorf("got %v and %v", a, b)
	}
	if _, err := w.i.Upgrade(t.Context(), "x", install.Request{Precondition: precondition}, "", nil); !fault.Is(err, fault.Precondition) {
		t.Errorf("upgrade: got %v", err)
	}
	if err := w.i.Uninstall(t.Context(), "x", install.UninstallOptions{Precondition: precondition}); !fault.Is(err, fault.Precondition) {
		t.Errorf("uninstall: got %v", err)
	}
}
