package index_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/spec"
)

// TestBackdatedRelease: the publisher dates a release, so a stolen key can backdate one
// to be installed at once. A host that had a list without the release uses its first
// appearance.
func TestBackdatedRelease(t *testing.T) {
	s := stocked(t)
	state := filepath.Join(t.TempDir(), "marketplace.json")
	aged := func(c *index.Config) { c.State, c.MinimumReleaseAge = state, 24*time.Hour }
	c := s.client(aged)
	resolve := func(c *index.Client, constraint, want string) {
		t.Helper()
		r, err := c.Resolve(t.Context(), "count", constraint)
		switch {
		case want == "" && !errors.Is(err, format.TooNew):
			t.Errorf("%q: got %+v, %v", constraint, r, err)
		case want != "" && (err != nil || r.Version != want):
			t.Errorf("%q: got %+v, %v, want %s", constraint, r, err, want)
		}
	}
	resolve(c, "", "0.1.0") // of the first list its own word is all there is
	s.wait(time.Hour)
	s.plugin("acme", "count", "0.2.0", "", today.Add(-1000*time.Hour))
	s.sign()
	for _, c := range []*index.Client{c, s.client(aged)} { // also after a restart
		resolve(c, "", "0.1.0")
		resolve(c, "0.2.0", "")
	}
	// What follows does not begin its time anew.
	s.wait(12 * time.Hour)
	s.sign()
	resolve(c, "0.2.0", "")
	s.wait(12 * time.Hour)
	resolve(s.client(aged), "", "0.2.0")
	r, err := c.Resolve(t.Context(), "count", "")
	if want := today.Add(time.Hour); err != nil || !r.Released.Equal(want) {
		t.Errorf("got %v, %v, want %v", r.Released, err, want)
	}
}

// The version that is offered is the one that an installation would take.
func TestOfferedIsOldEnough(t *testing.T) {
	s := stocked(t)
	s.plugin("acme", "echo", "1.2.0", "", today.Add(-time.Hour))
	s.plugin("acme", "new", "1.0.0", "", today.Add(-time.Hour))
	s.sign()
	c := s.client(func(c *index.Config) { c.MinimumReleaseAge = 24 * time.Hour })
	offered := func(name, want string) {
		t.Helper()
		p, err := c.Listings(t.Context(), spec.ListingQuery{Publisher: "acme", Text: name})
		if err != nil || len(p.Items) != 1 || p.Items[0].Latest.Version != want {
			t.Errorf("%s: got %+v, %v, want %q", name, p.Items, err, want)
		}
	}
	offered("echo", "1.1.0")
	offered("new", "")
	s.wait(24 * time.Hour)
	offered("echo", "1.2.0")
	offered("new", "1.0.0")
}
