package index_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/spec"
)

// roots keeps a tree's root and its signature, to put them back later.
type roots map[string][]byte

func (s *shop) roots() roots {
	s.t.Helper()
	files := roots{}
	for _, name := range []string{"root.json", "root.json.minisig"} {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		check(s.t, err)
		files[name] = text
	}
	return files
}

func (s *shop) put(files roots) {
	s.t.Helper()
	for name, text := range files {
		check(s.t, os.WriteFile(filepath.Join(s.dir, name), text, 0o644))
	}
}

// signed returns the root, changed and signed with any key.
func (s *shop) signed(by format.Signer, change func(*format.Root)) roots {
	s.t.Helper()
	root, err := format.ParseRoot(s.roots()["root.json"])
	check(s.t, err)
	change(&root)
	text, err := root.Encode()
	check(s.t, err)
	return roots{"root.json": text, "root.json.minisig": by.Sign(text, "x")}
}

// TestOldKeyComesBack: while a marketplace changes its key, both are trusted. The last
// list of the old key is not accepted after one of the new, because it lacks later
// revocations.
func TestOldKeyComesBack(t *testing.T) {
	s := stocked(t)
	old := s.roots()
	state := filepath.Join(t.TempDir(), "marketplace.json")
	both := func(c *index.Config) {
		c.State, c.TrustedKeys = state, append(c.TrustedKeys, signer(t, "other").Key().String())
	}
	c := s.client(both)
	resolve := func(c *index.Client) error {
		_, err := c.Resolve(t.Context(), "count", "")
		return err
	}
	check(t, resolve(c))
	rotated := s.signed(signer(t, "other"), func(r *format.Root) {
		r.Sequence = 1
		r.Revoked = []format.Revocation{{Release: "acme/count@0.1.0", Reason: "loses events"}}
	})
	s.put(rotated)
	if err := resolve(c); !errors.Is(err, format.Revoked) {
		t.Errorf("by the new key: %v", err)
	}
	s.put(old)
	for what, c := range map[string]*index.Client{"at once": c, "after a restart": s.client(both)} {
		if err := resolve(c); !errors.Is(err, format.Older) || !strings.Contains(err.Error(), "another key has signed since") {
			t.Errorf("%s: the old key's list: %v", what, err)
		}
	}
	// One that the old key signs anew counts: its sequence says so.
	s.put(old)
	s.put(s.signed(signer(t, "marketplace"), func(r *format.Root) { r.Sequence++ }))
	if err := resolve(c); err != nil {
		t.Errorf("a newer one of the old key: %v", err)
	}
	// A key that is not trusted any more holds nobody back.
	s.put(rotated)
	if err := resolve(c); !errors.Is(err, format.Older) {
		t.Errorf("and back again: %v", err)
	}
	only := s.client(func(c *index.Config) {
		c.State, c.TrustedKeys = state, []string{signer(t, "other").Key().String()}
	})
	if err := resolve(only); !errors.Is(err, format.Revoked) {
		t.Errorf("with the new key alone: %v", err)
	}
}

// TestOneSequenceTwoRoots: two contents of one sequence are refused, from any source and
// URL.
func TestOneSequenceTwoRoots(t *testing.T) {
	s := stocked(t)
	state := filepath.Join(t.TempDir(), "marketplace.json")
	same := func(c *index.Config) { c.State = state }
	_, err := s.client(same).Resolve(t.Context(), "count", "")
	check(t, err)
	other := s.signed(signer(t, "marketplace"), func(r *format.Root) { r.Expires = r.Expires.Add(time.Hour) })
	for _, name := range []string{"root.json", "root.json.minisig"} {
		s.answer("/mirror/"+name, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other[name]) })
	}
	mirror := s.client(same, func(c *index.Config) { c.URL = s.server.URL + "/mirror/" })
	if _, err := mirror.Resolve(t.Context(), "count", ""); !errors.Is(err, format.Older) || !strings.Contains(err.Error(), "still has the sequence 1") {
		t.Errorf("got %v", err)
	}
}

// TestSignatureIsStripped: with allow_unsigned and a key, a list that was signed before
// is not accepted without a signature.
func TestSignatureIsStripped(t *testing.T) {
	s := stocked(t)
	state := filepath.Join(t.TempDir(), "marketplace.json")
	allow := func(c *index.Config) { c.State, c.AllowUnsigned = state, true }
	_, err := s.client(allow).Resolve(t.Context(), "count", "")
	check(t, err)
	check(t, os.Remove(filepath.Join(s.dir, "root.json.minisig")))
	if _, err := s.client(allow).Resolve(t.Context(), "count", ""); !errors.Is(err, format.NoSignature) || !fault.Is(err, fault.Denied) {
		t.Errorf("got %v", err)
	}
	keyless := func(c *index.Config) { c.TrustedKeys = nil }
	if _, err := s.client(allow, keyless).Resolve(t.Context(), "count", ""); err != nil {
		t.Errorf("without a key: %v", err)
	}
}

// A state of before these were kept is read, and they are from then on.
func TestOlderState(t *testing.T) {
	s := stocked(t)
	state := filepath.Join(t.TempDir(), "marketplace.json")
	same := func(c *index.Config) { c.State = state }
	_, err := s.client(same).Resolve(t.Context(), "count", "")
	check(t, err)
	text, err := os.ReadFile(state)
	check(t, err)
	var content map[string]json.RawMessage
	check(t, json.Unmarshal(text, &content))
	for key := range content {
		if key != "version" && key != "seen" && key != "list" {
			delete(content, key)
		}
	}
	text, err = json.Marshal(content)
	check(t, err)
	check(t, os.WriteFile(state, text, 0o600))
	s.put(s.signed(signer(t, "marketplace"), func(r *format.Root) { r.Expires = r.Expires.Add(time.Hour) }))
	if _, err := s.client(same).Resolve(t.Context(), "count", ""); !errors.Is(err, format.Older) {
		t.Errorf("got %v", err)
	}
}

// A clock that was ahead, and was put right, does not keep a list for years.
func TestClockWasAhead(t *testing.T) {
	s := stocked(t)
	c := s.client()
	s.wait(1000 * time.Hour)
	_, err := c.Listings(t.Context(), spec.ListingQuery{})
	check(t, err)
	s.wait(-1000 * time.Hour)
	s.sign()
	if p, err := c.Listings(t.Context(), spec.ListingQuery{}); err != nil || p.Sequence != 2 || p.Stale {
		t.Errorf("got %+v, %v", p, err)
	}
	// Nor does it hold back another attempt.
	s.wait(1000 * time.Hour)
	s.answer("*", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	if p, err := c.Listings(t.Context(), spec.ListingQuery{}); err != nil || !p.Stale {
		t.Errorf("got %+v, %v", p, err)
	}
	s.answer("*", nil)
	s.wait(-900 * time.Hour)
	if p, err := c.Listings(t.Context(), spec.ListingQuery{}); err != nil || p.Stale {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestReplacedMeanwhile: a client that finds a list and pages of two versions fetches
// again.
func TestReplacedMeanwhile(t *testing.T) {
	s := stocked(t)
	old, err := os.ReadFile(filepath.Join(s.dir, "root.json"))
	check(t, err)
	var once sync.Once
	s.answer("/root.json", func(w http.ResponseWriter, r *http.Request) {
		answered := false
		once.Do(func() {
			s.plugin("acme", "count", "0.2.0", "", today.Add(-time.Hour))
			s.sign()
			_, _ = w.Write(old)
			answered = true
		})
		if !answered {
			http.ServeFile(w, r, filepath.Join(s.dir, "root.json"))
		}
	})
	oldSig, err := os.ReadFile(filepath.Join(s.dir, "root.json.minisig"))
	check(t, err)
	var first sync.Once
	s.answer("/root.json.minisig", func(w http.ResponseWriter, r *http.Request) {
		answered := false
		first.Do(func() { _, _ = w.Write(oldSig); answered = true })
		if !answered {
			http.ServeFile(w, r, filepath.Join(s.dir, "root.json.minisig"))
		}
	})
	if r, err := s.client().Resolve(t.Context(), "count", ""); err != nil || r.Version != "0.2.0" {
		t.Errorf("got %+v, %v", r, err)
	}
	// A page that stays wrong is refused, and asked for once.
	s.answer("/p/acme/count.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	before := s.times("/p/acme/count.json")
	if _, err := s.client().Resolve(t.Context(), "count", ""); !errors.Is(err, format.WrongSize) {
		t.Errorf("got %v", err)
	}
	if n := s.times("/p/acme/count.json") - before; n != 1 {
		t.Errorf("asked for %d times", n)
	}
}
